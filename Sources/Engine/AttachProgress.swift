import Synchronization

/// How far an engine is with attaching to many functions. It is read, and attaching ended, from other threads.
package final class AttachProgress: Sendable {
    private let done = Atomic<Int>(0)
    private let total = Atomic<Int>(0)
    private let cancelled = Atomic<Bool>(false)

    package init() {}

    package var counts: (done: Int, total: Int) {
        (done.load(ordering: .relaxed), total.load(ordering: .relaxed))
    }

    /// So many functions more are to be attached to.
    package func add(_ count: Int) { total.add(count, ordering: .relaxed) }
    package func finish(_ count: Int) { done.add(count, ordering: .relaxed) }

    /// What is being attached is taken out again.
    package func cancel() { cancelled.store(true, ordering: .relaxed) }
    package var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    /// Throws when somebody has ended it.
    package func check() throws(EngineError) {
        if isCancelled { throw .interrupted }
    }
}
