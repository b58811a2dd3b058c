/// Which bits of a value are known (the kernel's tnum): those outside `mask` are as in `value`.
package struct KnownBits: Hashable, Sendable, BitwiseCopyable {
    package var value: UInt64
    /// Unknown bits; `value` is 0 there.
    package var mask: UInt64

    package init(value: UInt64, mask: UInt64) {
        self.value = value & ~mask
        self.mask = mask
    }

    package init(_ constant: UInt64) { self.init(value: constant, mask: 0) }

    package static let unknown = KnownBits(value: 0, mask: .max)

    /// What all numbers of a range have in common: the bits above the highest one in which its ends differ.
    init(from minimum: UInt64, through maximum: UInt64) {
        let differing = minimum ^ maximum
        let unknown = differing == 0 ? 0 : UInt64.max >> UInt64(differing.leadingZeroBitCount)
        self.init(value: minimum, mask: unknown)
    }

    var isConstant: Bool { mask == 0 }

    package func contains(_ number: UInt64) -> Bool { number & ~mask == value }

    /// All numbers of `other` are numbers of this.
    func contains(_ other: KnownBits) -> Bool { other.mask & ~mask == 0 && other.value & ~mask == value }

    /// Bits that both know; where they contradict each other there is no number, and the result is of no matter.
    func intersection(_ other: KnownBits) -> KnownBits {
        KnownBits(value: value | other.value, mask: mask & other.mask)
    }

    func contradicts(_ other: KnownBits) -> Bool { (value ^ other.value) & ~mask & ~other.mask != 0 }

    static func + (left: KnownBits, right: KnownBits) -> KnownBits {
        // Carries are unknown where the sums with all unknown bits clear and all of them set differ.
        let low = left.value &+ right.value
        let high = low &+ left.mask &+ right.mask
        let unknown = (low ^ high) | left.mask | right.mask
        return KnownBits(value: low, mask: unknown)
    }

    static func - (left: KnownBits, right: KnownBits) -> KnownBits {
        let difference = left.value &- right.value
        let high = difference &+ left.mask
        let low = difference &- right.mask
        let unknown = (high ^ low) | left.mask | right.mask
        return KnownBits(value: difference, mask: unknown)
    }

    static func & (left: KnownBits, right: KnownBits) -> KnownBits {
        let possible = (left.value | left.mask) & (right.value | right.mask)
        let certain = left.value & right.value
        return KnownBits(value: certain, mask: possible & ~certain)
    }

    static func | (left: KnownBits, right: KnownBits) -> KnownBits {
        let certain = left.value | right.value
        return KnownBits(value: certain, mask: (left.mask | right.mask) & ~certain)
    }

    static func ^ (left: KnownBits, right: KnownBits) -> KnownBits {
        KnownBits(value: left.value ^ right.value, mask: left.mask | right.mask)
    }

    /// Long multiplication: a shifted right operand for each bit of the left one that is, or may be, set.
    static func * (left: KnownBits, right: KnownBits) -> KnownBits {
        if left.isConstant && right.isConstant { return KnownBits(left.value &* right.value) }
        var sum = KnownBits(0)
        var rest = left
        var addend = right
        while rest.value | rest.mask != 0 {
            if rest.value & 1 != 0 {
                sum = sum + addend
            } else if rest.mask & 1 != 0 {
                // Added or not: every bit that may be set in the addend may be set or not.
                sum = sum + KnownBits(value: 0, mask: addend.value | addend.mask)
            }
            rest = rest >> 1
            addend = addend << 1
        }
        return sum
    }

    static func << (bits: KnownBits, amount: UInt64) -> KnownBits {
        KnownBits(value: bits.value << amount, mask: bits.mask << amount)
    }

    static func >> (bits: KnownBits, amount: UInt64) -> KnownBits {
        KnownBits(value: bits.value >> amount, mask: bits.mask >> amount)
    }

    func shiftedRightArithmetically(_ amount: UInt64) -> KnownBits {
        KnownBits(
            value: UInt64(bitPattern: Int64(bitPattern: value) >> Int64(amount)),
            mask: UInt64(bitPattern: Int64(bitPattern: mask) >> Int64(amount)))
    }

    /// The low `count` bytes in the other order.
    func swapped(bytes count: Int) -> KnownBits {
        let shift = UInt64(64 - count * 8)
        return KnownBits(value: value.byteSwapped >> shift, mask: mask.byteSwapped >> shift)
    }

    /// The low 32 bits, the others known to be 0.
    var low: KnownBits { KnownBits(value: value & 0xffff_ffff, mask: mask & 0xffff_ffff) }

    func truncated(toBytes count: Int) -> KnownBits {
        guard count < 8 else { return self }
        let kept = UInt64(1) << UInt64(count * 8) - 1
        return KnownBits(value: value & kept, mask: mask & kept)
    }

    /// The low 32 bits replaced.
    func withLow(_ low: KnownBits) -> KnownBits {
        KnownBits(
            value: value & ~0xffff_ffff | low.value & 0xffff_ffff, mask: mask & ~0xffff_ffff | low.mask & 0xffff_ffff)
    }
}
