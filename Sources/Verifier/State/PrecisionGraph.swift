/// Which values of earlier states a value was made of. When the walk relies on what a scalar exactly is (an offset,
/// a size, a branch that went one way only), all that it was made of must be exact in the states on the way too:
/// another path may only be dropped in favour of such a state if its value is as exact. Values that nobody relied on
/// may differ, which is what makes loops and joins cheap.
struct PrecisionGraph: Sendable {
    typealias Node = UInt32

    /// Made of constants of the program alone.
    static let nowhere: Node = 0

    /// A join of two values, or a value as a state has it.
    private struct Entry {
        var left: Node
        /// The second value of a join; the place in the state otherwise.
        var right: UInt32
        /// -1 for a join.
        var state: Int32
        var isExact = false
    }

    /// A value of a state that has to be exact.
    struct Mark {
        var state: Int32
        var place: Int
    }

    private var entries = [Entry(left: 0, right: 0, state: -1, isExact: true)]
    /// From a state's value to those of paths that were dropped in favour of the state before it was finished.
    private var borrowers: [Node: [Node]] = [:]
    private var pending: [Node] = []

    var memory: Int { entries.count * MemoryLayout<Entry>.stride }

    mutating func join(_ left: Node, _ right: Node) -> Node {
        if left == right || right == Self.nowhere { return left }
        if left == Self.nowhere { return right }
        entries.append(Entry(left: left, right: right, state: -1))
        return Node(truncatingIfNeeded: entries.count - 1)
    }

    /// The value at `place` of a state that is being kept, made of `origin`.
    mutating func keep(_ origin: Node, state: Int32, place: Int) -> Node {
        entries.append(Entry(left: origin, right: UInt32(truncatingIfNeeded: place), state: state))
        return Node(truncatingIfNeeded: entries.count - 1)
    }

    /// What `node` will be found to need, `borrower` needs as well.
    mutating func lend(_ node: Node, to borrower: Node) {
        if borrower != Self.nowhere { borrowers[node, default: []].append(borrower) }
    }

    /// The value must be exact, and all that it was made of; returns the places in states that this concerns.
    mutating func require(_ node: Node) -> [Mark] {
        guard !entries[Int(node)].isExact else { return [] }
        var marks: [Mark] = []
        pending.append(node)
        while let node = pending.popLast() {
            let entry = entries[Int(node)]
            if entry.isExact { continue }
            entries[Int(node)].isExact = true
            pending.append(entry.left)
            if entry.state < 0 {
                pending.append(entry.right)
            } else {
                marks.append(Mark(state: entry.state, place: Int(entry.right)))
                if !borrowers.isEmpty, let more = borrowers[node] { pending += more }
            }
        }
        return marks
    }

    func isExact(_ node: Node) -> Bool { entries[Int(node)].isExact }
}
