/// What is known of a number: its bits, and bounds of it as an unsigned and a signed number of 64 bits and, of its
/// low half, of 32. Each is true by itself; ``settle()`` lets each learn from the others.
package struct Scalar: Hashable, Sendable, BitwiseCopyable {
    package var bits: KnownBits
    package var minimum: UInt64
    package var maximum: UInt64
    package var signedMinimum: Int64
    package var signedMaximum: Int64
    package var minimum32: UInt32
    package var maximum32: UInt32
    package var signedMinimum32: Int32
    package var signedMaximum32: Int32

    package static let unknown = Scalar(bits: .unknown)

    /// Bits only, all bounds open.
    init(bits: KnownBits) {
        self.bits = bits
        minimum = 0
        maximum = .max
        signedMinimum = .min
        signedMaximum = .max
        minimum32 = 0
        maximum32 = .max
        signedMinimum32 = .min
        signedMaximum32 = .max
    }

    package init(_ constant: UInt64) {
        bits = KnownBits(constant)
        minimum = constant
        maximum = constant
        signedMinimum = Int64(bitPattern: constant)
        signedMaximum = signedMinimum
        minimum32 = UInt32(truncatingIfNeeded: constant)
        maximum32 = minimum32
        signedMinimum32 = Int32(bitPattern: minimum32)
        signedMaximum32 = signedMinimum32
    }

    init(_ range: ClosedRange<UInt64>) {
        self.init(bits: .unknown)
        minimum = range.lowerBound
        maximum = range.upperBound
        settle()
    }

    init(signed range: ClosedRange<Int64>) {
        self.init(bits: .unknown)
        signedMinimum = range.lowerBound
        signedMaximum = range.upperBound
        settle()
    }

    package var constant: UInt64? { bits.mask == 0 ? bits.value : nil }
    var isConstant: Bool { bits.mask == 0 }
    var constant32: UInt32? { bits.mask & 0xffff_ffff == 0 ? UInt32(truncatingIfNeeded: bits.value) : nil }

    package func contains(_ number: UInt64) -> Bool {
        let signed = Int64(bitPattern: number)
        let low = UInt32(truncatingIfNeeded: number)
        let signedLow = Int32(bitPattern: low)
        return bits.contains(number) && minimum <= number && number <= maximum && signedMinimum <= signed
            && signed <= signedMaximum && minimum32 <= low && low <= maximum32 && signedMinimum32 <= signedLow
            && signedLow <= signedMaximum32
    }

    /// Every number that `other` may be, this may be.
    func contains(_ other: Scalar) -> Bool {
        minimum <= other.minimum && other.maximum <= maximum && signedMinimum <= other.signedMinimum
            && other.signedMaximum <= signedMaximum && minimum32 <= other.minimum32 && other.maximum32 <= maximum32
            && signedMinimum32 <= other.signedMinimum32 && other.signedMaximum32 <= signedMaximum32
            && bits.contains(other.bits)
    }

    /// No number is left: the path that led here does not exist.
    var isEmpty: Bool {
        minimum > maximum || signedMinimum > signedMaximum || minimum32 > maximum32
            || signedMinimum32 > signedMaximum32
    }

    // MARK: - Keeping in step

    /// Lets bits and bounds learn from each other.
    mutating func settle() {
        if bits.mask == 0, minimum == maximum, minimum == bits.value {
            settleConstant()
            return
        }
        learnFromBits()
        learnAcrossSigns()
        learnAcrossWidths()
        learnAcrossSigns()
        learnBits()
        learnFromBits()
    }

    private mutating func settleConstant() {
        let exact = Scalar(bits.value)
        guard contains(bits.value) else {
            // Say so in one place, whatever bound disagreed.
            minimum = 1
            maximum = 0
            return
        }
        self = exact
    }

    private mutating func learnFromBits() {
        minimum = max(minimum, bits.value)
        maximum = min(maximum, bits.value | bits.mask)
        let sign: UInt64 = 1 << 63
        signedMinimum = max(signedMinimum, Int64(bitPattern: bits.value | bits.mask & sign))
        signedMaximum = min(signedMaximum, Int64(bitPattern: bits.value | bits.mask & ~sign))
        let value = UInt32(truncatingIfNeeded: bits.value)
        let mask = UInt32(truncatingIfNeeded: bits.mask)
        let sign32: UInt32 = 1 << 31
        minimum32 = max(minimum32, value)
        maximum32 = min(maximum32, value | mask)
        signedMinimum32 = max(signedMinimum32, Int32(bitPattern: value | mask & sign32))
        signedMaximum32 = min(signedMaximum32, Int32(bitPattern: value | mask & ~sign32))
    }

    /// A range that does not cross the sign's boundary is the same range in the other view.
    private mutating func learnAcrossSigns() {
        if Int64(bitPattern: minimum) <= Int64(bitPattern: maximum) {
            signedMinimum = max(signedMinimum, Int64(bitPattern: minimum))
            signedMaximum = min(signedMaximum, Int64(bitPattern: maximum))
        }
        if UInt64(bitPattern: signedMinimum) <= UInt64(bitPattern: signedMaximum) {
            minimum = max(minimum, UInt64(bitPattern: signedMinimum))
            maximum = min(maximum, UInt64(bitPattern: signedMaximum))
        }
        if Int32(bitPattern: minimum32) <= Int32(bitPattern: maximum32) {
            signedMinimum32 = max(signedMinimum32, Int32(bitPattern: minimum32))
            signedMaximum32 = min(signedMaximum32, Int32(bitPattern: maximum32))
        }
        if UInt32(bitPattern: signedMinimum32) <= UInt32(bitPattern: signedMaximum32) {
            minimum32 = max(minimum32, UInt32(bitPattern: signedMinimum32))
            maximum32 = min(maximum32, UInt32(bitPattern: signedMaximum32))
        }
    }

    private mutating func learnAcrossWidths() {
        // Both ends in one block of 2³²: the low halves are ordered as the numbers are.
        if minimum >> 32 == maximum >> 32 {
            minimum32 = max(minimum32, UInt32(truncatingIfNeeded: minimum))
            maximum32 = min(maximum32, UInt32(truncatingIfNeeded: maximum))
        }
        if signedMinimum >> 32 == signedMaximum >> 32 {
            minimum32 = max(minimum32, UInt32(truncatingIfNeeded: signedMinimum))
            maximum32 = min(maximum32, UInt32(truncatingIfNeeded: signedMaximum))
        }
        // Numbers that fit in 32 signed bits are what their low halves are.
        if signedMinimum >= Int64(Int32.min), signedMaximum <= Int64(Int32.max) {
            signedMinimum32 = max(signedMinimum32, Int32(truncatingIfNeeded: signedMinimum))
            signedMaximum32 = min(signedMaximum32, Int32(truncatingIfNeeded: signedMaximum))
            signedMinimum = max(signedMinimum, Int64(signedMinimum32))
            signedMaximum = min(signedMaximum, Int64(signedMaximum32))
        }
        // A number in the block of an end is not below (above) that block's part of the low half's range.
        let block: UInt64 = 0xffff_ffff
        minimum = max(minimum, minimum & ~block | UInt64(minimum32))
        maximum = min(maximum, maximum & ~block | UInt64(maximum32))
        signedMinimum = max(signedMinimum, signedMinimum & ~Int64(block) | Int64(minimum32))
        signedMaximum = min(signedMaximum, signedMaximum & ~Int64(block) | Int64(maximum32))
    }

    private mutating func learnBits() {
        guard !isEmpty else { return }
        let range = KnownBits(from: minimum, through: maximum)
        let range32 = KnownBits(from: UInt64(minimum32), through: UInt64(maximum32))
        if bits.contradicts(range) || bits.low.contradicts(range32) {
            minimum = 1
            maximum = 0
            return
        }
        bits = bits.intersection(range)
        bits = bits.withLow(bits.low.intersection(range32))
    }

    // MARK: - Parts

    /// The low half, the high half 0.
    var zeroExtended: Scalar {
        if bits.mask & 0xffff_ffff == 0 { return Scalar(bits.value & 0xffff_ffff) }
        var result = self
        result.bits = bits.low
        result.minimum = UInt64(minimum32)
        result.maximum = UInt64(maximum32)
        result.signedMinimum = Int64(minimum32)
        result.signedMaximum = Int64(maximum32)
        result.settle()
        return result
    }

    /// The low `count` bytes, the others 0.
    func truncated(toBytes count: Int) -> Scalar {
        switch count {
        case 8...: return self
        case 4: return zeroExtended
        default:
            let limit = UInt64(1) << UInt64(count * 8) - 1
            if maximum <= limit { return self }
            var result = Scalar(bits: bits.truncated(toBytes: count))
            result.maximum = limit
            result.settle()
            return result
        }
    }

    /// The low `count` bytes, sign-extended.
    func signExtended(fromBytes count: Int) -> Scalar {
        let width = Int64(64 - count * 8)
        let top = Int64.max >> width
        if let constant { return Scalar(UInt64(bitPattern: (Int64(bitPattern: constant) << width) >> width)) }
        if signedMinimum >= -top - 1, signedMaximum <= top { return self }
        if count == 4 {
            var result = self
            result.bits = KnownBits(
                value: UInt64(bitPattern: Int64(bitPattern: bits.value << 32) >> 32),
                mask: UInt64(bitPattern: Int64(bitPattern: bits.mask << 32) >> 32))
            result.minimum = 0
            result.maximum = .max
            result.signedMinimum = Int64(signedMinimum32)
            result.signedMaximum = Int64(signedMaximum32)
            result.settle()
            return result
        }
        var result = Scalar(
            bits: KnownBits(
                value: UInt64(bitPattern: Int64(bitPattern: bits.value << UInt64(width)) >> width),
                mask: UInt64(bitPattern: Int64(bitPattern: bits.mask << UInt64(width)) >> width)))
        result.signedMinimum = -top - 1
        result.signedMaximum = top
        result.settle()
        return result
    }
}
