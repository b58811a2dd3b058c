import BPF
import MachineCode

extension ARM64Emitter {
    mutating func emitMove(_ width: ARM64Width, _ destination: ARM64Register, _ source: ARM64Register) {
        // A move of 32 bits clears the others.
        if width == .word || destination != source { assembler.mov(destination, source, width) }
    }

    /// `destination = left op operand`; the operand may be the destination.
    mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register,
        _ operand: Operand
    ) {
        switch operand {
        case .register(let right): emitArithmetic(operation, width, destination, left, read(right))
        case .immediate(let value): emitArithmetic(operation, width, destination, left, value)
        }
    }

    private mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register,
        _ right: ARM64Register
    ) {
        switch operation {
        case .add: assembler.add(destination, left, right, width)
        case .subtract: assembler.sub(destination, left, right, width)
        case .or: assembler.logical(.or, destination, left, right, width)
        case .and: assembler.logical(.and, destination, left, right, width)
        case .xor: assembler.logical(.exclusiveOr, destination, left, right, width)
        case .multiply: assembler.mul(destination, left, right, width)
        // The count is taken modulo the width, by BPF as by the processor.
        case .shiftLeft: assembler.shift(.left, destination, left, by: right, width)
        case .shiftRight: assembler.shift(.right, destination, left, by: right, width)
        case .shiftRightArithmetic: assembler.shift(.rightArithmetic, destination, left, by: right, width)
        // The processor's division has BPF's results where the divisor is 0 or -1, and so has the remainder made of it.
        case .divide: assembler.udiv(destination, left, right, width)
        case .divideSigned: assembler.sdiv(destination, left, right, width)
        case .modulo:
            assembler.udiv(.x10, left, right, width)
            assembler.msub(destination, .x10, right, left, width)
        case .moduloSigned:
            assembler.sdiv(.x10, left, right, width)
            assembler.msub(destination, .x10, right, left, width)
        }
    }

    private mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register,
        _ value: Int32
    ) {
        let extended = Self.extended(value, width)
        switch operation {
        case .add where isAddition(value): emitAddition(width, destination, left, Int64(value))
        case .subtract where isAddition(value): emitAddition(width, destination, left, -Int64(value))
        case .add, .subtract:
            emitWithConstant(operation, width, destination, left, extended)
        case .multiply where value == 0, .and where value == 0:
            assembler.mov(destination, immediate: 0)
        case .multiply where value > 0 && value & (value - 1) == 0:
            emitShift(.left, width, destination, left, by: Int32(value.trailingZeroBitCount))
        case .multiply where value > 2 && (value - 1) & (value - 2) == 0:
            assembler.add(destination, left, left, by: UInt8(truncatingIfNeeded: (value - 1).trailingZeroBitCount), width)
        case .or where value == 0, .xor where value == 0, .and where value == -1:
            emitMove(width, destination, left)
        case .xor where value == -1:
            assembler.mvn(destination, left, width)
        case .or: emitLogical(.or, operation, width, destination, left, extended)
        case .and: emitLogical(.and, operation, width, destination, left, extended)
        case .xor: emitLogical(.exclusiveOr, operation, width, destination, left, extended)
        case .shiftLeft: emitShift(.left, width, destination, left, by: value)
        case .shiftRight: emitShift(.right, width, destination, left, by: value)
        case .shiftRightArithmetic: emitShift(.rightArithmetic, width, destination, left, by: value)
        case .divide where value == 0, .divideSigned where value == 0, .modulo where value == 1,
            .moduloSigned where value == 1 || value == -1:
            assembler.mov(destination, immediate: 0)
        case .modulo where value == 0, .moduloSigned where value == 0, .divide where value == 1,
            .divideSigned where value == 1:
            emitMove(width, destination, left)
        case .divideSigned where value == -1:
            assembler.neg(destination, left, width)
        case .divide where value > 0 && value & (value - 1) == 0:
            emitShift(.right, width, destination, left, by: Int32(value.trailingZeroBitCount))
        case .modulo where value > 0 && value & (value - 1) == 0:
            assembler.logical(.and, destination, left, immediate: UInt64(value - 1), width)
        case .multiply, .divide, .divideSigned, .modulo, .moduloSigned:
            emitWithConstant(operation, width, destination, left, extended)
        }
    }

    private mutating func emitWithConstant(
        _ operation: ArithmeticOperation, _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register,
        _ value: UInt64
    ) {
        assembler.mov(.x9, immediate: value)
        emitArithmetic(operation, width, destination, left, .x9)
    }

    private mutating func emitLogical(
        _ machine: ARM64LogicalOperation, _ operation: ArithmeticOperation, _ width: ARM64Width,
        _ destination: ARM64Register, _ left: ARM64Register, _ value: UInt64
    ) {
        if ARM64Constant.logical(value, width) != nil {
            assembler.logical(machine, destination, left, immediate: value, width)
        } else {
            emitWithConstant(operation, width, destination, left, value)
        }
    }

    private func isAddition(_ value: Int32) -> Bool { ARM64Constant.isArithmetic(UInt64(value.magnitude)) }

    private mutating func emitAddition(
        _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register, _ value: Int64
    ) {
        let size = UInt32(value.magnitude)
        switch value {
        case 0: emitMove(width, destination, left)
        case 1...: assembler.add(destination, left, immediate: size, width)
        default: assembler.sub(destination, left, immediate: size, width)
        }
    }

    private mutating func emitShift(
        _ operation: ARM64Shift, _ width: ARM64Width, _ destination: ARM64Register, _ left: ARM64Register, by value: Int32
    ) {
        let count = UInt8(truncatingIfNeeded: value) & (width.rawValue - 1)
        if count == 0 {
            emitMove(width, destination, left)
        } else {
            assembler.shift(operation, destination, left, by: count, width)
        }
    }

    // MARK: Byte order

    mutating func emitByteOrder(_ order: ByteOrder, _ bits: UInt8, _ register: ARM64Register) {
        switch (order, bits) {
        case (.toLittle, 64): break
        case (.toLittle, _): assembler.ubfx(register, register, from: 0, count: bits)
        case (_, 16):
            assembler.rev16(register, register, .word)
            assembler.ubfx(register, register, from: 0, count: 16)
        case (_, 32): assembler.rev(register, register, .word)
        default: assembler.rev(register, register)
        }
    }

    // MARK: Pairs of instructions

    /// Emits two instructions as one if they are a pair that has one; false if not.
    mutating func emitJoined(_ first: Operation, _ second: Operation) -> Bool {
        switch (first, second) {
        // a = b; a op= c
        case (
            .move(let width, let register, .register(let source)),
            .arithmetic(let operation, let secondWidth, let target, let operand)
        ) where width == secondWidth && register == target && source != .r10:
            let operand = operand == .register(register) ? .register(source) : operand
            emitArithmetic(operation, width.arm64, frame.machine(register), frame.machine(source), operand)
            return true
        // a <<= b; a >>= c: a field of a.
        case (
            .arithmetic(.shiftLeft, .bits64, let register, .immediate(let up)),
            .arithmetic(let back, .bits64, let target, .immediate(let down))
        ) where register == target && (1...63).contains(up) && (up...63).contains(down):
            let low = UInt8(down - up)
            let count = UInt8(64 - down)
            let machine = frame.machine(register)
            switch back {
            case .shiftRight: assembler.ubfx(machine, machine, from: low, count: count)
            case .shiftRightArithmetic: assembler.sbfx(machine, machine, from: low, count: count)
            default: return false
            }
            return true
        default:
            return false
        }
    }
}
