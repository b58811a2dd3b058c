/// How many bits an arithmetic, jump or atomic instruction works on.
package enum Width: UInt8, Sendable, CaseIterable {
    case bits32 = 32
    case bits64 = 64
}

/// The second operand of an instruction.
package enum Operand: Hashable, Sendable {
    case register(Register)
    /// Sign-extended to 64 bits where the instruction works on 64.
    case immediate(Int32)
}

/// The two-operand arithmetic. Raw values: `BPF_OP`, plus 1 for the signed forms (their offset field).
package enum ArithmeticOperation: UInt8, Sendable, CaseIterable {
    case add = 0x00
    case subtract = 0x10
    case multiply = 0x20
    /// Unsigned; by zero gives zero.
    case divide = 0x30
    /// `sdiv`: truncates toward zero; by zero gives zero; the smallest value by -1 gives itself.
    case divideSigned = 0x31
    case or = 0x40
    case and = 0x50
    /// `lsh`: the amount is taken modulo the width, as in the other shifts.
    case shiftLeft = 0x60
    /// `rsh`
    case shiftRight = 0x70
    /// Unsigned; by zero leaves the destination as it is.
    case modulo = 0x90
    /// `smod`: the sign of the dividend; by zero leaves the destination as it is.
    case moduloSigned = 0x91
    case xor = 0xa0
    /// `arsh`
    case shiftRightArithmetic = 0xc0
}

/// The comparison of a conditional jump; raw values are `BPF_OP`.
package enum Condition: UInt8, Sendable, CaseIterable {
    case equal = 0x10
    case greater = 0x20
    case greaterOrEqual = 0x30
    /// `BPF_JSET`: the operands have a bit in common.
    case anyBitSet = 0x40
    case notEqual = 0x50
    case signedGreater = 0x60
    case signedGreaterOrEqual = 0x70
    case less = 0xa0
    case lessOrEqual = 0xb0
    case signedLess = 0xc0
    case signedLessOrEqual = 0xd0
}

/// What a load or store moves: its size, and whether a load extends the sign.
package enum MemoryType: UInt8, Sendable, CaseIterable {
    case u8, u16, u32, u64
    /// `BPF_MEMSX`, loads only.
    case s8, s16, s32

    package var byteCount: Int {
        switch self {
        case .u8, .s8: 1
        case .u16, .s16: 2
        case .u32, .s32: 4
        case .u64: 8
        }
    }

    package var isSigned: Bool {
        switch self {
        case .u8, .u16, .u32, .u64: false
        case .s8, .s16, .s32: true
        }
    }

    package var size: Opcode.Size {
        switch self {
        case .u8, .s8: .byte
        case .u16, .s16: .half
        case .u32, .s32: .word
        case .u64: .double
        }
    }
}

/// An atomic read-modify-write; raw values are the instruction's immediate.
package enum AtomicOperation: Int32, Sendable, CaseIterable {
    case add = 0x00
    case or = 0x40
    case and = 0x50
    case xor = 0xa0
    /// With `BPF_FETCH`: the source register receives the old value.
    case fetchAdd = 0x01
    case fetchOr = 0x41
    case fetchAnd = 0x51
    case fetchXor = 0xa1
    /// `BPF_XCHG`: the source register receives the old value.
    case exchange = 0xe1
    /// `BPF_CMPXCHG`: stores the source if memory equals r0; r0 receives the old value.
    case compareExchange = 0xf1

    /// The source register receives the old value.
    package var fetchesIntoSource: Bool { rawValue & 1 != 0 && self != .compareExchange }
}

/// `BPF_END`: byte order conversions.
package enum ByteOrder: Sendable, CaseIterable {
    /// `BPF_TO_LE`: on a little-endian machine, only truncates.
    case toLittle
    /// `BPF_TO_BE`
    case toBig
    /// `bswap` of version 4: unconditional.
    case swap
}

/// What the source register of a wide load says about its immediate (`BPF_PSEUDO_*`).
package enum WideImmediate: UInt8, Sendable, CaseIterable {
    /// A plain 64-bit number.
    case value = 0
    /// `BPF_PSEUDO_MAP_FD`
    case mapDescriptor = 1
    /// `BPF_PSEUDO_MAP_VALUE`: a map's descriptor, and in the second slot the offset into its value.
    case mapDescriptorValue = 2
    /// `BPF_PSEUDO_BTF_ID`: the address of an extern variable (index in the object's externs).
    case variable = 3
    /// `BPF_PSEUDO_FUNC`: the address of a subprogram, relative to the next instruction.
    case function = 4
    /// `BPF_PSEUDO_MAP_IDX`: a map by its index in the object.
    case map = 5
    /// `BPF_PSEUDO_MAP_IDX_VALUE`: like `map`, and in the second slot the offset into its value.
    case mapValue = 6
}

/// What a call calls; its source register says which (`BPF_PSEUDO_*`).
package enum CallTarget: Hashable, Sendable {
    /// A helper by its id (source 0).
    case helper(UInt32)
    /// `BPF_PSEUDO_CALL`: a subprogram, in slots from the next instruction.
    case subprogram(Int32)
    /// `BPF_PSEUDO_KFUNC_CALL`: a function outside (index in the object's externs).
    case external(Int32)
}
