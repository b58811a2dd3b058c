import BPF
import MachineCode

extension X86_64Emitter {
    /// `destination = destination op operand`; a dword operation clears the upper half.
    mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register, _ operand: Operand
    ) {
        switch operand {
        case .register(let source): emitArithmetic(operation, width, destination, source.machine)
        case .immediate(let value): emitArithmetic(operation, width, destination, value)
        }
    }

    private mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register, _ source: X86_64Register
    ) {
        switch operation {
        case .add: assembler.alu(.add, destination, source, width)
        case .subtract: assembler.alu(.sub, destination, source, width)
        case .or: assembler.alu(.or, destination, source, width)
        case .and: assembler.alu(.and, destination, source, width)
        case .xor: assembler.alu(.xor, destination, source, width)
        case .multiply: assembler.imul(destination, source, width)
        case .shiftLeft: emitShift(.shl, width, destination, by: source)
        case .shiftRight: emitShift(.shr, width, destination, by: source)
        case .shiftRightArithmetic: emitShift(.sar, width, destination, by: source)
        case .divide, .modulo, .divideSigned, .moduloSigned:
            emitDivision(operation, width, destination, by: source)
        }
    }

    private mutating func emitArithmetic(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register, _ value: Int32
    ) {
        switch operation {
        case .add: emitAddition(width, destination, value)
        case .subtract:
            // -Int32.min does not exist, and 128 is shorter as -(-128).
            if value == .min {
                assembler.alu(.sub, destination, immediate: value, width)
            } else {
                emitAddition(width, destination, -value)
            }
        case .multiply: emitMultiplication(width, destination, value)
        case .and:
            switch value {
            case 0xff: assembler.movzx(destination, destination, from: .byte)
            case 0xffff: assembler.movzx(destination, destination, from: .word)
            case -1: clearUpperHalf(destination, width)
            // The result fits 32 bits: no REX.W needed.
            case 0...: assembler.alu(.and, destination, immediate: value, .dword)
            default: assembler.alu(.and, destination, immediate: value, width)
            }
        case .or:
            if value == 0 {
                clearUpperHalf(destination, width)
            } else {
                assembler.alu(.or, destination, immediate: value, width)
            }
        case .xor:
            switch value {
            case 0: clearUpperHalf(destination, width)
            case -1: assembler.not(destination, width)
            default: assembler.alu(.xor, destination, immediate: value, width)
            }
        case .shiftLeft: emitShift(.shl, width, destination, by: value)
        case .shiftRight: emitShift(.shr, width, destination, by: value)
        case .shiftRightArithmetic: emitShift(.sar, width, destination, by: value)
        case .divide, .modulo, .divideSigned, .moduloSigned:
            emitDivision(operation, width, destination, by: value)
        }
    }

    /// What is left of a dword operation that changes nothing.
    private mutating func clearUpperHalf(_ register: X86_64Register, _ width: X86_64Width) {
        if width == .dword { assembler.mov(register, register, .dword) }
    }

    private mutating func emitAddition(_ width: X86_64Width, _ destination: X86_64Register, _ value: Int32) {
        switch value {
        case 0: clearUpperHalf(destination, width)
        case 1: assembler.inc(destination, width)
        case -1: assembler.dec(destination, width)
        case 128: assembler.alu(.sub, destination, immediate: -128, width)
        default: assembler.alu(.add, destination, immediate: value, width)
        }
    }

    private mutating func emitMultiplication(_ width: X86_64Width, _ destination: X86_64Register, _ value: Int32) {
        if value == 0 {
            assembler.mov(destination, immediate: 0)
        } else if value > 0, value & (value - 1) == 0 {
            emitShift(.shl, width, destination, by: Int32(value.trailingZeroBitCount))
        } else if value == 3 || value == 5 || value == 9 {
            assembler.lea(destination, .at(destination, index: destination, scale: UInt8(value - 1)), width)
        } else {
            assembler.imul(destination, destination, immediate: value, width)
        }
    }

    // MARK: Shifts

    /// The count is taken modulo the width, by BPF as by the processor.
    private mutating func emitShift(
        _ operation: X86_64ShiftOperation, _ width: X86_64Width, _ destination: X86_64Register, by value: Int32
    ) {
        let count = UInt8(truncatingIfNeeded: value) & (width == .qword ? 63 : 31)
        if count == 0 {
            clearUpperHalf(destination, width)
        } else {
            assembler.shift(operation, destination, by: count, width)
        }
    }

    private mutating func emitShift(
        _ operation: X86_64ShiftOperation, _ width: X86_64Width, _ destination: X86_64Register, by count: X86_64Register
    ) {
        if count == .rcx && destination != .rcx {
            assembler.shiftByCL(operation, destination, width)
        } else if context.features.contains(.bmi2) {
            assembler.shiftX(operation, destination, destination, by: count, width)
        } else if destination == .rcx {
            assembler.mov(.r11, .rcx)
            if count != .rcx { assembler.mov(.rcx, count, .dword) }
            assembler.shiftByCL(operation, .r11, width)
            assembler.mov(.rcx, .r11)
        } else {
            assembler.mov(.r11, .rcx)
            assembler.mov(.rcx, count, .dword)
            assembler.shiftByCL(operation, destination, width)
            assembler.mov(.rcx, .r11)
        }
    }

    // MARK: Division

    /// By a constant: most edge cases are known now.
    private mutating func emitDivision(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register, by value: Int32
    ) {
        switch (operation, value) {
        case (.divide, 0), (.divideSigned, 0), (.modulo, 1), (.moduloSigned, 1), (.moduloSigned, -1):
            assembler.mov(destination, immediate: 0)
        case (.modulo, 0), (.moduloSigned, 0), (.divide, 1), (.divideSigned, 1):
            clearUpperHalf(destination, width)
        case (.divideSigned, -1):
            assembler.neg(destination, width)
        case (.divide, 2...) where value & (value - 1) == 0:
            assembler.shift(.shr, destination, by: UInt8(value.trailingZeroBitCount), width)
        case (.modulo, 2...) where value & (value - 1) == 0:
            emitArithmetic(.and, width, destination, value - 1)
        default:
            assembler.mov(.r11, immediate: Self.extended(value, width == .qword ? .bits64 : .bits32))
            emitDivisionByR11(operation, width, destination)
        }
    }

    private mutating func emitDivision(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register, by source: X86_64Register
    ) {
        let done = assembler.makeLabel()
        assembler.mov(.r11, source, width)
        switch operation {
        case .divide:
            // x / 0 = 0
            let divide = assembler.makeLabel()
            assembler.test(.r11, .r11, width)
            assembler.jcc(.notEqual, divide, .short)
            assembler.alu(.xor, destination, destination, .dword)
            assembler.jmp(done, .short)
            assembler.bind(divide)
        case .modulo:
            // x % 0 = x
            clearUpperHalf(destination, width)
            assembler.test(.r11, .r11, width)
            assembler.jcc(.equal, done, .short)
        default:
            // 0 and -1, the divisors that trap, take a multiplication: x / 0 = x * 0, x / -1 = x * -1,
            // and with the divisor plus one x % 0 = x * 1, x % -1 = x * 0.
            let divide = assembler.makeLabel()
            assembler.lea(.r10, .at(.r11, 1), width)
            assembler.alu(.cmp, .r10, immediate: 1, width)
            assembler.jcc(.above, divide, .short)
            assembler.imul(destination, operation == .divideSigned ? .r11 : .r10, width)
            assembler.jmp(done, .short)
            assembler.bind(divide)
        }
        emitDivisionByR11(operation, width, destination)
        assembler.bind(done)
    }

    /// rdx:rax / r11, with what the two held before put aside in r9 and r10.
    private mutating func emitDivisionByR11(
        _ operation: ArithmeticOperation, _ width: X86_64Width, _ destination: X86_64Register
    ) {
        if destination != .rax {
            assembler.mov(.r10, .rax)
            assembler.mov(.rax, destination, width)
        }
        if destination != .rdx { assembler.mov(.r9, .rdx) }
        switch operation {
        case .divideSigned, .moduloSigned:
            if width == .qword { assembler.cqo() } else { assembler.cdq() }
            assembler.idiv(.r11, width)
        default:
            assembler.alu(.xor, .rdx, .rdx, .dword)
            assembler.div(.r11, width)
        }
        let result: X86_64Register = operation == .divide || operation == .divideSigned ? .rax : .rdx
        if result != destination { assembler.mov(destination, result, width) }
        if destination != .rax { assembler.mov(.rax, .r10) }
        if destination != .rdx { assembler.mov(.rdx, .r9) }
    }

    // MARK: Byte order

    mutating func emitByteOrder(_ order: ByteOrder, _ bits: UInt8, _ register: X86_64Register) {
        if order != .toLittle {
            switch bits {
            case 16: assembler.shift(.rol, register, by: 8, .word)
            case 32: assembler.bswap(register, .dword)
            default: assembler.bswap(register)
            }
        }
        switch bits {
        case 16: assembler.movzx(register, register, from: .word)
        case 32 where order == .toLittle: assembler.mov(register, register, .dword)
        default: break
        }
    }

    // MARK: Pairs of instructions

    /// Emits two instructions as one if they are a pair that has one; false if not.
    mutating func emitJoined(_ first: Operation, _ second: Operation) -> Bool {
        switch (first, second) {
        // a = b; a += c
        case (
            .move(let width, let destination, .register(let source)),
            .arithmetic(.add, let secondWidth, let target, let operand)
        ) where width == secondWidth && destination == target && destination != source:
            let memory: X86_64Memory =
                switch operand {
                case .immediate(let value): .at(source.machine, value)
                case .register(destination): .at(source.machine, index: source.machine)
                case .register(let addend): .at(source.machine, index: addend.machine)
                }
            assembler.lea(destination.machine, memory, width.machine)
            return true
        case (
            .move(let width, let destination, .register(let source)),
            .arithmetic(.subtract, let secondWidth, let target, .immediate(let value))
        ) where width == secondWidth && destination == target && destination != source && value != .min:
            assembler.lea(destination.machine, .at(source.machine, -value), width.machine)
            return true
        // a <<= 32; a >>= 32: how compilers without 32-bit instructions extend.
        case (
            .arithmetic(.shiftLeft, .bits64, let register, .immediate(let count)),
            .arithmetic(let back, .bits64, let target, .immediate(let backCount))
        ) where register == target && count == backCount:
            let width: X86_64Width
            switch count {
            case 32: width = .dword
            case 48: width = .word
            case 56: width = .byte
            default: return false
            }
            switch back {
            case .shiftRight: assembler.movzx(register.machine, register.machine, from: width)
            case .shiftRightArithmetic: assembler.movsx(register.machine, register.machine, from: width)
            default: return false
            }
            return true
        default:
            return false
        }
    }
}
