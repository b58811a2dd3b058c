/// A path that waits for the one that is being walked to end.
struct WaitingPath {
    /// Where it goes on.
    var state: PathState
    var values: PathValues.Position
    var log: VerifierLog.Position
    /// What sets it apart from the path that it comes from.
    var difference: Difference

    enum Difference {
        case none
        /// What a branch told of its operands: the youngest of the walker's comparisons.
        case comparison
        /// All pointers of that number turn out to be null, or not.
        case nullness(id: UInt32, reference: UInt32, isNull: Bool)
        /// A helper calls back.
        case callback(Callback)
    }

    /// Registers, and the numbers that they hold.
    struct Comparison: BitwiseCopyable {
        var left: Int
        var value: Scalar
        /// -1 where the branch has a constant.
        var right = -1
        var other = Scalar(0)
        /// What both depend on from now on.
        var origin = PrecisionGraph.nowhere
    }

    struct Callback {
        var kind: HelperPrototype.Callback
        var start: Int
        /// Times that it has been called, this one included.
        var depth: Int32
        var map: Int32
        /// For what it is handed.
        var id: UInt32
    }
}

extension Walker {
    /// The path as it is goes on at `slot` later, with a difference.
    mutating func push(slot: Int, _ difference: WaitingPath.Difference = .none) throws(VerifierFailure) {
        guard pending.count < Self.pendingLimit else {
            throw failure(
                "The sequence of \(pending.count + 1) jumps is too complex.",
                hint: "it has too many branches in a row: split it into functions or loops")
        }
        if state.parent >= 0 { saved[state.parent].branches += 1 }
        var other = state
        other.slot = slot
        pending.append(WaitingPath(state: other, values: values.putAside(), log: log.position, difference: difference))
    }

    /// Goes on with the youngest of the waiting paths; false if there is none.
    mutating func takeBranch() -> Bool {
        guard let last = pending.indices.last else { return false }
        let previous = state.slot
        state = pending[last].state
        values.returnTo(pending[last].values, isLast: last == 0)
        callbackDepth = 0
        switch pending[last].difference {
        case .none: break
        case .comparison:
            if let comparison = comparisons.popLast() { learn(comparison) }
        case .nullness(let id, let reference, let isNull): resolve(id: id, reference: reference, isNull: isNull)
        case .callback(let callback): enter(callback)
        }
        log.returnTo(pending[last].log)
        pending.removeLast()
        if log.isOn { log.path(from: previous, to: snapshot()) }
        return true
    }

    mutating func endPath() {
        var number = state.parent
        while number >= 0 {
            saved[number].branches -= 1
            if saved[number].branches > 0 { break }
            number = saved[number].parent
        }
    }
}
