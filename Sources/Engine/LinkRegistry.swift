import Synchronization

/// The functions that were ever chosen to be linked in a session, by number: records name them that way, also
/// after their link is gone.
package final class LinkRegistry: Sendable {
    private let functions = Mutex<[LinkedFunction]>([])
    private let links = Atomic<Int>(0)

    package func snapshot(from first: Int = 0) -> ArraySlice<LinkedFunction> {
        functions.withLock { $0[min(first, $0.count)...] }
    }

    package init() {}

    /// The number of the next link, of whatever process.
    package func nextLink() -> Int { links.add(1, ordering: .relaxed).newValue }

    /// Adds a function with a link of its own.
    package func appendLink(_ make: (_ id: Int, _ link: Int) -> LinkedFunction) -> LinkedFunction {
        let link = nextLink()
        return append { make($0, link) }
    }

    /// Adds functions under numbers that follow each other, the first of which `make` is told.
    package func append(contentsOf make: (Int) -> [LinkedFunction]) -> [LinkedFunction] {
        functions.withLock { functions in
            let new = make(functions.count)
            functions += new
            return new
        }
    }

    /// Adds a function under the next number, which `make` is told.
    package func append(_ make: (Int) -> LinkedFunction) -> LinkedFunction {
        functions.withLock { functions in
            let new = make(functions.count)
            functions.append(new)
            return new
        }
    }
}
