/// What an instruction means: the decoded form that the validator, disassembler, interpreter and JIT share.
/// Jump and call distances are in slots from the next instruction.
package enum Operation: Hashable, Sendable {
    /// `destination = destination op operand`
    case arithmetic(ArithmeticOperation, Width, Register, Operand)
    case negate(Width, Register)
    case move(Width, Register, Operand)
    /// `movsx`: the low `from` bits (8, 16, 32) of the source, sign-extended to the width.
    case moveSigned(Width, Register, Register, from: UInt8)
    /// The low `bits` (16, 32, 64) of the register converted, the others zero.
    case byteOrder(ByteOrder, bits: UInt8, Register)
    /// The instruction of two slots: `first` and `second` are their immediates.
    case loadImmediate(WideImmediate, Register, first: Int32, second: Int32)
    case load(MemoryType, Register, base: Register, offset: Int16)
    case store(MemoryType, base: Register, offset: Int16, Operand)
    case atomic(AtomicOperation, Width, base: Register, offset: Int16, Register)
    /// `goto` and, where `long`, `gotol`.
    case jump(Int32, long: Bool)
    case branch(Condition, Width, Register, Operand, Int16)
    /// `may_goto`: goes on, or jumps when the loop has gone round often enough; the loader makes a counter of it.
    case mayGoto(Int16)
    case call(CallTarget)
    case exit
}

extension Instruction {
    /// The meaning of the instruction; `next` is the following slot, which belongs to a wide load.
    /// Throws for what RFC 9669 does not define: unknown opcodes, and reserved fields that are not zero.
    package func operation(followedBy next: Instruction?) throws(InstructionFault) -> Operation {
        guard destination.isValid else { throw .noSuchRegister(destination) }
        // The source register of wide loads and calls is a selector, checked below.
        guard source.isValid else { throw .noSuchRegister(source) }
        let operation: Operation
        switch opcode.instructionClass {
        case .loadImmediate: operation = try wideLoad(next)
        case .load: operation = try load()
        case .storeImmediate: operation = try storeImmediate()
        case .store: operation = try store()
        case .arithmetic32: operation = try arithmetic(.bits32)
        case .arithmetic64: operation = try arithmetic(.bits64)
        case .jump: operation = try jump(.bits64)
        case .jump32: operation = try jump(.bits32)
        }
        if let written = operation.writtenRegister, !written.isWritable { throw .writesFramePointer }
        return operation
    }

    /// The source field is not used by the instruction.
    private func requireNoSource() throws(InstructionFault) {
        guard source.rawValue == 0 else { throw .reservedField("source register") }
    }
    private func requireNoDestination() throws(InstructionFault) {
        guard destination.rawValue == 0 else { throw .reservedField("destination register") }
    }
    private func requireNoOffset() throws(InstructionFault) {
        guard offset == 0 else { throw .reservedField("offset") }
    }
    private func requireNoImmediate() throws(InstructionFault) {
        guard immediate == 0 else { throw .reservedField("immediate") }
    }

    /// The second operand of arithmetic and jumps; the field that it does not use must be zero.
    private func operand() throws(InstructionFault) -> Operand {
        if opcode.usesSourceRegister {
            try requireNoImmediate()
            return .register(source)
        }
        try requireNoSource()
        return .immediate(immediate)
    }

    private func wideLoad(_ next: Instruction?) throws(InstructionFault) -> Operation {
        guard opcode == .wideLoad else {
            if opcode.mode == .absolute || opcode.mode == .indirect { throw .packetAccess }
            throw .unknownOpcode(opcode)
        }
        guard let kind = WideImmediate(rawValue: source.rawValue) else { throw .unknownPseudoSource(source) }
        try requireNoOffset()
        guard let next else { throw .incompleteWideLoad }
        guard next.opcode.rawValue == 0, next.destination.rawValue == 0, next.source.rawValue == 0, next.offset == 0
        else { throw .incompleteWideLoad }
        switch kind {
        case .value, .mapDescriptorValue, .mapValue: break
        case .mapDescriptor, .variable, .function, .map:
            guard next.immediate == 0 else { throw .reservedField("second immediate") }
        }
        return .loadImmediate(kind, destination, first: immediate, second: next.immediate)
    }

    private func load() throws(InstructionFault) -> Operation {
        let type: MemoryType
        switch (opcode.mode, opcode.size) {
        case (.memory, .byte): type = .u8
        case (.memory, .half): type = .u16
        case (.memory, .word): type = .u32
        case (.memory, .double): type = .u64
        case (.memorySigned, .byte): type = .s8
        case (.memorySigned, .half): type = .s16
        case (.memorySigned, .word): type = .s32
        default: throw .unknownOpcode(opcode)
        }
        try requireNoImmediate()
        return .load(type, destination, base: source, offset: offset)
    }

    private var storedType: MemoryType {
        switch opcode.size {
        case .byte: .u8
        case .half: .u16
        case .word: .u32
        case .double: .u64
        }
    }

    private func storeImmediate() throws(InstructionFault) -> Operation {
        guard opcode.mode == .memory else { throw .unknownOpcode(opcode) }
        try requireNoSource()
        return .store(storedType, base: destination, offset: offset, .immediate(immediate))
    }

    private func store() throws(InstructionFault) -> Operation {
        switch opcode.mode {
        case .memory:
            try requireNoImmediate()
            return .store(storedType, base: destination, offset: offset, .register(source))
        case .atomic:
            let width: Width
            switch opcode.size {
            case .word: width = .bits32
            case .double: width = .bits64
            case .byte, .half: throw .unknownOpcode(opcode)
            }
            guard let operation = AtomicOperation(rawValue: immediate) else { throw .unknownAtomic(immediate) }
            return .atomic(operation, width, base: destination, offset: offset, source)
        default:
            throw .unknownOpcode(opcode)
        }
    }

    private func arithmetic(_ width: Width) throws(InstructionFault) -> Operation {
        switch opcode.operation {
        case 0x80:
            guard !opcode.usesSourceRegister else { throw .unknownOpcode(opcode) }
            try requireNoSource()
            try requireNoOffset()
            try requireNoImmediate()
            return .negate(width, destination)
        case 0xb0:
            guard offset != 0 else { return .move(width, destination, try operand()) }
            guard opcode.usesSourceRegister else { throw .reservedField("offset") }
            try requireNoImmediate()
            switch (offset, width) {
            case (8, _), (16, _), (32, .bits64):
                return .moveSigned(width, destination, source, from: UInt8(truncatingIfNeeded: offset))
            default: throw .reservedField("offset")
            }
        case 0xd0:
            try requireNoSource()
            try requireNoOffset()
            guard immediate == 16 || immediate == 32 || immediate == 64 else { throw .reservedField("immediate") }
            let bits = UInt8(truncatingIfNeeded: immediate)
            switch (width, opcode.usesSourceRegister) {
            case (.bits32, false): return .byteOrder(.toLittle, bits: bits, destination)
            case (.bits32, true): return .byteOrder(.toBig, bits: bits, destination)
            case (.bits64, false): return .byteOrder(.swap, bits: bits, destination)
            case (.bits64, true): throw .unknownOpcode(opcode)
            }
        default:
            guard let unsigned = ArithmeticOperation(rawValue: opcode.operation) else { throw .unknownOpcode(opcode) }
            let operand = try operand()
            switch (unsigned, offset) {
            case (_, 0): return .arithmetic(unsigned, width, destination, operand)
            case (.divide, 1): return .arithmetic(.divideSigned, width, destination, operand)
            case (.modulo, 1): return .arithmetic(.moduloSigned, width, destination, operand)
            default: throw .reservedField("offset")
            }
        }
    }

    private func jump(_ width: Width) throws(InstructionFault) -> Operation {
        switch opcode {
        case .jump:
            try requireNoDestination()
            try requireNoSource()
            try requireNoImmediate()
            return .jump(Int32(offset), long: false)
        case .jumpLong:
            try requireNoDestination()
            try requireNoSource()
            try requireNoOffset()
            return .jump(immediate, long: true)
        case .mayGoto where width == .bits64:
            try requireNoDestination()
            try requireNoImmediate()
            guard source.rawValue == 0 else { throw .unknownPseudoSource(source) }
            return .mayGoto(offset)
        case .call:
            try requireNoDestination()
            try requireNoOffset()
            switch source.rawValue {
            case 0: return .call(.helper(UInt32(bitPattern: immediate)))
            case 1: return .call(.subprogram(immediate))
            case 2: return .call(.external(immediate))
            default: throw .unknownPseudoSource(source)
            }
        case .exit:
            try requireNoDestination()
            try requireNoSource()
            try requireNoOffset()
            try requireNoImmediate()
            return .exit
        default:
            guard let condition = Condition(rawValue: opcode.operation) else { throw .unknownOpcode(opcode) }
            return .branch(condition, width, destination, try operand(), offset)
        }
    }
}

extension Operation {
    /// The register that the instruction itself writes (not those that a call clobbers).
    package var writtenRegister: Register? {
        switch self {
        case .arithmetic(_, _, let register, _), .negate(_, let register), .move(_, let register, _),
            .moveSigned(_, let register, _, _), .byteOrder(_, _, let register), .loadImmediate(_, let register, _, _),
            .load(_, let register, _, _):
            register
        case .atomic(let operation, _, _, _, let source):
            if operation.fetchesIntoSource { source } else if operation == .compareExchange { .r0 } else { nil }
        case .call: .r0
        case .store, .jump, .branch, .mayGoto, .exit: nil
        }
    }
}

extension Operation {
    /// Whether r10 is an operand.
    package var readsFramePointer: Bool {
        switch self {
        case .arithmetic(_, _, _, let operand), .move(_, _, let operand): operand == .register(.r10)
        case .moveSigned(_, _, let source, _): source == .r10
        case .load(_, _, let base, _): base == .r10
        case .store(_, let base, _, let operand): base == .r10 || operand == .register(.r10)
        case .atomic(_, _, let base, _, let source): base == .r10 || source == .r10
        case .branch(_, _, let left, let operand, _): left == .r10 || operand == .register(.r10)
        case .negate, .byteOrder, .loadImmediate, .jump, .mayGoto, .call, .exit: false
        }
    }
}

/// Why a slot is no instruction.
package enum InstructionFault: Error, Hashable, Sendable {
    case unknownOpcode(Opcode)
    case unknownAtomic(Int32)
    case unknownPseudoSource(Register)
    /// `BPF_ABS`, `BPF_IND`
    case packetAccess
    case noSuchRegister(Register)
    case writesFramePointer
    case reservedField(String)
    case incompleteWideLoad
    /// A constant that the operation cannot have.
    case badConstant(String)
}

extension InstructionFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownOpcode(let opcode): "unknown opcode 0x\(String(opcode.rawValue, radix: 16))"
        case .unknownAtomic(let immediate): "unknown atomic operation 0x\(String(UInt32(bitPattern: immediate), radix: 16))"
        case .unknownPseudoSource(let register): "the source register field \(register.rawValue) selects nothing known"
        case .packetAccess: "legacy packet access, which tracing programs do not have"
        case .noSuchRegister(let register): "register \(register) does not exist"
        case .writesFramePointer: "writes r10, the read-only frame pointer"
        case .reservedField(let field): "the reserved \(field) field is set"
        case .incompleteWideLoad: "the second slot of the 64-bit immediate is missing or not empty"
        case .badConstant(let what): what
        }
    }
}
