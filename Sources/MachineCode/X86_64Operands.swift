/// A general register of x86-64; the raw value is the number that instructions carry.
package enum X86_64Register: UInt8, Hashable, Sendable, CaseIterable {
    case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15

    /// Bits 0–2 of the number: what fits ModRM and opcode fields.
    var low: UInt8 { rawValue & 7 }
    /// Bit 3 of the number: what goes to the REX prefix.
    var high: UInt8 { rawValue >> 3 }
}

/// An SSE register, `xmm0`…`xmm15`.
package struct X86_64VectorRegister: Hashable, Sendable {
    package let number: UInt8

    /// `xmm<number>`; numbers above 15 do not exist.
    package init(_ number: UInt8) {
        precondition(number < 16)
        self.number = number
    }
}

/// How many bytes an instruction works on.
package enum X86_64Width: UInt8, Hashable, Sendable, CaseIterable {
    case byte = 1, word = 2, dword = 4, qword = 8
}

/// A condition code; the raw value is the low nibble of `jcc`, `setcc` and `cmovcc`.
package enum X86_64Condition: UInt8, Hashable, Sendable, CaseIterable {
    case overflow, noOverflow
    case below, aboveOrEqual  // unsigned
    case equal, notEqual
    case belowOrEqual, above  // unsigned
    case negative, notNegative
    case parity, noParity
    case less, greaterOrEqual  // signed
    case lessOrEqual, greater  // signed

    /// The opposite condition: the encodings come in pairs.
    package var inverted: X86_64Condition {
        X86_64Condition(rawValue: rawValue ^ 1) ?? self
    }
}

/// The eight two-operand instructions that share one encoding pattern.
package enum X86_64ALUOperation: UInt8, Hashable, Sendable, CaseIterable {
    case add, or, adc, sbb, and, sub, xor, cmp
}

/// Shifts and rotations; the raw value is the ModRM extension.
package enum X86_64ShiftOperation: UInt8, Hashable, Sendable, CaseIterable {
    case rol = 0, ror = 1, shl = 4, shr = 5, sar = 7
}

/// A place in the code, bound now or later.
package struct X86_64Label: Hashable, Sendable {
    let index: Int
}

/// A memory operand.
package struct X86_64Memory: Hashable, Sendable {
    enum Base: Hashable, Sendable {
        case register(X86_64Register)
        case label(X86_64Label)
        case address(UInt64)
        case none
    }
    /// `fs:` and `gs:`, the thread's own memory.
    package enum Segment: UInt8, Hashable, Sendable {
        case fs = 0x64, gs = 0x65
    }

    var base: Base
    var index: X86_64Register?
    var scale: UInt8 = 1
    var displacement: Int32
    package var segment: Segment?

    /// `[base + displacement]`
    package static func at(_ base: X86_64Register, _ displacement: Int32 = 0) -> X86_64Memory {
        X86_64Memory(base: .register(base), displacement: displacement)
    }

    /// `[base + index * scale + displacement]`; scale is 1, 2, 4 or 8 and `rsp` cannot be an index.
    package static func at(
        _ base: X86_64Register, index: X86_64Register, scale: UInt8 = 1, _ displacement: Int32 = 0
    ) -> X86_64Memory {
        precondition(index != .rsp && [1, 2, 4, 8].contains(scale))
        return X86_64Memory(base: .register(base), index: index, scale: scale, displacement: displacement)
    }

    /// `[index * scale + displacement]`, without a base.
    package static func scaled(
        _ index: X86_64Register, scale: UInt8, _ displacement: Int32 = 0
    ) -> X86_64Memory {
        precondition(index != .rsp && [1, 2, 4, 8].contains(scale))
        return X86_64Memory(base: .none, index: index, scale: scale, displacement: displacement)
    }

    /// `[rip + …]`: the bytes at a label of the same code, plus a displacement.
    package static func label(_ label: X86_64Label, _ displacement: Int32 = 0) -> X86_64Memory {
        X86_64Memory(base: .label(label), displacement: displacement)
    }

    /// `[rip + …]`: a fixed address, which must lie within ±2 GiB of the code.
    package static func address(_ address: UInt64) -> X86_64Memory {
        X86_64Memory(base: .address(address), displacement: 0)
    }

    /// `[displacement]`: an absolute address of 32 signed bits, or an offset in `segment`.
    package static func absolute(_ displacement: Int32, segment: Segment? = nil) -> X86_64Memory {
        X86_64Memory(base: .none, displacement: displacement, segment: segment)
    }
}

/// Why code could not be finished.
package enum MachineCodeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An instruction refers to a label that was never bound.
    case unboundLabel(instructionOffset: Int)
    /// A target is farther away than the instruction's displacement reaches.
    case outOfReach(from: UInt64, to: UInt64, bits: Int)

    package var description: String {
        switch self {
        case .unboundLabel(let offset):
            "the instruction at offset \(offset) refers to a label without a place; bind it before finishing"
        case .outOfReach(let from, let to, let bits):
            "the code at 0x\(String(from, radix: 16)) cannot reach 0x\(String(to, radix: 16)) with "
                + "\(bits) bits; place it nearer"
        }
    }
}

extension RegisterSet {
    package init(_ registers: some Sequence<X86_64Register>) { self.init(numbers: registers.map { UInt32($0.rawValue) }) }

    package func contains(_ register: X86_64Register) -> Bool { contains(number: UInt32(register.rawValue)) }

    package mutating func insert(_ register: X86_64Register) { insert(number: UInt32(register.rawValue)) }
}
