import BPF

extension Scalar {
    /// Bounds and bits as a comparison of some width sees them, in 64 bits: unsigned ones zero-extended, signed ones
    /// sign-extended.
    private struct View {
        var minimum: UInt64
        var maximum: UInt64
        var signedMinimum: Int64
        var signedMaximum: Int64
        var bits: KnownBits

        init(_ scalar: Scalar, _ width: Width) {
            switch width {
            case .bits64:
                minimum = scalar.minimum
                maximum = scalar.maximum
                signedMinimum = scalar.signedMinimum
                signedMaximum = scalar.signedMaximum
                bits = scalar.bits
            case .bits32:
                minimum = UInt64(scalar.minimum32)
                maximum = UInt64(scalar.maximum32)
                signedMinimum = Int64(scalar.signedMinimum32)
                signedMaximum = Int64(scalar.signedMaximum32)
                bits = scalar.bits.low
            }
        }

        var constant: UInt64? { bits.mask == 0 ? bits.value : nil }

        mutating func setBits(_ set: UInt64) {
            bits = KnownBits(value: bits.value | set, mask: bits.mask & ~set)
        }

        mutating func clearBits(_ clear: UInt64) {
            bits = KnownBits(value: bits.value & ~clear, mask: bits.mask & ~clear)
        }
    }

    private mutating func narrow(to view: View, _ width: Width, contradiction: Bool) {
        switch width {
        case .bits64:
            minimum = view.minimum
            maximum = view.maximum
            signedMinimum = view.signedMinimum
            signedMaximum = view.signedMaximum
            bits = view.bits
        case .bits32:
            guard view.minimum <= view.maximum, view.signedMinimum <= view.signedMaximum else {
                (minimum, maximum) = (1, 0)
                return
            }
            minimum32 = UInt32(truncatingIfNeeded: view.minimum)
            maximum32 = UInt32(truncatingIfNeeded: view.maximum)
            signedMinimum32 = Int32(truncatingIfNeeded: view.signedMinimum)
            signedMaximum32 = Int32(truncatingIfNeeded: view.signedMaximum)
            bits = bits.withLow(view.bits)
        }
        if contradiction || minimum > maximum || signedMinimum > signedMaximum {
            (minimum, maximum) = (1, 0)
            return
        }
        settle()
    }

    /// Whether the condition holds for all numbers, or for none; nil if it depends.
    static func decide(_ condition: Condition, _ width: Width, _ left: Scalar, _ right: Scalar) -> Bool? {
        let one = View(left, width)
        let other = View(right, width)
        switch condition {
        case .equal: return equality(one, other)
        case .notEqual: return equality(one, other).map { !$0 }
        case .greater: return greater(one, other)
        case .lessOrEqual: return greater(one, other).map { !$0 }
        case .less: return greater(other, one)
        case .greaterOrEqual: return greater(other, one).map { !$0 }
        case .signedGreater: return signedGreater(one, other)
        case .signedLessOrEqual: return signedGreater(one, other).map { !$0 }
        case .signedLess: return signedGreater(other, one)
        case .signedGreaterOrEqual: return signedGreater(other, one).map { !$0 }
        case .anyBitSet:
            if one.bits.value & other.bits.value != 0 { return true }
            if (one.bits.value | one.bits.mask) & (other.bits.value | other.bits.mask) == 0 { return false }
            return nil
        }
    }

    private static func equality(_ one: View, _ other: View) -> Bool? {
        if let left = one.constant, let right = other.constant { return left == right }
        if one.minimum > other.maximum || one.maximum < other.minimum || one.signedMinimum > other.signedMaximum
            || one.signedMaximum < other.signedMinimum || one.bits.contradicts(other.bits)
        {
            return false
        }
        return nil
    }

    private static func greater(_ one: View, _ other: View) -> Bool? {
        if one.minimum > other.maximum { return true }
        if one.maximum <= other.minimum { return false }
        return nil
    }

    private static func signedGreater(_ one: View, _ other: View) -> Bool? {
        if one.signedMinimum > other.signedMaximum { return true }
        if one.signedMaximum <= other.signedMinimum { return false }
        return nil
    }

    /// What both numbers are where the condition holds (or, with `holds` false, where it does not).
    /// With `isConstant` the right one is a constant of the program, of which there is nothing to learn.
    static func assume(
        _ condition: Condition, _ width: Width, holds: Bool, _ left: inout Scalar, _ right: inout Scalar,
        isConstant: Bool = false
    ) {
        if isConstant, width == .bits64, let constant = right.constant {
            switch (condition, holds) {
            case (.equal, true), (.notEqual, false):
                if left.contains(constant) { left = right } else { (left.minimum, left.maximum) = (1, 0) }
                return
            case (.equal, false), (.notEqual, true):
                // A number in the middle tells nothing.
                if !left.isEnd(constant) { return }
            default: break
            }
        }
        var one = View(left, width)
        var other = View(right, width)
        var contradiction = false
        switch (condition, holds) {
        case (.equal, true), (.notEqual, false):
            contradiction = one.bits.contradicts(other.bits)
            one.minimum = max(one.minimum, other.minimum)
            one.maximum = min(one.maximum, other.maximum)
            one.signedMinimum = max(one.signedMinimum, other.signedMinimum)
            one.signedMaximum = min(one.signedMaximum, other.signedMaximum)
            one.bits = one.bits.intersection(other.bits)
            other = one
        case (.equal, false), (.notEqual, true):
            if let constant = other.constant { exclude(constant, from: &one, width) }
            if let constant = one.constant { exclude(constant, from: &other, width) }
        case (.greater, true), (.lessOrEqual, false): contradiction = !assumeLess(&other, &one, strictly: true)
        case (.greaterOrEqual, true), (.less, false): contradiction = !assumeLess(&other, &one, strictly: false)
        case (.less, true), (.greaterOrEqual, false): contradiction = !assumeLess(&one, &other, strictly: true)
        case (.lessOrEqual, true), (.greater, false): contradiction = !assumeLess(&one, &other, strictly: false)
        case (.signedGreater, true), (.signedLessOrEqual, false):
            contradiction = !assumeSignedLess(&other, &one, strictly: true)
        case (.signedGreaterOrEqual, true), (.signedLess, false):
            contradiction = !assumeSignedLess(&other, &one, strictly: false)
        case (.signedLess, true), (.signedGreaterOrEqual, false):
            contradiction = !assumeSignedLess(&one, &other, strictly: true)
        case (.signedLessOrEqual, true), (.signedGreater, false):
            contradiction = !assumeSignedLess(&one, &other, strictly: false)
        case (.anyBitSet, true):
            // One bit only tells which.
            if let constant = other.constant, constant.nonzeroBitCount == 1 { one.setBits(constant) }
            if let constant = one.constant, constant.nonzeroBitCount == 1 { other.setBits(constant) }
        case (.anyBitSet, false):
            if let constant = other.constant { one.clearBits(constant) }
            if let constant = one.constant { other.clearBits(constant) }
        }
        left.narrow(to: one, width, contradiction: contradiction)
        if !isConstant { right.narrow(to: other, width, contradiction: contradiction) }
    }

    /// Some bound of 64 bits.
    private func isEnd(_ number: UInt64) -> Bool {
        let signed = Int64(bitPattern: number)
        return minimum == number || maximum == number || signedMinimum == signed || signedMaximum == signed
    }

    /// A number that is excluded moves an end that it is.
    private static func exclude(_ constant: UInt64, from view: inout View, _ width: Width) {
        let signed = width == .bits64 ? Int64(bitPattern: constant) : Int64(Int32(truncatingIfNeeded: constant))
        if view.minimum == view.maximum { return }
        if view.minimum == constant { view.minimum += 1 }
        if view.maximum == constant { view.maximum -= 1 }
        if view.signedMinimum == view.signedMaximum { return }
        if view.signedMinimum == signed { view.signedMinimum += 1 }
        if view.signedMaximum == signed { view.signedMaximum -= 1 }
    }

    /// `low` < `high`, or ≤; false where that cannot be.
    private static func assumeLess(_ low: inout View, _ high: inout View, strictly: Bool) -> Bool {
        if strictly {
            guard high.maximum > 0, low.minimum < .max else { return false }
            low.maximum = min(low.maximum, high.maximum - 1)
            high.minimum = max(high.minimum, low.minimum + 1)
        } else {
            low.maximum = min(low.maximum, high.maximum)
            high.minimum = max(high.minimum, low.minimum)
        }
        return low.minimum <= low.maximum && high.minimum <= high.maximum
    }

    private static func assumeSignedLess(_ low: inout View, _ high: inout View, strictly: Bool) -> Bool {
        if strictly {
            guard high.signedMaximum > .min, low.signedMinimum < .max else { return false }
            low.signedMaximum = min(low.signedMaximum, high.signedMaximum - 1)
            high.signedMinimum = max(high.signedMinimum, low.signedMinimum + 1)
        } else {
            low.signedMaximum = min(low.signedMaximum, high.signedMaximum)
            high.signedMinimum = max(high.signedMinimum, low.signedMinimum)
        }
        return low.signedMinimum <= low.signedMaximum && high.signedMinimum <= high.signedMaximum
    }
}
