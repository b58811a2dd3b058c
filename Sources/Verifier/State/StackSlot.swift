/// Eight bytes of a frame: what each of them holds, and the register that was spilled there.
struct StackSlot: Hashable, Sendable {
    /// A byte's kind in each byte, the lowest address in the lowest.
    var bytes: UInt64 = 0
    /// Meaningful where a byte is ``spilled``: the lowest four or all eight then are.
    var register = RegisterState()

    /// Nothing has been written there.
    static let empty: UInt8 = 0
    /// Part of ``register``.
    static let spilled: UInt8 = 1
    /// Some number.
    static let data: UInt8 = 2
    static let zero: UInt8 = 3

    static let allSpilled: UInt64 = 0x0101_0101_0101_0101
    static let allData: UInt64 = 0x0202_0202_0202_0202
    static let allZero: UInt64 = 0x0303_0303_0303_0303

    func byte(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: bytes >> UInt64(index * 8)) }

    mutating func setByte(_ index: Int, _ kind: UInt8) {
        let shift = UInt64(index * 8)
        bytes = bytes & ~(0xff << shift) | UInt64(kind) << shift
    }

    /// Some register is here, whole or in its low half.
    var isSpill: Bool { bytes & 0xff == UInt64(Self.spilled) }
    var isWholeSpill: Bool { bytes == Self.allSpilled }
    var holdsPointer: Bool { isSpill && register.isPointer }

    /// The register is no longer needed as such: its bytes are numbers now.
    mutating func forgetRegister() {
        guard isSpill else { return }
        for index in 0..<8 where byte(index) == Self.spilled { setByte(index, Self.data) }
        register = RegisterState()
    }
}
