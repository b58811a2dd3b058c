import BTF
import Engine
import Glibc

/// BPF programs that are loaded in the kernel, as functions to trace: `prog:NAME` and `prog:ID`.
enum LoadedPrograms {
    /// Offsets in `struct bpf_prog_info`.
    private enum Place {
        static let id = 4
        static let name = 64
        static let btf = 128
        static let functionRecordSize = 132
        static let functions = 136
        static let functionCount = 144
        static let end = 232
    }

    static func matching(_ glob: Glob) throws(EngineError) -> [KernelFunction] {
        let ids: [UInt32]
        switch BPFObjects.ids(.nextProgramID) {
        case .success(let all): ids = all
        case .failure(let error): throw .kernel(doing: "list the loaded programs", because: KernelAdvice.text(error))
        }
        var found: [KernelFunction] = []
        var names: [String] = []
        for id in ids {
            guard let program = BPFObjects.open(.programByID, id: id) else { continue }
            guard let (name, function) = function(program, id) else { continue }
            names.append(name)
            if glob.matches(name) || glob.text == String(id) { found.append(function) }
        }
        if found.isEmpty {
            throw .noFunction(pattern: "prog:\(glob.text)", nearest: NearestNames.of(glob.text, in: names))
        }
        return found
    }

    private static func function(_ program: BPFDescriptor, _ id: UInt32) -> (String, KernelFunction)? {
        var information = BPFAttributes()
        information.set(Place.end - 4, UInt32(0))
        guard BPFObjects.information(program.number, &information) else { return nil }
        let short = String(
            decoding: information.bytes[Place.name..<Place.name + 16].prefix { $0 != 0 }, as: UTF8.self)
        let untyped = KernelFunction(
            name: short, module: "prog", target: .none, prototype: KernelPrototype(of: .void, in: NoTypes()),
            refusal: "program \(id) has no type information; compile it with -g")
        guard information.u32(Place.btf) != 0, information.u32(Place.functionCount) > 0,
            let btf = BPFObjects.open(.btfByID, id: information.u32(Place.btf)), let bytes = BTFName.bytes(of: btf),
            let types = try? BTFIndex(bytes: bytes)
        else { return (short, untyped) }
        var record = [UInt8](repeating: 0, count: Int(max(information.u32(Place.functionRecordSize), 8)))
        let isRead = record.withUnsafeMutableBytes { buffer in
            var information = BPFAttributes()
            information.set(Place.functionRecordSize, UInt32(buffer.count))
            information.set(Place.functions, UnsafeRawPointer(buffer.baseAddress))
            information.set(Place.functionCount, UInt32(1))
            information.set(Place.end - 4, UInt32(0))
            return BPFObjects.information(program.number, &information)
        }
        guard isRead else { return (short, untyped) }
        let type = BTF.TypeID(rawValue: BPFAttributes(bytes: record).u32(4))
        let name = types[type].name.isEmpty ? short : types[type].name
        return (
            name,
            KernelFunction(
                name: name, module: "prog", target: LoadTarget(function: type, holder: program),
                // What a program is called with is one pointer, whatever its C function says.
                prototype: KernelPrototype(of: type, in: types), programID: id)
        )
    }

    private struct NoTypes: TypeTable {
        subscript(id: BTF.TypeID) -> BTFType { BTFType("", .void) }
    }
}
