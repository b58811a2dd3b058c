import BPF
import BTF
import Engine
import Glibc
import LinuxBPF

/// The types of an object, loaded into the kernel: programs and maps refer to them.
struct ObjectTypes {
    let descriptor: BPFDescriptor?
    /// Where strings that source lines name lie.
    private let strings: [String: UInt32]
    /// `FUNC` types made for the halves of sessions, by the program's name.
    private let halves: [String: SplitTypes]
    /// The type of the functions that programs print with instead of the helpers; nil if none prints.
    let printFunction: BTF.TypeID?

    /// The functions that the split of a session adds.
    struct SplitTypes {
        let body: BTF.TypeID
        let cookie: BTF.TypeID
    }

    /// Loads the types, changed to what the kernel accepts; none if the object has none.
    init(_ object: Object) throws(EngineError) {
        guard let btf = object.btf else {
            (descriptor, strings, halves, printFunction) = (nil, [:], [:], nil)
            return
        }
        var types = Self.acceptable(btf)
        var halves: [String: SplitTypes] = [:]
        func add(_ type: BTFType) -> BTF.TypeID {
            types.append(type)
            return BTF.TypeID(rawValue: UInt32(types.count - 1))
        }
        let pointer = add(BTFType("", .pointer(.void)))
        let cookie = add(BTFType("", .prototype(result: pointer, parameters: [BTFParameter("ctx", pointer)])))
        let cookieFunction = add(BTFType("fsession_cookie", .function(prototype: cookie, linkage: .static)))
        for program in object.programs where program.section.kind.single == .session {
            guard let id = program.typeID, case .function(let prototype, _) = btf[id].kind else { continue }
            let body = add(BTFType(program.name, .function(prototype: prototype, linkage: .static)))
            halves[program.name] = SplitTypes(body: body, cookie: cookieFunction)
        }
        var printFunction: BTF.TypeID?
        if object.programs.contains(where: \.prints) {
            let prototype = add(BTFType("", .prototype(result: pointer, parameters: [BTFParameter("format", pointer)])))
            printFunction = add(BTFType("fsession_print", .function(prototype: prototype, linkage: .static)))
        }
        var writer = BTFWriter()
        for type in types.dropFirst() { writer.append(type) }
        var strings: [String: UInt32] = [:]
        for text in object.programs.flatMap(\.lines).flatMap({ [$0.file, $0.text] }) + SessionSplit.lineTexts + PrintRing.lineTexts
        where strings[text] == nil { strings[text] = writer.string(text) }
        self.strings = strings
        self.halves = halves
        self.printFunction = printFunction
        descriptor = try Self.load(writer.bytes())
    }

    /// What the compiler leaves to the loader is taken out: externs, and the section of the maps' definitions, which
    /// the kernel does not know. Ids stay.
    private static func acceptable(_ btf: BTF) -> [BTFType] {
        let removed = BTFType("removed", .forward(isUnion: false))
        var types = btf.types
        var isRemoved: Set<BTF.TypeID> = []
        for id in btf.ids {
            switch btf[id].kind {
            case .dataSection(let size, let variables):
                let name = btf[id].name
                if size == 0 || name == ".maps" || name == ".ksyms" || name == ".kconfig" || variables.isEmpty {
                    isRemoved.insert(id)
                }
            case .variable(_, .extern), .function(_, .extern): isRemoved.insert(id)
            default: break
            }
        }
        for id in btf.ids {
            if case .declarationTag(let target, _) = btf[id].kind, isRemoved.contains(target) { isRemoved.insert(id) }
        }
        for id in isRemoved { types[Int(id.rawValue)] = removed }
        return types
    }

    private static func load(_ bytes: [UInt8]) throws(EngineError) -> BPFDescriptor {
        func attempt(_ log: UnsafeMutableRawBufferPointer? = nil) -> Result<BPFDescriptor, Errno> {
            AttributeArena.with { arena in
                var attributes = BTFLoad {
                    $0.btf = arena.address(of: bytes)
                    $0.btfSize = UInt32(bytes.count)
                    guard let log else { return }
                    $0.btfLogBuf = UInt64(log)
                    $0.btfLogSize = UInt32(log.count)
                    $0.btfLogLevel = 1
                }
                return attributes.open(.btfLoad)
            }
        }
        switch attempt() {
        case .success(let descriptor): return descriptor
        case .failure(let error):
            let last = AttributeArena.with { arena in
                let log = arena.room(1 << 20)
                _ = attempt(log)
                return log.text.split(separator: "\n").last
            }
            throw .kernel(
                doing: "load the object's types",
                because: KernelAdvice.text(error) + (last.map { ": \($0)" } ?? ""))
        }
    }

    func split(of program: String) -> SplitTypes? { halves[program] }

    /// `struct bpf_line_info`, four words each.
    func lineInfo(_ lines: [SourceLine]) -> [UInt32] {
        lines.flatMap { line -> [UInt32] in
            guard let file = strings[line.file], let text = strings[line.text] else { return [] }
            return [UInt32(line.slot), file, text, UInt32(truncatingIfNeeded: line.line << 10 | line.column & 0x3ff)]
        }
    }
}
