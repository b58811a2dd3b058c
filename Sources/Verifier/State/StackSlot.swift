/// Eight bytes of a frame: what each of them holds, and the registers that were spilled there, one that takes all of it
/// or one in each half.
package struct StackSlot: Hashable, Sendable {
    /// A byte's kind in each byte, the lowest address in the lowest.
    private(set) var bytes: UInt64 = 0
    /// Where bytes are ``spilled``: all eight, or the lower four.
    var register = RegisterState()
    /// Where bytes are ``spilledHigh``: the upper four.
    var high = RegisterState()

    /// Nothing has been written there.
    static let empty: UInt8 = 0
    /// Part of ``register``.
    static let spilled: UInt8 = 1
    /// Some number.
    static let data: UInt8 = 2
    static let zero: UInt8 = 3
    /// Part of ``high``.
    static let spilledHigh: UInt8 = 4
    /// Of a string's buffer: written only if the string is that long. Who reads no further than its end may read it.
    static let text: UInt8 = 5
    /// Where a string starts that ends in the ``text`` behind it; written in any case.
    static let textStart: UInt8 = 6

    static let wholeSpill: UInt64 = 0x0101_0101_0101_0101
    static let allData: UInt64 = 0x0202_0202_0202_0202
    static let allZero: UInt64 = 0x0303_0303_0303_0303

    init() {}

    init(bytes: UInt64, register: RegisterState = RegisterState(), high: RegisterState = RegisterState()) {
        self.bytes = bytes
        self.register = register
        self.high = high
    }

    /// A register that takes the slot.
    init(spilling register: RegisterState) { self.init(bytes: Self.wholeSpill, register: register) }

    func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: bytes >> UInt64(index * 8)) }

    private mutating func set(_ index: Int, _ kind: UInt8) {
        let shift = UInt64(index * 8)
        bytes = bytes & ~(0xff << shift) | UInt64(kind) << shift
    }

    static func isSpill(_ bytes: UInt64) -> Bool { bytes & 0xff == UInt64(spilled) }
    static func isWholeSpill(_ bytes: UInt64) -> Bool { bytes == wholeSpill }
    static func hasHighSpill(_ bytes: UInt64) -> Bool { bytes >> 32 & 0xff == UInt64(spilledHigh) }

    /// A register is in the lower half, or in all of it.
    var isSpill: Bool { Self.isSpill(bytes) }
    var isWholeSpill: Bool { Self.isWholeSpill(bytes) }
    var hasHighSpill: Bool { Self.hasHighSpill(bytes) }
    /// All eight bytes.
    var isWritten: Bool {
        !Self.hasZero(bytes) && !Self.hasZero(bytes ^ (0x0101_0101_0101_0101 &* UInt64(Self.text)))
    }

    /// Some byte is 0; all are small numbers.
    private static func hasZero(_ bytes: UInt64) -> Bool {
        (bytes &- 0x0101_0101_0101_0101) & 0x8080_8080_8080_8080 != 0
    }
    var holdsPointer: Bool { isSpill && register.isPointer }

    /// Whether these eight bytes may lie there, as far as numbers are known.
    package func admits(_ word: UInt64) -> Bool {
        for index in 0..<8 where byte(index) == Self.zero && word >> UInt64(index * 8) & 0xff != 0 { return false }
        if isSpill, register.isScalar, !register.value.contains(isWholeSpill ? word : word & 0xffff_ffff) { return false }
        return !hasHighSpill || high.value.contains(word >> 32)
    }

    /// Writes a byte; a register that it was part of is forgotten.
    mutating func write(_ index: Int, _ kind: UInt8) {
        forgetRegister(at: index)
        set(index, kind)
    }

    /// The register that the byte is part of is no longer needed as such: its bytes are numbers now.
    mutating func forgetRegister(at index: Int) {
        switch byte(index) {
        case Self.spilled:
            for other in 0..<8 where byte(other) == Self.spilled { set(other, Self.data) }
            register = RegisterState()
        case Self.spilledHigh:
            for other in 4..<8 { set(other, Self.data) }
            high = RegisterState()
        default: break
        }
    }

    /// Spills a scalar of 32 bits to a half.
    mutating func spillHalf(_ value: RegisterState, high isHigh: Bool) {
        for index in isHigh ? 4..<8 : 0..<4 { write(index, isHigh ? Self.spilledHigh : Self.spilled) }
        if isHigh { high = value } else { register = value }
    }
}
