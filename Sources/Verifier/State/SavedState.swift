/// A state that was kept at an instruction: what of it may still be read.
struct SavedState {
    /// The state kept before it on its path; -1 for none.
    var parent: Int32
    /// The state kept at the same instruction before it; -1 for none.
    var older: Int32 = -1
    /// Paths from here that have not ended.
    var branches: Int32 = 1
    /// Frames that waited, and who called.
    var depth: Int
    var callers: InlineArray<8, PathState.CallerFrame>
    var references: [PathState.Reference]
    var mayGotoDepth: Int32
    var callbackDepth: Int32
    /// Different from another state's if they differ, but for chance.
    var fingerprint: UInt64 = 0
    var hits: Int32 = 0
    var misses: Int32 = 0
    /// A value that another state did not have: it is looked at first.
    var distinguishing = 0
    /// What was found at its places; nil when the state has been dropped.
    fileprivate(set) var values: UnsafeMutableBufferPointer<Value>?

    var isFinished: Bool { branches == 0 }

    struct Value: BitwiseCopyable {
        var place: ValuePlace
        /// Of a stack slot.
        var bytes: UInt64 = 0
        var register: RegisterState
    }

    init(_ state: PathState, callbackDepth: Int32) {
        parent = state.parent
        depth = state.depth
        callers = state.callers
        references = state.references
        mayGotoDepth = state.mayGotoDepth
        self.callbackDepth = callbackDepth
    }

    var distinguishingValue: UnsafePointer<Value>? {
        guard let values, distinguishing < values.count, let start = values.baseAddress else { return nil }
        return UnsafePointer(start + distinguishing)
    }

    /// Bytes that it takes.
    var memory: Int { MemoryLayout<SavedState>.stride + references.count * MemoryLayout<PathState.Reference>.stride
            + (values?.count ?? 0) * MemoryLayout<Value>.stride }

    /// The same chain of calls, so that it makes sense to compare.
    func isAtSamePlace(as state: PathState) -> Bool {
        guard depth == state.depth else { return false }
        for frame in 0..<depth {
            let (one, other) = (callers[frame], state.callers[frame])
            if one.callSlot != other.callSlot || one.isCallback != other.isCallback { return false }
        }
        return true
    }
}

/// The states that were kept, and the memory of what they hold.
struct SavedStates: ~Copyable {
    private var states: [SavedState] = []
    /// The youngest state of each instruction; -1 for none.
    private var youngest: [Int32]
    private(set) var keptCount = 0
    private(set) var memory = 0

    init(slots: Int) { youngest = Array(repeating: -1, count: slots) }

    deinit {
        for state in states { state.values?.deallocate() }
    }

    subscript(number: Int32) -> SavedState {
        @inline(__always) _read { yield states[Int(number)] }
        @inline(__always) _modify { yield &states[Int(number)] }
    }

    /// The number that the next state will have.
    var next: Int32 { Int32(truncatingIfNeeded: states.count) }

    func youngest(at slot: Int) -> Int32 { youngest[slot] }

    mutating func keep(_ state: SavedState, _ values: UnsafeBufferPointer<SavedState.Value>, at slot: Int) {
        var state = state
        let copy = UnsafeMutableBufferPointer<SavedState.Value>.allocate(capacity: values.count)
        _ = copy.initialize(from: values)
        state.values = copy
        state.older = youngest[slot]
        youngest[slot] = next
        keptCount += 1
        memory += state.memory
        states.append(state)
    }

    /// Forgets what a state holds; `younger` is the one kept after it at the same instruction, -1 for none.
    mutating func drop(_ number: Int32, at slot: Int, younger: Int32) {
        keptCount -= 1
        memory -= states[Int(number)].memory
        states[Int(number)].values?.deallocate()
        states[Int(number)].values = nil
        memory += states[Int(number)].memory
        let older = states[Int(number)].older
        if younger < 0 { youngest[slot] = older } else { states[Int(younger)].older = older }
    }
}
