/// A general register of arm64. 31 is the stack pointer to some instructions and zero to others, hence two names for it.
package enum ARM64Register: UInt8, Hashable, Sendable, CaseIterable {
    case x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15
    case x16, x17, x18, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28, x29, x30
    case sp, zr

    /// The number where 31 is zero.
    var number: UInt32 {
        precondition(self != .sp, "here 31 is zero, not the stack pointer")
        return self == .zr ? 31 : UInt32(rawValue)
    }

    /// The number where 31 is the stack pointer.
    var numberOrStack: UInt32 {
        precondition(self != .zr, "here 31 is the stack pointer, not zero")
        return UInt32(rawValue)
    }
}

/// How many bits of its registers an instruction works on. What it writes of 32 clears the others.
package enum ARM64Width: UInt8, Hashable, Sendable, CaseIterable {
    case word = 32, doubleword = 64

    /// The bit of most instructions that says 64.
    var size: UInt32 { self == .doubleword ? 1 << 31 : 0 }
}

/// How much of memory an instruction loads or stores; the raw value is the power of two.
package enum ARM64Access: UInt8, Hashable, Sendable, CaseIterable {
    case byte, half, word, doubleword

    package var byteCount: Int { 1 << Int(rawValue) }
}

/// A condition code. Each even one is followed by its opposite.
package enum ARM64Condition: UInt8, Hashable, Sendable, CaseIterable {
    case equal, notEqual
    case carrySet, carryClear  // unsigned: higher or same, lower
    case negative, notNegative
    case overflow, noOverflow
    case higher, lowerOrSame  // unsigned
    case greaterOrEqual, less  // signed
    case greater, lessOrEqual  // signed

    package static let higherOrSame = ARM64Condition.carrySet
    package static let lower = ARM64Condition.carryClear

    /// The opposite condition.
    package var inverted: ARM64Condition { ARM64Condition(rawValue: rawValue ^ 1) ?? self }
}

/// A place in the code, bound now or later.
package struct ARM64Label: Hashable, Sendable {
    let index: Int
}

/// A memory operand of a load or store of one register.
package enum ARM64Memory: Hashable, Sendable {
    /// `[base, #offset]`, where the offset fits: see `isEncodable`.
    case at(ARM64Register, Int = 0)
    /// `[base, index]`, with the index shifted by the size of the access where asked for.
    case indexed(ARM64Register, ARM64Register, scaled: Bool = false)
    /// `[base, #offset]!`: the base becomes the address, before.
    case before(ARM64Register, Int)
    /// `[base], #offset`: the offset is added to the base, behind.
    case after(ARM64Register, Int)

    /// Whether an access of this size at an offset is one instruction.
    package static func isEncodable(offset: Int, _ access: ARM64Access) -> Bool {
        (-256...255).contains(offset)
            || offset >= 0 && offset % access.byteCount == 0 && offset / access.byteCount < 4096
    }
}

/// The logical instructions; the raw value is what they carry.
package enum ARM64LogicalOperation: UInt8, Hashable, Sendable, CaseIterable {
    case and = 0, or = 1, exclusiveOr = 2, andSettingFlags = 3
}

/// A shift; the raw value is what instructions carry.
package enum ARM64Shift: UInt8, Hashable, Sendable, CaseIterable {
    case left, right, rightArithmetic, rotateRight
}

/// What an atomic instruction does with memory and a register. The register of `clear` holds the bits to clear.
package enum ARM64AtomicOperation: Hashable, Sendable, CaseIterable {
    case add, clear, exclusiveOr, set, swap
}

/// What an instruction lets others of this thread or of other processors see, in which order.
package enum ARM64Order: Hashable, Sendable, CaseIterable {
    /// None.
    case relaxed
    /// Loads that acquire and stores that release.
    case acquireRelease
}

/// A register of the processor that user code may read.
package enum ARM64SystemRegister: UInt32, Hashable, Sendable, CaseIterable {
    /// `tpidr_el0`
    case threadPointer = 0b11_011_1101_0000_010
    /// `cntvct_el0`
    case counter = 0b11_011_1110_0000_010
    /// `cntfrq_el0`
    case counterFrequency = 0b11_011_1110_0000_000
    /// `nzcv`
    case flags = 0b11_011_0100_0010_000
}

/// What a barrier orders.
package enum ARM64Barrier: UInt32, Hashable, Sendable, CaseIterable {
    /// `ishld`: loads before all that follows.
    case loads = 9
    /// `ishst`
    case stores = 10
    /// `ish`: everything.
    case all = 11
}

/// What an address may be branched to by, where its page is guarded.
package enum ARM64BranchTarget: UInt32, Hashable, Sendable, CaseIterable {
    /// By `blr`, and by `br` through x16 or x17.
    case calls = 34
    case jumps = 36
    case both = 38
}

extension RegisterSet {
    package init(_ registers: some Sequence<ARM64Register>) { self.init(numbers: registers.map { $0.number }) }

    package func contains(_ register: ARM64Register) -> Bool { contains(number: register.number) }

    package mutating func insert(_ register: ARM64Register) { insert(number: register.number) }
}
