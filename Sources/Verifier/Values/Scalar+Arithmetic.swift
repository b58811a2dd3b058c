import BPF

extension Scalar {
    /// The result of an operation of 64 or 32 bits on two numbers.
    package static func apply(_ operation: ArithmeticOperation, _ width: Width, _ left: Scalar, _ right: Scalar) -> Scalar {
        if width == .bits64 {
            if let left = left.constant, let right = right.constant {
                return Scalar(operation.constant(left, right))
            }
            return left.applying(operation, right)
        }
        // The same arithmetic on zero-extended halves, cut to 32 bits; only signs and shift amounts differ.
        if let left = left.constant32, let right = right.constant32 {
            return Scalar(UInt64(operation.constant(left, right)))
        }
        return left.applying32(operation, right)
    }

    private func applying(_ operation: ArithmeticOperation, _ right: Scalar) -> Scalar {
        // Nothing comes here, though that was not seen when the path began: bounds that contradict each other are no ranges.
        guard !isEmpty, !right.isEmpty else { return .unknown }
        var result: Scalar
        switch operation {
        case .add:
            result = Scalar(bits: bits + right.bits)
            result.addBounds(self, right)
            result.addBounds32(self, right)
        case .subtract:
            result = Scalar(bits: bits - right.bits)
            result.subtractBounds(self, right)
            result.subtractBounds32(self, right)
        case .multiply:
            result = Scalar(bits: bits * right.bits)
            result.multiplyBounds(self, right)
        case .and:
            result = Scalar(bits: bits & right.bits)
            result.maximum = min(maximum, right.maximum)
            result.maximum32 = min(maximum32, right.maximum32)
        case .or:
            result = Scalar(bits: bits | right.bits)
            result.minimum = max(minimum, right.minimum)
            result.minimum32 = max(minimum32, right.minimum32)
        case .xor:
            result = Scalar(bits: bits ^ right.bits)
        case .shiftLeft:
            guard let amount = right.constant.map({ $0 & 63 }) else { return .unknown }
            result = Scalar(bits: bits << amount)
            if maximum <= UInt64.max >> amount {
                result.minimum = minimum << amount
                result.maximum = maximum << amount
            }
            if signedMinimum >= Int64.min >> Int64(amount), signedMaximum <= Int64.max >> Int64(amount) {
                result.signedMinimum = signedMinimum << Int64(amount)
                result.signedMaximum = signedMaximum << Int64(amount)
            }
        case .shiftRight:
            guard let amount = right.constant.map({ $0 & 63 }) else { return Scalar(0...maximum) }
            result = Scalar(bits: bits >> amount)
            result.minimum = minimum >> amount
            result.maximum = maximum >> amount
        case .shiftRightArithmetic:
            guard let amount = right.constant.map({ $0 & 63 }) else { return .unknown }
            result = Scalar(bits: bits.shiftedRightArithmetically(amount))
            result.signedMinimum = signedMinimum >> Int64(amount)
            result.signedMaximum = signedMaximum >> Int64(amount)
        case .divide:
            guard let divisor = right.constant, divisor != 0 else {
                // By zero gives zero, by anything else nothing larger.
                return Scalar(0...maximum)
            }
            return Scalar(minimum / divisor...maximum / divisor)
        case .modulo:
            guard let divisor = right.constant, divisor != 0 else { return Scalar(0...maximum) }
            if maximum < divisor { return self }
            return Scalar(0...divisor - 1)
        case .divideSigned:
            guard let divisor = right.constant, divisor != 0, Int64(bitPattern: divisor) > 0 else { return .unknown }
            let signed = Int64(bitPattern: divisor)
            return Scalar(signed: signedMinimum / signed...signedMaximum / signed)
        case .moduloSigned:
            guard let divisor = right.constant, Int64(bitPattern: divisor) > 0 else { return .unknown }
            let largest = Int64(bitPattern: divisor) - 1
            // The sign is the dividend's.
            return Scalar(
                signed: (signedMinimum >= 0 ? 0 : max(-largest, signedMinimum))...(signedMaximum <= 0 ? 0 : min(largest, signedMaximum)))
        }
        result.settle()
        return result
    }

    /// 32 bits; the result is zero-extended.
    private func applying32(_ operation: ArithmeticOperation, _ right: Scalar) -> Scalar {
        switch operation {
        case .add, .subtract, .multiply, .and, .or, .xor:
            return zeroExtended.applying(operation, right.zeroExtended).joinedLow(of: operation, self, right)
        case .shiftLeft:
            guard let amount = right.constant32.map({ UInt64($0 & 31) }) else { return Scalar(0...0xffff_ffff) }
            return zeroExtended.applying(.shiftLeft, Scalar(amount)).zeroExtended
        case .shiftRight:
            guard let amount = right.constant32.map({ UInt64($0 & 31) }) else { return Scalar(0...UInt64(maximum32)) }
            return zeroExtended.applying(.shiftRight, Scalar(amount))
        case .shiftRightArithmetic:
            guard let amount = right.constant32.map({ UInt64($0 & 31) }) else { return Scalar(0...0xffff_ffff) }
            return signExtended(fromBytes: 4).applying(.shiftRightArithmetic, Scalar(amount)).zeroExtended
        case .divide, .modulo:
            return zeroExtended.applying(operation, right.zeroExtended)
        case .divideSigned, .moduloSigned:
            return signExtended(fromBytes: 4).applying(operation, right.signExtended(fromBytes: 4)).zeroExtended
        }
    }

    /// The low half of a result of zero-extended halves, with the signed bounds that only the halves know.
    private func joinedLow(of operation: ArithmeticOperation, _ left: Scalar, _ right: Scalar) -> Scalar {
        var result = zeroExtended
        switch operation {
        case .add:
            var half = Scalar.unknown
            half.addBounds32(left, right)
            result.meetLow(half)
        case .subtract:
            var half = Scalar.unknown
            half.subtractBounds32(left, right)
            result.meetLow(half)
        default: break
        }
        return result
    }

    private mutating func meetLow(_ other: Scalar) {
        minimum32 = max(minimum32, other.minimum32)
        maximum32 = min(maximum32, other.maximum32)
        signedMinimum32 = max(signedMinimum32, other.signedMinimum32)
        signedMaximum32 = min(signedMaximum32, other.signedMaximum32)
        settle()
    }

    // MARK: - Bounds, where no end overflows alone

    private mutating func addBounds(_ left: Scalar, _ right: Scalar) {
        let (low, lowOverflows) = left.minimum.addingReportingOverflow(right.minimum)
        let (high, highOverflows) = left.maximum.addingReportingOverflow(right.maximum)
        // Both ends wrap around, or none: then the numbers between them do as well.
        if lowOverflows == highOverflows { (minimum, maximum) = (low, high) }
        let (signedLow, lowFails) = left.signedMinimum.addingReportingOverflow(right.signedMinimum)
        let (signedHigh, highFails) = left.signedMaximum.addingReportingOverflow(right.signedMaximum)
        if !lowFails && !highFails { (signedMinimum, signedMaximum) = (signedLow, signedHigh) }
    }

    private mutating func addBounds32(_ left: Scalar, _ right: Scalar) {
        let (low, lowOverflows) = left.minimum32.addingReportingOverflow(right.minimum32)
        let (high, highOverflows) = left.maximum32.addingReportingOverflow(right.maximum32)
        if lowOverflows == highOverflows { (minimum32, maximum32) = (low, high) }
        let (signedLow, lowFails) = left.signedMinimum32.addingReportingOverflow(right.signedMinimum32)
        let (signedHigh, highFails) = left.signedMaximum32.addingReportingOverflow(right.signedMaximum32)
        if !lowFails && !highFails { (signedMinimum32, signedMaximum32) = (signedLow, signedHigh) }
    }

    private mutating func subtractBounds(_ left: Scalar, _ right: Scalar) {
        let (low, lowOverflows) = left.minimum.subtractingReportingOverflow(right.maximum)
        let (high, highOverflows) = left.maximum.subtractingReportingOverflow(right.minimum)
        if lowOverflows == highOverflows { (minimum, maximum) = (low, high) }
        let (signedLow, lowFails) = left.signedMinimum.subtractingReportingOverflow(right.signedMaximum)
        let (signedHigh, highFails) = left.signedMaximum.subtractingReportingOverflow(right.signedMinimum)
        if !lowFails && !highFails { (signedMinimum, signedMaximum) = (signedLow, signedHigh) }
    }

    private mutating func subtractBounds32(_ left: Scalar, _ right: Scalar) {
        let (low, lowOverflows) = left.minimum32.subtractingReportingOverflow(right.maximum32)
        let (high, highOverflows) = left.maximum32.subtractingReportingOverflow(right.minimum32)
        if lowOverflows == highOverflows { (minimum32, maximum32) = (low, high) }
        let (signedLow, lowFails) = left.signedMinimum32.subtractingReportingOverflow(right.signedMaximum32)
        let (signedHigh, highFails) = left.signedMaximum32.subtractingReportingOverflow(right.signedMinimum32)
        if !lowFails && !highFails { (signedMinimum32, signedMaximum32) = (signedLow, signedHigh) }
    }

    private mutating func multiplyBounds(_ left: Scalar, _ right: Scalar) {
        let (high, overflows) = left.maximum.multipliedReportingOverflow(by: right.maximum)
        if !overflows {
            minimum = left.minimum &* right.minimum
            maximum = high
        }
        // The ends of the products are products of ends.
        var lowest = Int64.max
        var highest = Int64.min
        for one in [left.signedMinimum, left.signedMaximum] {
            for other in [right.signedMinimum, right.signedMaximum] {
                let (product, overflows) = one.multipliedReportingOverflow(by: other)
                if overflows { return }
                lowest = min(lowest, product)
                highest = max(highest, product)
            }
        }
        signedMinimum = lowest
        signedMaximum = highest
    }
}

extension ArithmeticOperation {
    /// The operation on numbers, as RFC 9669 has it.
    func constant(_ left: UInt64, _ right: UInt64) -> UInt64 {
        switch self {
        case .add: left &+ right
        case .subtract: left &- right
        case .multiply: left &* right
        case .divide: right == 0 ? 0 : left / right
        case .divideSigned: UInt64(bitPattern: Self.divide(Int64(bitPattern: left), Int64(bitPattern: right)))
        case .or: left | right
        case .and: left & right
        case .shiftLeft: left << (right & 63)
        case .shiftRight: left >> (right & 63)
        case .modulo: right == 0 ? left : left % right
        case .moduloSigned: UInt64(bitPattern: Self.modulo(Int64(bitPattern: left), Int64(bitPattern: right)))
        case .xor: left ^ right
        case .shiftRightArithmetic: UInt64(bitPattern: Int64(bitPattern: left) >> Int64(right & 63))
        }
    }

    func constant(_ left: UInt32, _ right: UInt32) -> UInt32 {
        switch self {
        case .divideSigned: UInt32(bitPattern: Self.divide(Int32(bitPattern: left), Int32(bitPattern: right)))
        case .moduloSigned: UInt32(bitPattern: Self.modulo(Int32(bitPattern: left), Int32(bitPattern: right)))
        case .shiftLeft: left << (right & 31)
        case .shiftRight: left >> (right & 31)
        case .shiftRightArithmetic: UInt32(bitPattern: Int32(bitPattern: left) >> Int32(right & 31))
        default: UInt32(truncatingIfNeeded: constant(UInt64(left), UInt64(right)))
        }
    }

    private static func divide<Number: FixedWidthInteger>(_ left: Number, _ right: Number) -> Number {
        right == 0 ? 0 : left.dividedReportingOverflow(by: right).partialValue
    }

    private static func modulo<Number: FixedWidthInteger>(_ left: Number, _ right: Number) -> Number {
        right == 0 ? left : left.remainderReportingOverflow(dividingBy: right).partialValue
    }
}
