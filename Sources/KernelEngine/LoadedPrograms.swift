import BTF
import Engine
import Glibc
import LinuxBPF

/// BPF programs that are loaded in the kernel, as functions to trace: `prog:NAME` and `prog:ID`.
enum LoadedPrograms {
    static func matching(_ glob: Glob) throws(EngineError) -> [KernelFunction] {
        let ids: [UInt32]
        switch BPFObjects.ids(.progGetNextId) {
        case .success(let all): ids = all
        case .failure(let error): throw .kernel(doing: "list the loaded programs", because: KernelAdvice.text(error))
        }
        var found: [KernelFunction] = []
        var names: [String] = []
        for id in ids {
            guard let program = BPFObjects.open(.progGetFdById, id: id) else { continue }
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
        var information = ProgramInfo()
        guard BPFObjects.get(&information, of: program) else { return nil }
        let short = information.name
        let untyped = KernelFunction(
            name: short, module: "prog", target: .none, prototype: KernelPrototype(of: .void, in: NoTypes()),
            refusal: "program \(id) has no type information; compile it with -g")
        guard information.btfId != 0, information.nrFuncInfo > 0,
            let btf = BPFObjects.open(.btfGetFdById, id: information.btfId), let bytes = BTFName.bytes(of: btf),
            let types = try? BTFIndex(bytes: bytes)
        else { return (short, untyped) }
        let record = AttributeArena.with { arena -> ProgramFunctionInfo? in
            let room = arena.room(max(Int(information.funcInfoRecSize), ProgramFunctionInfo.size))
            var information = ProgramInfo {
                $0.funcInfoRecSize = UInt32(room.count)
                $0.funcInfo = UInt64(room)
                $0.nrFuncInfo = 1
            }
            return BPFObjects.get(&information, of: program) ? ProgramFunctionInfo(bytes: Array(room)) : nil
        }
        guard let record else { return (short, untyped) }
        let type = BTF.TypeID(rawValue: record.typeId)
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
