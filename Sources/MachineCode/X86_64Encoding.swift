/// The common shape of instructions: prefixes, REX, opcode, ModRM, SIB, displacement.
extension X86_64Assembler {
    /// The operand of the ModRM byte that can be a register or memory.
    enum RegisterOrMemory {
        case register(UInt8)
        case memory(X86_64Memory)
    }

    /// Emits all of an instruction but its immediate.
    ///
    /// - Parameters:
    ///   - opcode: one byte, or two or three with their `0F`, `0F 38` escape, most significant first.
    ///   - register: the ModRM `reg` field: a register, or the opcode's extension.
    ///   - forceREX: `spl bpl sil dil` need a REX prefix, empty or not.
    ///   - immediateSize: bytes that follow, since rip-relative operands count from the end.
    mutating func emit(
        prefix: UInt8? = nil, isLocked: Bool = false, wide: Bool = false, opcode: UInt32,
        register: UInt8, _ operand: RegisterOrMemory, forceREX: Bool = false, immediateSize: Int = 0
    ) {
        if isLocked { emit(byte: 0xF0) }
        var rex: UInt8 = (wide ? 8 : 0) | (register >> 3) << 2
        switch operand {
        case .register(let number):
            rex |= number >> 3
        case .memory(let memory):
            if let segment = memory.segment { emit(byte: segment.rawValue) }
            if case .register(let base) = memory.base { rex |= base.high }
            if let index = memory.index { rex |= index.high << 1 }
        }
        if let prefix { emit(byte: prefix) }
        if rex != 0 || forceREX { emit(byte: 0x40 | rex) }
        if opcode > 0xFFFF { emit(byte: UInt8(truncatingIfNeeded: opcode >> 16)) }
        if opcode > 0xFF { emit(byte: UInt8(truncatingIfNeeded: opcode >> 8)) }
        emit(byte: UInt8(truncatingIfNeeded: opcode))
        switch operand {
        case .register(let number):
            emit(byte: 0xC0 | (register & 7) << 3 | number & 7)
        case .memory(let memory):
            emit(memory, register: register & 7, immediateSize: immediateSize)
        }
    }

    private mutating func emit(_ memory: X86_64Memory, register: UInt8, immediateSize: Int) {
        let field = register << 3
        switch memory.base {
        case .label(let label):
            emit(byte: field | 5)
            addFixup(
                .relative32, trailing: immediateSize, .label(label.index), addend: memory.displacement)
            emit(immediate: Int32(0))
        case .address(let address):
            emit(byte: field | 5)
            addFixup(.relative32, trailing: immediateSize, .address(address))
            emit(immediate: Int32(0))
        case .none:
            // Without SIB this would be rip-relative.
            emit(byte: field | 4)
            emit(byte: sib(memory, base: 5))
            emit(immediate: memory.displacement)
        case .register(let base):
            let displacement = memory.displacement
            let mode: UInt8
            // mod 0 with rbp or r13 means something else: those take a zero displacement.
            if displacement == 0 && base.low != 5 {
                mode = 0x00
            } else if Int8(exactly: displacement) != nil {
                mode = 0x40
            } else {
                mode = 0x80
            }
            // rsp and r12 in ModRM mean that a SIB follows.
            if memory.index != nil || base.low == 4 {
                emit(byte: mode | field | 4)
                emit(byte: sib(memory, base: base.low))
            } else {
                emit(byte: mode | field | base.low)
            }
            if mode == 0x40 {
                emit(immediate: Int8(truncatingIfNeeded: displacement))
            } else if mode == 0x80 {
                emit(immediate: displacement)
            }
        }
    }

    private func sib(_ memory: X86_64Memory, base: UInt8) -> UInt8 {
        let index = memory.index?.low ?? 4  // 4: no index
        return UInt8(memory.scale.trailingZeroBitCount) << 6 | index << 3 | base
    }

    /// An instruction whose byte form has opcode `opcode - 1` and the others a prefix or REX.W.
    mutating func emit(
        _ width: X86_64Width, isLocked: Bool = false, opcode: UInt32, register: UInt8,
        _ operand: RegisterOrMemory, registerIsExtension: Bool = false, immediateSize: Int = 0
    ) {
        var forceREX = false
        if width == .byte {
            if !registerIsExtension, register >= 4 { forceREX = true }
            if case .register(let number) = operand, number >= 4 { forceREX = true }
        }
        emit(
            prefix: width == .word ? 0x66 : nil, isLocked: isLocked, wide: width == .qword,
            opcode: width == .byte ? opcode - 1 : opcode, register: register, operand,
            forceREX: forceREX, immediateSize: immediateSize)
    }

    /// The immediate of an instruction of `width`: four bytes at most.
    mutating func emit(immediate: Int32, for width: X86_64Width) {
        switch width {
        case .byte: emit(byte: UInt8(truncatingIfNeeded: immediate))
        case .word: emit(immediate: Int16(truncatingIfNeeded: immediate))
        case .dword, .qword: emit(immediate: immediate)
        }
    }

    static func immediateSize(_ width: X86_64Width) -> Int {
        min(Int(width.rawValue), 4)
    }
}
