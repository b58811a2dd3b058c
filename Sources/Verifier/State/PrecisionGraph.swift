/// Which values of earlier states a value was made of. When the walk relies on what a scalar exactly is (an offset,
/// a size, a branch that went one way only), all that it was made of must be exact in the states on the way too:
/// another path may only be dropped in favour of such a state if its value is as exact. Values that nobody relied on
/// may differ, which is what makes loops and joins cheap.
struct PrecisionGraph: ~Copyable {
    typealias Node = UInt32

    /// Made of constants of the program alone.
    static let nowhere: Node = 0

    /// A join of two values, or a value as a state has it, made of one.
    private struct Entry {
        var left: Node
        var right: Node
    }

    private var entries = GrowingBuffer<Entry>()
    /// Somebody relied on what it exactly is.
    private var exact = GrowingBuffer<Bool>()
    /// From a state's value to those of paths that were dropped in favour of the state before it was finished.
    private var borrowers: [Node: [Node]] = [:]
    private var loans = 0
    private var pending = GrowingBuffer<Node>()

    init() {
        entries.append(Entry(left: 0, right: 0))
        exact.append(true)
    }

    var memory: Int { entries.memory + exact.memory + loans * 40 }

    mutating func join(_ left: Node, _ right: Node) -> Node {
        if left == right || right == Self.nowhere { return left }
        if left == Self.nowhere { return right }
        return add(Entry(left: left, right: right))
    }

    /// The value of a state that is being kept, made of `origin`.
    mutating func keep(_ origin: Node) -> Node { add(Entry(left: origin, right: Self.nowhere)) }

    private mutating func add(_ entry: Entry) -> Node {
        entries.append(entry)
        exact.append(false)
        return Node(truncatingIfNeeded: entries.count - 1)
    }

    /// What `node` will be found to need, `borrower` needs as well.
    mutating func lend(_ node: Node, to borrower: Node) {
        guard !exact[Int(borrower)] else { return }
        loans += 1
        borrowers[node, default: []].append(borrower)
    }

    /// The value must be exact, and all that it was made of.
    @inline(__always)
    mutating func require(_ node: Node) {
        if !exact[Int(node)] { follow(node) }
    }

    private mutating func follow(_ node: Node) {
        pending.append(node)
        while let node = pending.popLast() {
            if exact[Int(node)] { continue }
            exact[Int(node)] = true
            let entry = entries[Int(node)]
            if !exact[Int(entry.left)] { pending.append(entry.left) }
            if !exact[Int(entry.right)] { pending.append(entry.right) }
            if !borrowers.isEmpty, let more = borrowers.removeValue(forKey: node) {
                loans -= more.count
                for borrower in more { pending.append(borrower) }
            }
        }
    }

    func isExact(_ node: Node) -> Bool { exact[Int(node)] }
}
