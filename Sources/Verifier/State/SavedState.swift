/// A state that was kept at an instruction: what of it may still be read.
struct SavedState: Sendable {
    /// The state kept before it on its path; -1 for none.
    var parent: Int32
    /// Paths from here that have not ended.
    var branches: Int32 = 1
    var values: [Value] = []
    var calls: [Call]
    var references: [PathState.Reference]
    var mayGotoDepth: Int
    var callbackDepth: Int
    var hits: Int32 = 0
    var misses: Int32 = 0

    var isFinished: Bool { branches == 0 }

    struct Value: Sendable {
        var place: Place
        /// Of a stack slot.
        var bytes: UInt64 = 0
        var register: RegisterState
        /// Somebody relied on what the scalar exactly is.
        var isExact = false
    }

    /// A register or stack slot of a frame.
    struct Place: Hashable, Sendable {
        private var number: UInt16

        static func register(_ index: Int, frame: Int) -> Place {
            Place(number: UInt16(truncatingIfNeeded: frame << 8 | index))
        }

        /// The slot, or with `high` what is spilled to its upper half.
        static func stack(_ index: Int, frame: Int, high: Bool = false) -> Place {
            Place(number: UInt16(truncatingIfNeeded: frame << 8 | 0x80 | (high ? 0x40 : 0) | index))
        }

        private init(number: UInt16) { self.number = number }

        var frame: Int { Int(number >> 8) }
        var isStack: Bool { number & 0x80 != 0 }
        var isHighHalf: Bool { number & 0xc0 == 0xc0 }
        var index: Int { Int(number & 0x3f) }
    }

    /// A frame below the running one.
    struct Call: Hashable, Sendable {
        var slot: Int
        /// Rounds of a callback; -1 for an ordinary call.
        var callbackDepth: Int
    }

    var memory: Int {
        MemoryLayout<SavedState>.stride + values.capacity * MemoryLayout<Value>.stride
            + calls.capacity * MemoryLayout<Call>.stride
    }

    /// The same chain of calls, so that it makes sense to compare.
    func isAtSamePlace(as state: PathState) -> Bool {
        guard calls.count == state.callers.count else { return false }
        for index in calls.indices {
            let caller = state.callers[index]
            if calls[index].slot != caller.callSlot || (calls[index].callbackDepth < 0) != (caller.callback == nil) {
                return false
            }
        }
        return true
    }
}

/// Which numbers of one state stand for which of another.
struct NumberMap {
    private var pairs: [(old: UInt32, new: UInt32)] = []

    mutating func reset() { pairs.removeAll(keepingCapacity: true) }

    /// Whether `old` stands for `new`, consistently with what was asked before.
    mutating func matches(_ old: UInt32, _ new: UInt32) -> Bool {
        if (old == 0) != (new == 0) { return false }
        if old == 0 { return true }
        for pair in pairs {
            if pair.old == old { return pair.new == new }
            if pair.new == new { return false }
        }
        pairs.append((old, new))
        return true
    }
}
