/// A register or stack slot of a frame: where ``PathValues`` has what it holds.
struct ValuePlace: Hashable {
    /// The index in ``PathValues``.
    let location: UInt16
    let frame: UInt8
    private let number: UInt8

    /// Places of a frame: registers, then stack slots, then what is spilled to the upper halves of stack slots.
    static let frameStride = 16 + 64 + 64

    static func register(_ index: Int, frame: Int) -> ValuePlace {
        precondition(index < 11 && frame < PathState.frameLimit)
        return ValuePlace(index, frame, offset: 0, number: index)
    }

    /// The slot, or with `high` what is spilled to its upper half.
    static func stack(_ index: Int, frame: Int, high: Bool = false) -> ValuePlace {
        precondition(index < 64 && frame < PathState.frameLimit)
        return ValuePlace(index, frame, offset: high ? 80 : 16, number: index | 0x80 | (high ? 0x40 : 0))
    }

    private init(_ index: Int, _ frame: Int, offset: Int, number: Int) {
        location = UInt16(truncatingIfNeeded: frame * Self.frameStride + offset + index)
        self.frame = UInt8(truncatingIfNeeded: frame)
        self.number = UInt8(truncatingIfNeeded: number)
    }

    var isStack: Bool { number & 0x80 != 0 }
    var isHighHalf: Bool { number & 0xc0 == 0xc0 }
    var index: Int { Int(number & 0x3f) }
}
