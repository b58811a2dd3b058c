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
    var callers = InlineArray<8, PathState.CallerFrame>(repeating: PathState.CallerFrame())
    var references: [PathState.Reference]
    var mayGotoDepth: Int32
    var callbackDepth: Int32
    var hits: Int32 = 0
    var misses: Int32 = 0
    /// The number of a value that another state did not have: it is looked at first.
    var distinguishing = 0
    /// What it holds; nil when the state has been dropped.
    fileprivate(set) var values: SavedValues?
    private var knownFingerprint: UInt64?

    var isFinished: Bool { branches == 0 }

    init(_ state: PathState, _ values: borrowing PathValues, callbackDepth: Int32) {
        parent = state.parent
        depth = state.depth
        for frame in 0..<depth { callers[frame] = values.caller(frame) }
        references = state.references
        mayGotoDepth = state.mayGotoDepth
        self.callbackDepth = callbackDepth
    }

    /// See ``Fingerprint``.
    var fingerprint: UInt64 {
        mutating get {
            let fingerprint = knownFingerprint ?? values?.fingerprint ?? 0
            knownFingerprint = fingerprint
            return fingerprint
        }
    }

    /// Bytes that it takes.
    var memory: Int {
        MemoryLayout<SavedState>.stride + references.count * MemoryLayout<PathState.Reference>.stride
            + (values?.memory ?? 0)
    }

    /// The same chain of calls, so that it makes sense to compare.
    func isAtSamePlace(as state: PathState, _ values: borrowing PathValues) -> Bool {
        guard depth == state.depth else { return false }
        for frame in 0..<depth {
            let other = values.caller(frame)
            if callers[frame].callSlot != other.callSlot || callers[frame].isCallback != other.isCallback { return false }
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

    mutating func keep(_ state: SavedState, _ values: SavedValues, at slot: Int) {
        var state = state
        state.values = values
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
