/// SplitMix64: the same numbers from the same seed everywhere.
package struct SeededGenerator: RandomNumberGenerator {
    @usableFromInline var state: UInt64

    /// Neighbouring seeds give numbers that have nothing in common.
    @inlinable package init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }
    @inlinable package init(state: UInt64) { self.state = state }

    @inlinable package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// 0 ..< bound, quickly; the bias of a small bound does not matter here.
    @inlinable package mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: UInt64(truncatingIfNeeded: bound).multipliedFullWidth(by: next()).high)
    }

    /// True so many times in a hundred.
    @inlinable package mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    @inlinable package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    /// A number of the sort at which arithmetic goes wrong: near powers of two, small, or anything.
    @inlinable package mutating func number() -> UInt64 {
        switch below(6) {
        case 0: UInt64(below(16))
        case 1: 0 &- UInt64(below(16))
        case 2: (1 << UInt64(below(64))) &+ UInt64(below(5)) &- 2
        case 3: next() & 0xffff_ffff
        case 4: UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: next())))
        default: next()
        }
    }

    @inlinable package mutating func immediate() -> Int32 {
        switch below(4) {
        case 0: Int32(below(32))
        case 1: -Int32(below(32))
        default: Int32(truncatingIfNeeded: number())
        }
    }
}
