/// Factories for programs written in Swift. Distances of jumps count slots from the next instruction;
/// ``ProgramBuilder`` works them out from labels.
extension Instruction {
    private static func arithmetic(
        _ opcode: UInt8, _ width: Width, _ destination: Register, _ operand: Operand, offset: Int16 = 0
    ) -> Instruction {
        let base = opcode | (width == .bits64 ? 0x07 : 0x04)
        return switch operand {
        case .register(let source):
            Instruction(opcode: Opcode(rawValue: base | 0x08), destination: destination, source: source, offset: offset)
        case .immediate(let value):
            Instruction(opcode: Opcode(rawValue: base), destination: destination, offset: offset, immediate: value)
        }
    }

    /// `destination = destination op operand`
    package static func arithmetic(
        _ operation: ArithmeticOperation, _ width: Width, _ destination: Register, _ operand: Operand
    ) -> Instruction {
        arithmetic(
            operation.rawValue & 0xf0, width, destination, operand, offset: Int16(operation.rawValue & 1))
    }

    /// `destination = operand`
    package static func move(_ width: Width, _ destination: Register, _ operand: Operand) -> Instruction {
        arithmetic(0xb0, width, destination, operand)
    }

    /// `rD = imm`
    package static func move(_ destination: Register, _ value: Int32) -> Instruction {
        move(.bits64, destination, .immediate(value))
    }

    /// `rD = rS`
    package static func move(_ destination: Register, _ source: Register) -> Instruction {
        move(.bits64, destination, .register(source))
    }

    /// `wD = imm`: the high half becomes zero.
    package static func move32(_ destination: Register, _ value: Int32) -> Instruction {
        move(.bits32, destination, .immediate(value))
    }

    /// `wD = wS`
    package static func move32(_ destination: Register, _ source: Register) -> Instruction {
        move(.bits32, destination, .register(source))
    }

    /// `rD = (s8)rS` and the like: the low `bits` (8, 16, 32) of the source, sign-extended.
    package static func moveSigned(
        _ width: Width, _ destination: Register, _ source: Register, from bits: UInt8
    ) -> Instruction {
        arithmetic(0xb0, width, destination, .register(source), offset: Int16(bits))
    }

    /// `rD = (s8)rS` and the like, to 64 bits.
    package static func moveSigned(_ destination: Register, _ source: Register, from bits: UInt8) -> Instruction {
        moveSigned(.bits64, destination, source, from: bits)
    }

    package static func negate(_ width: Width, _ destination: Register) -> Instruction {
        arithmetic(0x80, width, destination, .immediate(0))
    }

    /// `rD = -rD`
    package static func negate(_ destination: Register) -> Instruction { negate(.bits64, destination) }

    /// `rD = be16 rD`, `rD = bswap64 rD` and the like.
    package static func byteOrder(_ order: ByteOrder, bits: UInt8, _ destination: Register) -> Instruction {
        let opcode: UInt8 =
            switch order {
            case .toLittle: 0xd4
            case .toBig: 0xdc
            case .swap: 0xd7
            }
        return Instruction(opcode: Opcode(rawValue: opcode), destination: destination, immediate: Int32(bits))
    }

    package static func add(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.add, .bits64, destination, .immediate(value))
    }
    package static func add(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.add, .bits64, destination, .register(source))
    }
    package static func subtract(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.subtract, .bits64, destination, .immediate(value))
    }
    package static func subtract(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.subtract, .bits64, destination, .register(source))
    }
    package static func multiply(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.multiply, .bits64, destination, .immediate(value))
    }
    package static func multiply(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.multiply, .bits64, destination, .register(source))
    }
    package static func and(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.and, .bits64, destination, .immediate(value))
    }
    package static func and(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.and, .bits64, destination, .register(source))
    }
    package static func or(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.or, .bits64, destination, .immediate(value))
    }
    package static func or(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.or, .bits64, destination, .register(source))
    }
    package static func xor(_ destination: Register, _ value: Int32) -> Instruction {
        arithmetic(.xor, .bits64, destination, .immediate(value))
    }
    package static func xor(_ destination: Register, _ source: Register) -> Instruction {
        arithmetic(.xor, .bits64, destination, .register(source))
    }
    package static func shiftLeft(_ destination: Register, _ amount: Int32) -> Instruction {
        arithmetic(.shiftLeft, .bits64, destination, .immediate(amount))
    }
    package static func shiftRight(_ destination: Register, _ amount: Int32) -> Instruction {
        arithmetic(.shiftRight, .bits64, destination, .immediate(amount))
    }
}

// MARK: - Memory

extension Instruction {
    /// `rD = *(u64 *)(rB + offset)`; the signed types extend the sign (`BPF_MEMSX`).
    package static func load(
        _ type: MemoryType, into destination: Register, from base: Register, offset: Int16 = 0
    ) -> Instruction {
        let mode: Opcode.Mode = type.isSigned ? .memorySigned : .memory
        return Instruction(
            opcode: Opcode(rawValue: 0x01 | mode.rawValue | type.size.rawValue),
            destination: destination, source: base, offset: offset)
    }

    /// `*(u64 *)(rB + offset) = operand`; for a store the sign of `type` does not matter.
    package static func store(
        _ type: MemoryType, _ operand: Operand, to base: Register, offset: Int16 = 0
    ) -> Instruction {
        let bits = Opcode.Mode.memory.rawValue | type.size.rawValue
        return switch operand {
        case .register(let source):
            Instruction(opcode: Opcode(rawValue: 0x03 | bits), destination: base, source: source, offset: offset)
        case .immediate(let value):
            Instruction(opcode: Opcode(rawValue: 0x02 | bits), destination: base, offset: offset, immediate: value)
        }
    }

    /// `*(u64 *)(rB + offset) = rS`
    package static func store(
        _ type: MemoryType, _ source: Register, to base: Register, offset: Int16 = 0
    ) -> Instruction {
        store(type, .register(source), to: base, offset: offset)
    }

    /// `*(u64 *)(rB + offset) = imm`, sign-extended to the size.
    package static func store(_ type: MemoryType, _ value: Int32, to base: Register, offset: Int16 = 0) -> Instruction {
        store(type, .immediate(value), to: base, offset: offset)
    }

    /// `lock *(u64 *)(rB + offset) += rS` and the other atomics.
    package static func atomic(
        _ operation: AtomicOperation, _ width: Width = .bits64, base: Register, offset: Int16 = 0, _ source: Register
    ) -> Instruction {
        Instruction(
            opcode: Opcode(rawValue: width == .bits64 ? 0xdb : 0xc3),
            destination: base, source: source, offset: offset, immediate: operation.rawValue)
    }

    /// The two slots of `rD = imm ll`, or of one of the pseudo loads.
    package static func loadImmediate(
        _ kind: WideImmediate, _ destination: Register, first: Int32, second: Int32 = 0
    ) -> [Instruction] {
        [
            Instruction(
                opcode: .wideLoad, destination: destination, source: Register(rawValue: kind.rawValue),
                immediate: first),
            Instruction(opcode: Opcode(rawValue: 0), immediate: second),
        ]
    }

    /// The two slots of `rD = value ll`.
    package static func loadImmediate(_ destination: Register, _ value: UInt64) -> [Instruction] {
        loadImmediate(
            .value, destination, first: Int32(truncatingIfNeeded: value), second: Int32(truncatingIfNeeded: value >> 32))
    }

    /// The two slots that load the map at `index` of the object (`BPF_PSEUDO_MAP_IDX`).
    package static func loadMap(_ destination: Register, index: Int32) -> [Instruction] {
        loadImmediate(.map, destination, first: index)
    }

    /// The two slots that load the address of a byte of the first value of the map at `index`.
    package static func loadMapValue(_ destination: Register, index: Int32, offset: Int32) -> [Instruction] {
        loadImmediate(.mapValue, destination, first: index, second: offset)
    }
}

// MARK: - Jumps

extension Instruction {
    /// `goto pc+distance`
    package static func jump(_ distance: Int16) -> Instruction {
        Instruction(opcode: .jump, offset: distance)
    }

    /// `gotol pc+distance`
    package static func jumpLong(_ distance: Int32) -> Instruction {
        Instruction(opcode: .jumpLong, immediate: distance)
    }

    /// `may_goto pc+distance`
    package static func mayGoto(_ distance: Int16) -> Instruction {
        Instruction(opcode: .mayGoto, offset: distance)
    }

    /// `if rL condition operand goto pc+distance`
    package static func branch(
        _ condition: Condition, _ width: Width, _ left: Register, _ operand: Operand, _ distance: Int16
    ) -> Instruction {
        let base = condition.rawValue | (width == .bits64 ? 0x05 : 0x06)
        return switch operand {
        case .register(let source):
            Instruction(opcode: Opcode(rawValue: base | 0x08), destination: left, source: source, offset: distance)
        case .immediate(let value):
            Instruction(opcode: Opcode(rawValue: base), destination: left, offset: distance, immediate: value)
        }
    }

    /// `if rL condition rR goto pc+distance`
    package static func branch(
        _ condition: Condition, _ left: Register, _ right: Register, _ distance: Int16
    ) -> Instruction {
        branch(condition, .bits64, left, .register(right), distance)
    }

    /// `if rL condition imm goto pc+distance`
    package static func branch(_ condition: Condition, _ left: Register, _ right: Int32, _ distance: Int16) -> Instruction {
        branch(condition, .bits64, left, .immediate(right), distance)
    }

    /// `call`
    package static func call(_ target: CallTarget) -> Instruction {
        switch target {
        case .helper(let id): Instruction(opcode: .call, immediate: Int32(bitPattern: id))
        case .subprogram(let distance): Instruction(opcode: .call, source: .r1, immediate: distance)
        case .external(let index): Instruction(opcode: .call, source: .r2, immediate: index)
        }
    }

    /// `exit`
    package static let exit = Instruction(opcode: .exit)
}

extension Operation {
    /// The slots of the operation: one, or the two of a wide load.
    package var instructions: [Instruction] {
        switch self {
        case .arithmetic(let operation, let width, let destination, let operand):
            [.arithmetic(operation, width, destination, operand)]
        case .negate(let width, let register): [.negate(width, register)]
        case .move(let width, let destination, let operand): [.move(width, destination, operand)]
        case .moveSigned(let width, let destination, let source, let bits):
            [.moveSigned(width, destination, source, from: bits)]
        case .byteOrder(let order, let bits, let register): [.byteOrder(order, bits: bits, register)]
        case .loadImmediate(let kind, let destination, let first, let second):
            Instruction.loadImmediate(kind, destination, first: first, second: second)
        case .load(let type, let destination, let base, let offset):
            [.load(type, into: destination, from: base, offset: offset)]
        case .store(let type, let base, let offset, let operand): [.store(type, operand, to: base, offset: offset)]
        case .atomic(let operation, let width, let base, let offset, let source):
            [.atomic(operation, width, base: base, offset: offset, source)]
        case .jump(let distance, long: true): [.jumpLong(distance)]
        case .jump(let distance, long: false): [.jump(Int16(truncatingIfNeeded: distance))]
        case .branch(let condition, let width, let left, let operand, let distance):
            [.branch(condition, width, left, operand, distance)]
        case .mayGoto(let distance): [.mayGoto(distance)]
        case .call(let target): [.call(target)]
        case .exit: [.exit]
        }
    }
}

extension Instruction {
    /// `call name#id`
    package static func call(_ helper: Helper) -> Instruction { call(.helper(helper.rawValue)) }
}
