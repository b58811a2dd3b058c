import BPF

/// RFC 9669's arithmetic on values: no case traps.
extension ArithmeticOperation {
    @inline(__always)
    func apply(_ left: UInt64, _ right: UInt64) -> UInt64 {
        switch self {
        case .add: left &+ right
        case .subtract: left &- right
        case .multiply: left &* right
        case .divide: right == 0 ? 0 : left / right
        case .divideSigned: UInt64(bitPattern: Self.quotient(Int64(bitPattern: left), Int64(bitPattern: right)))
        case .or: left | right
        case .and: left & right
        case .shiftLeft: left &<< right
        case .shiftRight: left &>> right
        case .modulo: right == 0 ? left : left % right
        case .moduloSigned: UInt64(bitPattern: Self.remainder(Int64(bitPattern: left), Int64(bitPattern: right)))
        case .xor: left ^ right
        case .shiftRightArithmetic: UInt64(bitPattern: Int64(bitPattern: left) &>> Int64(bitPattern: right))
        }
    }

    @inline(__always)
    func apply(_ left: UInt32, _ right: UInt32) -> UInt32 {
        switch self {
        case .add: left &+ right
        case .subtract: left &- right
        case .multiply: left &* right
        case .divide: right == 0 ? 0 : left / right
        case .divideSigned: UInt32(bitPattern: Self.quotient(Int32(bitPattern: left), Int32(bitPattern: right)))
        case .or: left | right
        case .and: left & right
        case .shiftLeft: left &<< right
        case .shiftRight: left &>> right
        case .modulo: right == 0 ? left : left % right
        case .moduloSigned: UInt32(bitPattern: Self.remainder(Int32(bitPattern: left), Int32(bitPattern: right)))
        case .xor: left ^ right
        case .shiftRightArithmetic: UInt32(bitPattern: Int32(bitPattern: left) &>> Int32(bitPattern: right))
        }
    }

    /// The smallest value by -1 overflows to itself.
    @inline(__always)
    private static func quotient<T: FixedWidthInteger>(_ left: T, _ right: T) -> T {
        right == 0 ? 0 : left.dividedReportingOverflow(by: right).partialValue
    }

    @inline(__always)
    private static func remainder<T: FixedWidthInteger>(_ left: T, _ right: T) -> T {
        // Overflow (the smallest value by -1) has remainder zero.
        right == 0 ? left : left.remainderReportingOverflow(dividingBy: right).partialValue
    }
}

extension Condition {
    @inline(__always)
    func holds(_ left: UInt64, _ right: UInt64) -> Bool {
        switch self {
        case .equal: left == right
        case .notEqual: left != right
        case .greater: left > right
        case .greaterOrEqual: left >= right
        case .less: left < right
        case .lessOrEqual: left <= right
        case .anyBitSet: left & right != 0
        case .signedGreater: Int64(bitPattern: left) > Int64(bitPattern: right)
        case .signedGreaterOrEqual: Int64(bitPattern: left) >= Int64(bitPattern: right)
        case .signedLess: Int64(bitPattern: left) < Int64(bitPattern: right)
        case .signedLessOrEqual: Int64(bitPattern: left) <= Int64(bitPattern: right)
        }
    }
}

extension UInt64 {
    /// The low 32 bits, sign-extended: 32-bit comparisons of either kind come out right on such values.
    @inline(__always)
    var signExtended32: UInt64 { UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: self))) }

    @inline(__always)
    func signExtended(from bits: UInt8) -> UInt64 {
        switch bits {
        case 8: UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: self)))
        case 16: UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: self)))
        default: signExtended32
        }
    }

    /// `BPF_END` on a little-endian machine.
    @inline(__always)
    func converted(_ order: ByteOrder, bits: UInt8) -> UInt64 {
        switch (order, bits) {
        case (.toLittle, 16): UInt64(UInt16(truncatingIfNeeded: self))
        case (.toLittle, 32): UInt64(UInt32(truncatingIfNeeded: self))
        case (.toLittle, _): self
        case (_, 16): UInt64(UInt16(truncatingIfNeeded: self).byteSwapped)
        case (_, 32): UInt64(UInt32(truncatingIfNeeded: self).byteSwapped)
        case (_, _): byteSwapped
        }
    }
}

extension AtomicOperation {
    /// The value to store; `compared` is r0 for `cmpxchg`. `nil`: memory stays.
    @inline(__always)
    func stored(old: UInt64, source: UInt64, compared: UInt64) -> UInt64? {
        switch self {
        case .add, .fetchAdd: old &+ source
        case .or, .fetchOr: old | source
        case .and, .fetchAnd: old & source
        case .xor, .fetchXor: old ^ source
        case .exchange: source
        case .compareExchange: old == compared ? source : nil
        }
    }
}
