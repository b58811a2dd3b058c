/// Arithmetic, logic and moves.
extension ARM64Assembler {
    // MARK: Addition

    /// `add` of a constant: twelve bits, perhaps with as many zeros below. Both registers may be the stack pointer.
    package mutating func add(
        _ destination: ARM64Register, _ source: ARM64Register, immediate: UInt32, _ width: ARM64Width = .doubleword
    ) {
        emit(addition: 0x1100_0000, destination.numberOrStack, source, immediate, width)
    }

    /// `sub` of a constant, as `add`.
    package mutating func sub(
        _ destination: ARM64Register, _ source: ARM64Register, immediate: UInt32, _ width: ARM64Width = .doubleword
    ) {
        emit(addition: 0x5100_0000, destination.numberOrStack, source, immediate, width)
    }

    /// `adds` of a constant; `cmn` where the destination is `zr`.
    package mutating func adds(
        _ destination: ARM64Register, _ source: ARM64Register, immediate: UInt32, _ width: ARM64Width = .doubleword
    ) {
        emit(addition: 0x3100_0000, destination.number, source, immediate, width)
    }

    /// `subs` of a constant; `cmp` where the destination is `zr`.
    package mutating func subs(
        _ destination: ARM64Register, _ source: ARM64Register, immediate: UInt32, _ width: ARM64Width = .doubleword
    ) {
        emit(addition: 0x7100_0000, destination.number, source, immediate, width)
    }

    private mutating func emit(
        addition opcode: UInt32, _ destination: UInt32, _ source: ARM64Register, _ immediate: UInt32, _ width: ARM64Width
    ) {
        precondition(ARM64Constant.isArithmetic(UInt64(immediate)), "no constant of an addition")
        let field = immediate < 1 << 12 ? immediate << 10 : 1 << 22 | (immediate >> 12) << 10
        emit(opcode | width.size | field | source.numberOrStack << 5 | destination)
    }

    /// `add` of two registers, the second one shifted.
    package mutating func add(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, shift: ARM64Shift = .left,
        by count: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        emit(registers: 0x0b00_0000, destination, first, second, shift, count, width)
    }

    /// `sub` of two registers, the second one shifted; `neg` where the first one is `zr`.
    package mutating func sub(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, shift: ARM64Shift = .left,
        by count: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        emit(registers: 0x4b00_0000, destination, first, second, shift, count, width)
    }

    /// `adds` of two registers.
    package mutating func adds(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        emit(registers: 0x2b00_0000, destination, first, second, .left, 0, width)
    }

    /// `subs` of two registers; `cmp` where the destination is `zr`.
    package mutating func subs(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        emit(registers: 0x6b00_0000, destination, first, second, .left, 0, width)
    }

    /// `neg`
    package mutating func neg(
        _ destination: ARM64Register, _ source: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        sub(destination, .zr, source, width)
    }

    /// `cmp` of two registers.
    package mutating func cmp(_ first: ARM64Register, _ second: ARM64Register, _ width: ARM64Width = .doubleword) {
        subs(.zr, first, second, width)
    }

    /// `cmp` with a constant: see `add`.
    package mutating func cmp(_ first: ARM64Register, immediate: UInt32, _ width: ARM64Width = .doubleword) {
        subs(.zr, first, immediate: immediate, width)
    }

    private mutating func emit(
        registers opcode: UInt32, _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register,
        _ shift: ARM64Shift, _ count: UInt8, _ width: ARM64Width
    ) {
        precondition(count < width.rawValue && (shift != .rotateRight || opcode & 0x0100_0000 == 0))
        emit(
            opcode | width.size | UInt32(shift.rawValue) << 22 | second.number << 16 | UInt32(count) << 10
                | first.number << 5 | destination.number)
    }

    // MARK: Logic

    /// `and`, `orr`, `eor`, `ands` of two registers, the second one shifted, and inverted where asked for (`bic`, `orn`, `eon`,
    /// `bics`). `tst` where the destination of `ands` is `zr`.
    package mutating func logical(
        _ operation: ARM64LogicalOperation, _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register,
        inverted: Bool = false, shift: ARM64Shift = .left, by count: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        let opcode = 0x0a00_0000 | UInt32(operation.rawValue) << 29 | (inverted ? 1 << 21 : 0)
        emit(registers: opcode, destination, first, second, shift, count, width)
    }

    /// The same with a constant, of which `ARM64Constant.logical` knows. The destination may be the stack pointer, but not that
    /// of `ands`.
    package mutating func logical(
        _ operation: ARM64LogicalOperation, _ destination: ARM64Register, _ source: ARM64Register, immediate: UInt64,
        _ width: ARM64Width = .doubleword
    ) {
        guard let field = ARM64Constant.logical(immediate, width) else {
            preconditionFailure("no constant of a logical instruction")
        }
        let number = operation == .andSettingFlags ? destination.number : destination.numberOrStack
        emit(
            0x1200_0000 | width.size | UInt32(operation.rawValue) << 29 | field << 10 | source.number << 5 | number)
    }

    /// `mvn`
    package mutating func mvn(
        _ destination: ARM64Register, _ source: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        logical(.or, destination, .zr, source, inverted: true, width)
    }

    // MARK: Moves

    /// `mov` of registers, the stack pointer among them.
    package mutating func mov(
        _ destination: ARM64Register, _ source: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        if destination == .sp || source == .sp {
            add(destination, source, immediate: 0, width)
        } else {
            logical(.or, destination, .zr, source, width)
        }
    }

    /// `movz`: sixteen bits at a place (0…3), zeros around.
    package mutating func movz(
        _ destination: ARM64Register, _ value: UInt16, _ place: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        emit(wide: 0x5280_0000, destination, value, place, width)
    }

    /// `movn`: the opposite of what `movz` makes.
    package mutating func movn(
        _ destination: ARM64Register, _ value: UInt16, _ place: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        emit(wide: 0x1280_0000, destination, value, place, width)
    }

    /// `movk`: sixteen bits at a place, and the others are kept.
    package mutating func movk(
        _ destination: ARM64Register, _ value: UInt16, _ place: UInt8 = 0, _ width: ARM64Width = .doubleword
    ) {
        emit(wide: 0x7280_0000, destination, value, place, width)
    }

    private mutating func emit(
        wide opcode: UInt32, _ destination: ARM64Register, _ value: UInt16, _ place: UInt8, _ width: ARM64Width
    ) {
        precondition(place < width.rawValue / 16)
        emit(opcode | width.size | UInt32(place) << 21 | UInt32(value) << 5 | destination.number)
    }

    /// `csel`: one of two registers.
    package mutating func csel(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ condition: ARM64Condition,
        _ width: ARM64Width = .doubleword
    ) {
        emit(
            0x1a80_0000 | width.size | second.number << 16 | UInt32(condition.rawValue) << 12 | first.number << 5
                | destination.number)
    }

    // MARK: Bit fields

    /// `ubfx`: a field, zeros above it.
    package mutating func ubfx(
        _ destination: ARM64Register, _ source: ARM64Register, from low: UInt8, count: UInt8,
        _ width: ARM64Width = .doubleword
    ) {
        precondition(count > 0 && low + count <= width.rawValue)
        emit(field: 0x5300_0000, destination, source, low, low + count - 1, width)
    }

    /// `sbfx`: a field, its sign above it.
    package mutating func sbfx(
        _ destination: ARM64Register, _ source: ARM64Register, from low: UInt8, count: UInt8,
        _ width: ARM64Width = .doubleword
    ) {
        precondition(count > 0 && low + count <= width.rawValue)
        emit(field: 0x1300_0000, destination, source, low, low + count - 1, width)
    }

    /// A shift by a constant.
    package mutating func shift(
        _ operation: ARM64Shift, _ destination: ARM64Register, _ source: ARM64Register, by count: UInt8,
        _ width: ARM64Width = .doubleword
    ) {
        let bits = width.rawValue
        precondition(count < bits)
        switch operation {
        case .left: emit(field: 0x5300_0000, destination, source, (bits - count) % bits, bits - 1 - count, width)
        case .right: emit(field: 0x5300_0000, destination, source, count, bits - 1, width)
        case .rightArithmetic: emit(field: 0x1300_0000, destination, source, count, bits - 1, width)
        case .rotateRight:
            emit(
                0x1380_0000 | width.size | width.size >> 9 | source.number << 16 | UInt32(count) << 10
                    | source.number << 5 | destination.number)
        }
    }

    /// `extr`: the 64 bits from `count` on of the 128 that two registers make.
    package mutating func extr(
        _ destination: ARM64Register, _ high: ARM64Register, _ low: ARM64Register, from count: UInt8
    ) {
        precondition(count < 64)
        emit(0x93c0_0000 | low.number << 16 | UInt32(count) << 10 | high.number << 5 | destination.number)
    }

    private mutating func emit(
        field opcode: UInt32, _ destination: ARM64Register, _ source: ARM64Register, _ rotation: UInt8, _ last: UInt8,
        _ width: ARM64Width
    ) {
        emit(
            opcode | width.size | width.size >> 9 | UInt32(rotation) << 16 | UInt32(last) << 10 | source.number << 5
                | destination.number)
    }

    // MARK: Two operands of any value

    /// A shift by a register, of which the lowest five or six bits count.
    package mutating func shift(
        _ operation: ARM64Shift, _ destination: ARM64Register, _ source: ARM64Register, by count: ARM64Register,
        _ width: ARM64Width = .doubleword
    ) {
        emit(twoSources: 8 + UInt32(operation.rawValue), destination, source, count, width)
    }

    /// `udiv`: 0 where the divisor is.
    package mutating func udiv(
        _ destination: ARM64Register, _ dividend: ARM64Register, _ divisor: ARM64Register,
        _ width: ARM64Width = .doubleword
    ) {
        emit(twoSources: 2, destination, dividend, divisor, width)
    }

    /// `sdiv`: 0 where the divisor is; the smallest number divided by -1 is itself.
    package mutating func sdiv(
        _ destination: ARM64Register, _ dividend: ARM64Register, _ divisor: ARM64Register,
        _ width: ARM64Width = .doubleword
    ) {
        emit(twoSources: 3, destination, dividend, divisor, width)
    }

    private mutating func emit(
        twoSources operation: UInt32, _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register,
        _ width: ARM64Width
    ) {
        emit(
            0x1ac0_0000 | width.size | second.number << 16 | operation << 10 | first.number << 5 | destination.number)
    }

    /// `madd`: destination = addend + first × second.
    package mutating func madd(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ addend: ARM64Register,
        _ width: ARM64Width = .doubleword
    ) {
        emit(
            0x1b00_0000 | width.size | second.number << 16 | addend.number << 10 | first.number << 5 | destination.number)
    }

    /// `msub`: destination = minuend - first × second.
    package mutating func msub(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ minuend: ARM64Register,
        _ width: ARM64Width = .doubleword
    ) {
        emit(
            0x1b00_8000 | width.size | second.number << 16 | minuend.number << 10 | first.number << 5 | destination.number)
    }

    /// `mul`: the low half of the product, for signed and unsigned alike.
    package mutating func mul(
        _ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        madd(destination, first, second, .zr, width)
    }

    /// `umulh`: the high half of the unsigned product of 64 bits.
    package mutating func umulh(_ destination: ARM64Register, _ first: ARM64Register, _ second: ARM64Register) {
        emit(0x9bc0_7c00 | second.number << 16 | first.number << 5 | destination.number)
    }

    // MARK: Byte order

    /// `rev`: the bytes the other way round.
    package mutating func rev(
        _ destination: ARM64Register, _ source: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        emit(0x5ac0_0800 | width.size | width.size >> 21 | source.number << 5 | destination.number)
    }

    /// `rev16`: the same within each sixteen bits.
    package mutating func rev16(
        _ destination: ARM64Register, _ source: ARM64Register, _ width: ARM64Width = .doubleword
    ) {
        emit(0x5ac0_0400 | width.size | source.number << 5 | destination.number)
    }
}
