import BPF
import BTF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// A program of the kernel, ready to be attached.
struct KernelProgram: Sendable {
    let descriptor: BPFDescriptor
    let type: ProgramType
}

/// What a program is loaded for.
struct LoadTarget: Sendable {
    /// The traced function's type: in vmlinux, a module, or the types of another program.
    var function: BTF.TypeID
    /// The module's types or the traced program; nil for vmlinux.
    var holder: BPFDescriptor?

    static let none = LoadTarget(function: .void, holder: nil)
}

/// Makes the programs of one object loadable: everything that they leave open is filled in from the running kernel.
struct ProgramLoader {
    let object: Object
    let types: ObjectTypes
    let maps: [KernelMap]
    private let externs: [Address]
    /// Types of modules that kfuncs are in; the first place stands for vmlinux.
    private let holders: [BPFDescriptor?]
    private let relocated: [String: ObjectProgram]
    private let configuration: KernelMap?
    /// Where the programs print; nil if none does.
    var printing: Printing?

    /// What becomes of the lines of `bpf_printk`.
    struct Printing: Sendable {
        let ring: PrintRing
        /// Called where the kernel does not let a program print into the ring.
        let readTracePipe: @Sendable () throws(EngineError) -> Void
    }

    /// Where the running kernel has something that the object expects outside.
    private enum Address {
        case function(id: UInt32, holder: Int)
        case variable(id: UInt32, holder: Int32)
        case address(UInt64)
        /// A `__kconfig` variable.
        case configuration(offset: Int32)
        /// A weak one that there is not.
        case nowhere
        /// Only sessions have it.
        case session
    }

    /// `BPF_F_SLEEPABLE`
    private static let sleepable: UInt32 = 1 << 4
    /// A helper that does not exist: the verifier refuses it if the program can get there.
    private static let poison = Instruction.call(.helper(0xbad_2310))

    init(
        _ object: Object, types: ObjectTypes, maps: [KernelMap], kernel: inout KernelTypes
    ) throws(EngineError) {
        let configuration = try ConfigurationMap(object, kernel.vmlinux.types)
        self.configuration = configuration?.map
        self.object = object
        self.types = types
        self.maps = maps
        var holders: [BPFDescriptor?] = [nil]
        var found: [Address] = []
        for (place, extern) in object.externs.enumerated() {
            if let offset = configuration?.offsets[place] {
                found.append(.configuration(offset: offset))
            } else {
                found.append(try Self.find(extern, object, &kernel, &holders))
            }
        }
        externs = found
        self.holders = holders
        var relocated: [String: ObjectProgram] = [:]
        if let btf = object.btf, object.programs.contains(where: { !$0.coreRelocations.isEmpty }) {
            var resolver = COREResolver(local: btf, targets: try kernel.all().map(\.types))
            for program in object.programs { relocated[program.name] = try Self.relocate(program, &resolver) }
        }
        self.relocated = relocated
    }

    // MARK: Externs

    private static func find(
        _ extern: Extern, _ object: Object, _ kernel: inout KernelTypes, _ holders: inout [BPFDescriptor?]
    ) throws(EngineError) -> Address {
        let name = extern.name
        if SessionKfunc(rawValue: name) != nil {
            if let id = kernel.vmlinux.types.id(named: name, .function) { return .function(id: id.rawValue, holder: 0) }
            return .session
        }
        let kind: BTFIndex.KindNumber = extern.isFunction ? .function : .variable
        if let id = kernel.vmlinux.types.id(named: name, kind) {
            return extern.isFunction ? .function(id: id.rawValue, holder: 0) : .variable(id: id.rawValue, holder: 0)
        }
        for source in try kernel.all().dropFirst() {
            guard let id = source.types.id(named: name, kind), let descriptor = source.descriptor else { continue }
            if !extern.isFunction { return .variable(id: id.rawValue, holder: descriptor.number) }
            if let place = holders.firstIndex(where: { $0?.number == descriptor.number }) {
                return .function(id: id.rawValue, holder: place)
            }
            holders.append(descriptor)
            return .function(id: id.rawValue, holder: holders.count - 1)
        }
        // A variable declared as void has no type to go by, only an address.
        if !extern.isFunction, let address = KernelSymbols.address(of: name) { return .address(address) }
        if extern.isWeak { return .nowhere }
        throw .kernel(
            doing: "load \(object.name)",
            because: extern.isFunction
                ? "this kernel has no kfunc '\(name)'; \(KernelHistory.advice(onKfunc: name))"
                : "this kernel has no symbol '\(name)'; declare it __weak to do without")
    }

    // MARK: CO-RE

    private static func relocate(
        _ program: ObjectProgram, _ resolver: inout COREResolver
    ) throws(EngineError) -> ObjectProgram {
        var replacements: [Int: [Instruction]] = [:]
        for relocation in program.coreRelocations {
            guard program.instructions.indices.contains(relocation.slot) else { continue }
            let result: COREResult
            do throws(COREError) {
                result = try resolver.result(of: relocation)
            } catch {
                throw .rejected(program: program.name, because: "\(error)")
            }
            replacements[relocation.slot] = patched(program.instructions, relocation.slot, result)
        }
        do throws(ProgramPatcher.PatchError) {
            return try program.replacing(replacements)
        } catch {
            throw .rejected(program: program.name, because: "\(error)")
        }
    }

    private static func patched(_ instructions: [Instruction], _ slot: Int, _ result: COREResult) -> [Instruction] {
        var instruction = instructions[slot]
        guard let value = result.value else { return [poison] }
        if instruction.opcode == .wideLoad {
            return Instruction.loadImmediate(instruction.destination, value)
        }
        let code = instruction.opcode.rawValue
        switch code & 7 {
        case 1, 2, 3:
            guard value <= UInt64(Int16.max) else { return [poison] }
            instruction.offset = Int16(value)
            if let count = result.byteCount {
                let size: UInt8 = [1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18][count] ?? code & 0x18
                instruction.opcode = Opcode(rawValue: code & ~0x18 | size)
            }
        default:
            instruction.immediate = Int32(truncatingIfNeeded: value)
        }
        return [instruction]
    }

    // MARK: Loading

    /// The program as its object has it, made for the running kernel; references to maps and externs stay.
    func program(_ name: String) -> ObjectProgram? {
        relocated[name] ?? object.programs.first { $0.name == name }
    }

    /// `BPF_PROG_LOAD`
    func load(_ program: ObjectProgram, as type: ProgramType, for target: LoadTarget) throws(EngineError) -> KernelProgram {
        try fillProgramArrays(of: program, type, target)
        return try loadAlone(program, as: type, for: target)
    }

    /// Loads what a program may tail-call, for the same place, into the arrays that hold it from the start.
    private func fillProgramArrays(of program: ObjectProgram, _ type: ProgramType, _ target: LoadTarget) throws(EngineError) {
        for index in program.mapIndices where maps.indices.contains(index) {
            for (slot, name) in maps[index].definition.programSlots {
                guard let callee = self.program(name) else { continue }
                let loaded = try loadAlone(callee, as: type, for: target)
                let error = maps[index].write(
                    ObjectMaps.bytes(UInt32(slot)), [ObjectMaps.bytes(UInt32(bitPattern: loaded.descriptor.number))], flags: 0)
                guard error == 0 else {
                    throw .rejected(
                        program: program.name,
                        because: "it may tail-call '\(name)', which the kernel does not allow here: \(Errno(-error))")
                }
            }
        }
    }

    private func loadAlone(
        _ program: ObjectProgram, as type: ProgramType, for target: LoadTarget
    ) throws(EngineError) -> KernelProgram {
        guard let printing, program.prints else { return try loadAsIs(program, as: type, for: target) }
        if let redirected = try? printing.ring.redirecting(program, object.btf),
            let loaded = try? loadAsIs(redirected, as: type, for: target, explains: false)
        {
            return loaded
        }
        let loaded = try loadAsIs(program, as: type, for: target)
        try printing.readTracePipe()
        return loaded
    }

    /// - Parameter explains: whether an error is to have the verifier's reasons, for which it has to go through the program again.
    private func loadAsIs(
        _ program: ObjectProgram, as type: ProgramType, for target: LoadTarget, explains: Bool = true
    ) throws(EngineError) -> KernelProgram {
        let bytes = try resolved(program).flatMap(\.bytes)
        let entries = [(0, program.typeID)] + program.subprograms.map { ($0.start, $0.typeID) }
        var functionInfo: [UInt32] = []
        for (slot, id) in entries {
            if let id { functionInfo += [UInt32(slot), id.rawValue] }
        }
        if functionInfo.count != entries.count * 2 { functionInfo = [] }
        let lineInfo = functionInfo.isEmpty ? [] : types.lineInfo(program.lines)

        func attempt(_ log: UnsafeMutableRawBufferPointer? = nil) -> Result<BPFDescriptor, Errno> {
            AttributeArena.with { arena in
                var attributes = ProgramLoad {
                    $0.progType = type.number.rawValue
                    $0.insnCnt = UInt32(bytes.count / 8)
                    $0.insns = arena.address(of: bytes)
                    $0.license = arena.address(of: object.license)
                    $0.progFlags = program.section.sleepable ? Self.sleepable : 0
                    $0.progName = program.name
                    $0.expectedAttachType = type.attachNumber
                    $0.attachBtfId = target.function.rawValue
                    $0.attachBtfObjFd = target.holder?.number ?? 0
                    if holders.count > 1 { $0.fdArray = arena.address(of: holders.map { $0?.number ?? 0 }) }
                    if let descriptor = types.descriptor, !functionInfo.isEmpty {
                        $0.progBtfFd = descriptor.number
                        $0.funcInfoRecSize = UInt32(ProgramFunctionInfo.size)
                        $0.funcInfo = arena.address(of: functionInfo)
                        $0.funcInfoCnt = UInt32(entries.count)
                        $0.lineInfoRecSize = UInt32(ProgramLineInfo.size)
                        $0.lineInfo = arena.address(of: lineInfo)
                        $0.lineInfoCnt = UInt32(lineInfo.count * 4 / ProgramLineInfo.size)
                    }
                    guard let log else { return }
                    $0.logLevel = 1
                    $0.logSize = UInt32(log.count)
                    $0.logBuf = UInt64(log)
                }
                return attributes.open(.progLoad)
            }
        }
        switch attempt() {
        case .success(let descriptor): return KernelProgram(descriptor: descriptor, type: type)
        case .failure(let error):
            guard error.number != EPERM, explains else {
                throw .rejected(program: program.name, because: KernelAdvice.text(error))
            }
            let log = AttributeArena.with { arena in
                let log = arena.room(16 << 20)
                _ = attempt(log)
                return log.text
            }
            throw .rejected(program: program.name, because: VerifierLog.reason(log, error, of: program))
        }
    }

    /// The instructions with maps and externs filled in.
    private func resolved(_ program: ObjectProgram) throws(EngineError) -> [Instruction] {
        var instructions = program.instructions
        var slot = 0
        while slot < instructions.count {
            let instruction = instructions[slot]
            if instruction.opcode == .wideLoad, slot + 1 < instructions.count {
                try resolveLoad(program, slot, &instructions)
                slot += 2
                continue
            }
            if instruction.opcode == .call, instruction.source == .r2 {
                let index = Int(instruction.immediate)
                switch externs.indices.contains(index) ? externs[index] : .nowhere {
                case .function(let id, let holder):
                    instructions[slot].immediate = Int32(bitPattern: id)
                    instructions[slot].offset = Int16(holder)
                case .session:
                    throw .rejected(
                        program: program.name,
                        because: "it calls \(object.externs[index].name), which only programs of sections fsession and fsession.s can")
                default: instructions[slot] = Self.poison
                }
            }
            slot += 1
        }
        return instructions
    }

    private func resolveLoad(_ program: ObjectProgram, _ slot: Int, _ instructions: inout [Instruction]) throws(EngineError) {
        let (first, second) = (instructions[slot], instructions[slot + 1])
        let index = Int(first.immediate)
        let replacement: [Instruction]
        switch WideImmediate(rawValue: first.source.rawValue) {
        case .map, .mapValue:
            guard maps.indices.contains(index) else {
                throw .rejected(program: program.name, because: "it refers to map \(index), which its object does not have")
            }
            let isValue = first.source.rawValue == WideImmediate.mapValue.rawValue
            replacement = Instruction.loadImmediate(
                isValue ? .mapDescriptorValue : .mapDescriptor, first.destination, first: maps[index].descriptor.number,
                second: isValue ? second.immediate : 0)
        case .variable:
            switch externs.indices.contains(index) ? externs[index] : .nowhere {
            case .variable(let id, let holder):
                replacement = Instruction.loadImmediate(
                    .variable, first.destination, first: Int32(bitPattern: id), second: holder)
            case .configuration(let offset):
                replacement = Instruction.loadImmediate(
                    .mapDescriptorValue, first.destination, first: configuration?.descriptor.number ?? 0, second: offset)
            case .address(let address): replacement = Instruction.loadImmediate(first.destination, address)
            // All that a program may do with the address of a kfunc is to ask whether there is one.
            case .function, .session: replacement = Instruction.loadImmediate(first.destination, 1)
            case .nowhere: replacement = Instruction.loadImmediate(first.destination, 0)
            }
        default: return
        }
        instructions.replaceSubrange(slot..<slot + 2, with: replacement)
    }
}
