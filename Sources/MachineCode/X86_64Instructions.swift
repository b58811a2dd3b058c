/// Moves and arithmetic.
extension X86_64Assembler {
    // MARK: Moves

    /// `mov`; a dword move clears the upper half.
    package mutating func mov(
        _ destination: X86_64Register, _ source: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x89, register: source.rawValue, .register(destination.rawValue))
    }

    /// `mov` from memory. Byte and word loads keep the register's other bits: see `movzx`.
    package mutating func mov(
        _ destination: X86_64Register, _ source: X86_64Memory, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x8B, register: destination.rawValue, .memory(source))
    }

    /// `mov` to memory.
    package mutating func mov(
        _ destination: X86_64Memory, _ source: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x89, register: source.rawValue, .memory(destination))
    }

    /// `mov` of an immediate to memory; sign-extended when the width is 64 bits.
    package mutating func mov(
        _ destination: X86_64Memory, immediate: Int32, _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: 0xC7, register: 0, .memory(destination), registerIsExtension: true,
            immediateSize: Self.immediateSize(width))
        emit(immediate: immediate, for: width)
    }

    /// Loads a 64-bit constant with the shortest instruction. `xor` is used for zero only when the
    /// flags may be lost.
    package mutating func mov(
        _ destination: X86_64Register, immediate: UInt64, keepsFlags: Bool = false
    ) {
        if immediate == 0 && !keepsFlags {
            alu(.xor, destination, destination, .dword)
        } else if immediate <= UInt64(UInt32.max) {
            if destination.high != 0 { emit(byte: 0x41) }
            emit(byte: 0xB8 | destination.low)
            emit(immediate: UInt32(immediate))
        } else if let signed = Int32(exactly: Int64(bitPattern: immediate)) {
            emit(byte: 0x48 | destination.high)
            emit(byte: 0xC7)
            emit(byte: 0xC0 | destination.low)
            emit(immediate: signed)
        } else {
            mov64(destination, immediate)
        }
    }

    /// `movabs`: always the ten-byte form, which can be patched.
    package mutating func mov64(_ destination: X86_64Register, _ immediate: UInt64) {
        emit(byte: 0x48 | destination.high)
        emit(byte: 0xB8 | destination.low)
        emit(immediate: immediate)
    }

    /// `movabs` with the absolute address of a label.
    package mutating func mov64(_ destination: X86_64Register, addressOf label: X86_64Label) {
        emit(byte: 0x48 | destination.high)
        emit(byte: 0xB8 | destination.low)
        emitAddress(of: label)
    }

    /// Zero-extends a byte, word or dword to 64 bits (`movzx`, or `mov` for a dword).
    package mutating func movzx(
        _ destination: X86_64Register, _ source: X86_64Register, from width: X86_64Width
    ) {
        extend(destination, .register(source.rawValue), from: width, byteOpcode: 0x0FB6)
    }

    /// Loads a byte, word, dword or qword, zero-extended to 64 bits.
    package mutating func movzx(
        _ destination: X86_64Register, _ source: X86_64Memory, from width: X86_64Width
    ) {
        extend(destination, .memory(source), from: width, byteOpcode: 0x0FB6)
    }

    private mutating func extend(
        _ destination: X86_64Register, _ source: RegisterOrMemory, from width: X86_64Width,
        byteOpcode: UInt32
    ) {
        switch width {
        case .byte, .word:
            var forceREX = false
            if width == .byte, case .register(let number) = source, number >= 4 { forceREX = true }
            emit(
                opcode: width == .byte ? byteOpcode : byteOpcode + 1, register: destination.rawValue,
                source, forceREX: forceREX)
        case .dword, .qword:
            emit(width, opcode: 0x8B, register: destination.rawValue, source)
        }
    }

    /// Sign-extends to 64 bits, or to 32 with the upper half cleared (`movsx`, `movsxd`).
    package mutating func movsx(
        _ destination: X86_64Register, _ source: X86_64Register, from: X86_64Width,
        to: X86_64Width = .qword
    ) {
        signExtend(destination, .register(source.rawValue), from: from, to: to)
    }

    /// Loads with sign extension to 64 bits, or to 32 with the upper half cleared.
    package mutating func movsx(
        _ destination: X86_64Register, _ source: X86_64Memory, from: X86_64Width,
        to: X86_64Width = .qword
    ) {
        signExtend(destination, .memory(source), from: from, to: to)
    }

    private mutating func signExtend(
        _ destination: X86_64Register, _ source: RegisterOrMemory, from: X86_64Width, to: X86_64Width
    ) {
        if from.rawValue >= to.rawValue {
            emit(to, opcode: 0x8B, register: destination.rawValue, source)
            return
        }
        switch from {
        case .byte, .word:
            var forceREX = false
            if from == .byte, case .register(let number) = source, number >= 4 { forceREX = true }
            emit(
                wide: to == .qword, opcode: from == .byte ? 0x0FBE : 0x0FBF,
                register: destination.rawValue, source, forceREX: forceREX)
        case .dword, .qword:
            emit(wide: true, opcode: 0x63, register: destination.rawValue, source)
        }
    }

    /// `lea`: the address itself. A dword result clears the upper half.
    package mutating func lea(
        _ destination: X86_64Register, _ source: X86_64Memory, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x8D, register: destination.rawValue, .memory(source))
    }

    /// `cmovcc`
    package mutating func cmov(
        _ condition: X86_64Condition, _ destination: X86_64Register, _ source: X86_64Register,
        _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: 0x0F40 | UInt32(condition.rawValue), register: destination.rawValue,
            .register(source.rawValue))
    }

    /// `setcc` on the low byte of a register.
    package mutating func set(_ condition: X86_64Condition, _ destination: X86_64Register) {
        emit(
            opcode: 0x0F90 | UInt32(condition.rawValue), register: 0, .register(destination.rawValue),
            forceREX: destination.rawValue >= 4)
    }

    /// `movq`: the low 64 bits of a vector register into a general one.
    package mutating func movq(_ destination: X86_64Register, _ source: X86_64VectorRegister) {
        emit(
            prefix: 0x66, wide: true, opcode: 0x0F7E, register: source.number,
            .register(destination.rawValue))
    }

    /// `movq`: a general register into the low 64 bits of a vector register; the others become zero.
    package mutating func movq(_ destination: X86_64VectorRegister, _ source: X86_64Register) {
        emit(
            prefix: 0x66, wide: true, opcode: 0x0F6E, register: destination.number,
            .register(source.rawValue))
    }

    /// `movq`: stores the low 64 bits of a vector register.
    package mutating func movq(_ destination: X86_64Memory, _ source: X86_64VectorRegister) {
        emit(prefix: 0x66, opcode: 0x0FD6, register: source.number, .memory(destination))
    }

    /// `movups`: loads 128 bits, aligned or not.
    package mutating func movups(_ destination: X86_64VectorRegister, _ source: X86_64Memory) {
        emit(opcode: 0x0F10, register: destination.number, .memory(source))
    }

    /// `movups`: stores 128 bits, aligned or not.
    package mutating func movups(_ destination: X86_64Memory, _ source: X86_64VectorRegister) {
        emit(opcode: 0x0F11, register: source.number, .memory(destination))
    }

    // MARK: Arithmetic

    /// `add or adc sbb and sub xor cmp` of two registers.
    package mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: X86_64Register, _ source: X86_64Register,
        _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: UInt32(operation.rawValue << 3 | 1), register: source.rawValue,
            .register(destination.rawValue))
    }

    /// … of a register and memory.
    package mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: X86_64Register, _ source: X86_64Memory,
        _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: UInt32(operation.rawValue << 3 | 3), register: destination.rawValue,
            .memory(source))
    }

    /// … of memory and a register, atomic if locked.
    package mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: X86_64Memory, _ source: X86_64Register,
        _ width: X86_64Width = .qword, isLocked: Bool = false
    ) {
        emit(
            width, isLocked: isLocked, opcode: UInt32(operation.rawValue << 3 | 1),
            register: source.rawValue, .memory(destination))
    }

    /// … of a register and an immediate, which is sign-extended to 64 bits.
    package mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: X86_64Register, immediate: Int32,
        _ width: X86_64Width = .qword
    ) {
        alu(operation, .register(destination.rawValue), immediate: immediate, width, isLocked: false)
    }

    /// … of memory and an immediate, which is sign-extended to 64 bits; atomic if locked.
    package mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: X86_64Memory, immediate: Int32,
        _ width: X86_64Width = .qword, isLocked: Bool = false
    ) {
        alu(operation, .memory(destination), immediate: immediate, width, isLocked: isLocked)
    }

    private mutating func alu(
        _ operation: X86_64ALUOperation, _ destination: RegisterOrMemory, immediate: Int32,
        _ width: X86_64Width, isLocked: Bool
    ) {
        if width != .byte, Int8(exactly: immediate) != nil {
            emit(
                width, isLocked: isLocked, opcode: 0x83, register: operation.rawValue, destination,
                registerIsExtension: true, immediateSize: 1)
            emit(byte: UInt8(truncatingIfNeeded: immediate))
            return
        }
        if case .register(X86_64Register.rax.rawValue) = destination {
            // The accumulator has a form without ModRM.
            if width == .word { emit(byte: 0x66) }
            if width == .qword { emit(byte: 0x48) }
            emit(byte: operation.rawValue << 3 | (width == .byte ? 4 : 5))
        } else {
            emit(
                width, isLocked: isLocked, opcode: 0x81, register: operation.rawValue, destination,
                registerIsExtension: true, immediateSize: Self.immediateSize(width))
        }
        emit(immediate: immediate, for: width)
    }

    /// `test` of two registers.
    package mutating func test(
        _ first: X86_64Register, _ second: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x85, register: second.rawValue, .register(first.rawValue))
    }

    /// `test` of a register and an immediate, which is sign-extended to 64 bits.
    package mutating func test(
        _ first: X86_64Register, immediate: Int32, _ width: X86_64Width = .qword
    ) {
        if first == .rax {
            if width == .word { emit(byte: 0x66) }
            if width == .qword { emit(byte: 0x48) }
            emit(byte: width == .byte ? 0xA8 : 0xA9)
        } else {
            emit(
                width, opcode: 0xF7, register: 0, .register(first.rawValue), registerIsExtension: true)
        }
        emit(immediate: immediate, for: width)
    }

    /// `test` of memory and an immediate, which is sign-extended to 64 bits.
    package mutating func test(
        _ first: X86_64Memory, immediate: Int32, _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: 0xF7, register: 0, .memory(first), registerIsExtension: true,
            immediateSize: Self.immediateSize(width))
        emit(immediate: immediate, for: width)
    }

    /// `inc` of memory, atomic if locked.
    package mutating func inc(
        _ destination: X86_64Memory, _ width: X86_64Width = .qword, isLocked: Bool = false
    ) {
        emit(
            width, isLocked: isLocked, opcode: 0xFF, register: 0, .memory(destination),
            registerIsExtension: true)
    }

    /// `dec` of memory, atomic if locked.
    package mutating func dec(
        _ destination: X86_64Memory, _ width: X86_64Width = .qword, isLocked: Bool = false
    ) {
        emit(
            width, isLocked: isLocked, opcode: 0xFF, register: 1, .memory(destination),
            registerIsExtension: true)
    }

    /// `inc` of a register.
    package mutating func inc(_ destination: X86_64Register, _ width: X86_64Width = .qword) {
        emit(
            width, opcode: 0xFF, register: 0, .register(destination.rawValue), registerIsExtension: true)
    }

    /// `dec` of a register.
    package mutating func dec(_ destination: X86_64Register, _ width: X86_64Width = .qword) {
        emit(
            width, opcode: 0xFF, register: 1, .register(destination.rawValue), registerIsExtension: true)
    }

    /// `neg`
    package mutating func neg(_ destination: X86_64Register, _ width: X86_64Width = .qword) {
        group3(3, destination, width)
    }

    /// `not`
    package mutating func not(_ destination: X86_64Register, _ width: X86_64Width = .qword) {
        group3(2, destination, width)
    }

    /// `mul`: rdx:rax = rax × source, unsigned.
    package mutating func mul(_ source: X86_64Register, _ width: X86_64Width = .qword) {
        group3(4, source, width)
    }

    /// `imul`: rdx:rax = rax × source, signed.
    package mutating func imul(_ source: X86_64Register, _ width: X86_64Width = .qword) {
        group3(5, source, width)
    }

    /// `div`: rax, rdx = rdx:rax divided by source, unsigned.
    package mutating func div(_ source: X86_64Register, _ width: X86_64Width = .qword) {
        group3(6, source, width)
    }

    /// `idiv`: rax, rdx = rdx:rax divided by source, signed.
    package mutating func idiv(_ source: X86_64Register, _ width: X86_64Width = .qword) {
        group3(7, source, width)
    }

    private mutating func group3(_ extensionField: UInt8, _ operand: X86_64Register, _ width: X86_64Width) {
        emit(
            width, opcode: 0xF7, register: extensionField, .register(operand.rawValue),
            registerIsExtension: true)
    }

    /// `imul` of two registers: the low half of the product, for signed and unsigned alike.
    package mutating func imul(
        _ destination: X86_64Register, _ source: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x0FAF, register: destination.rawValue, .register(source.rawValue))
    }

    /// `imul`: destination = source × immediate.
    package mutating func imul(
        _ destination: X86_64Register, _ source: X86_64Register, immediate: Int32,
        _ width: X86_64Width = .qword
    ) {
        let isShort = Int8(exactly: immediate) != nil
        emit(
            width, opcode: isShort ? 0x6B : 0x69, register: destination.rawValue,
            .register(source.rawValue))
        if isShort {
            emit(byte: UInt8(truncatingIfNeeded: immediate))
        } else {
            emit(immediate: immediate, for: width)
        }
    }

    /// `cqo`: the sign of rax into rdx.
    package mutating func cqo() { emit([0x48, 0x99]) }
    /// `cdq`: the sign of eax into edx.
    package mutating func cdq() { emit(byte: 0x99) }

    /// Shift or rotation by a constant.
    package mutating func shift(
        _ operation: X86_64ShiftOperation, _ destination: X86_64Register, by count: UInt8,
        _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: count == 1 ? 0xD1 : 0xC1, register: operation.rawValue,
            .register(destination.rawValue), registerIsExtension: true)
        if count != 1 { emit(byte: count) }
    }

    /// Shift or rotation by `cl`.
    package mutating func shiftByCL(
        _ operation: X86_64ShiftOperation, _ destination: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(
            width, opcode: 0xD3, register: operation.rawValue, .register(destination.rawValue),
            registerIsExtension: true)
    }

    /// `shlx`, `shrx`, `sarx` (BMI2): destination = source shifted by a register, flags kept.
    package mutating func shiftX(
        _ operation: X86_64ShiftOperation, _ destination: X86_64Register, _ source: X86_64Register,
        by count: X86_64Register, _ width: X86_64Width = .qword
    ) {
        let prefix: UInt8
        switch operation {
        case .shl: prefix = 1
        case .sar: prefix = 2
        case .shr: prefix = 3
        case .rol, .ror: preconditionFailure("BMI2 has no rotation by a register")
        }
        emit(byte: 0xC4)
        emit(byte: (1 ^ destination.high) << 7 | 0x40 | (1 ^ source.high) << 5 | 2)
        emit(byte: (width == .qword ? 0x80 : 0) | (15 ^ count.rawValue) << 3 | prefix)
        emit(byte: 0xF7)
        emit(byte: 0xC0 | destination.low << 3 | source.low)
    }

    /// `bswap` of 32 or 64 bits; 16 bits take a rotation by 8.
    package mutating func bswap(_ destination: X86_64Register, _ width: X86_64Width = .qword) {
        precondition(width == .dword || width == .qword)
        let rex = (width == .qword ? 8 : 0) | destination.high
        if rex != 0 { emit(byte: 0x40 | rex) }
        emit(byte: 0x0F)
        emit(byte: 0xC8 | destination.low)
    }
}
