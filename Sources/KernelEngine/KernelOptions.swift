import Dispatch
import Engine
import Synchronization

/// How programs get to many functions, and how much room they have.
package struct KernelOptions: Sendable {
    /// By one link where the kernel has such (Linux 7.2).
    package var usesMulti: Bool
    /// So many links are made and undone at a time, where each function has its own.
    /// More than one at a time was never faster: the kernel changes one function after the other.
    package var width: Int
    /// Sessions are split, also where the kernel has them: to compare.
    package var splits = false
    /// Descriptors that it allows itself, where it may: four for each of the most functions there may be, and some.
    package var descriptors: UInt = 4 * UInt(KernelTracing.mostFunctions) + 1024
    /// Bytes of the ring that traced calls are recorded in.
    package var ringBytes: UInt32
    /// Calls that may be inside of one split session's functions at a time.
    package var cookies: UInt32

    package init(usesMulti: Bool = true, width: Int = 1, ringBytes: UInt32 = 8 << 20, cookies: UInt32 = SessionSplit.cookieEntries) {
        self.usesMulti = usesMulti
        self.width = width
        self.ringBytes = ringBytes
        self.cookies = cookies
    }

    /// Does `body` for each value, `width` at a time; the results in the order of the values. Nil for those that come behind
    /// a failure for which `isFinal`, or after attaching was cancelled.
    func map<Value: Sendable, Result: Sendable>(
        _ values: [Value], _ progress: AttachProgress, isFinal: @Sendable (Result) -> Bool,
        _ body: @escaping @Sendable (Value) -> Result
    ) -> [Result?] {
        let next = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let results = Mutex<[Result?]>(Array(repeating: nil, count: values.count))
        @Sendable func work() {
            while !isOver.load(ordering: .relaxed), !progress.isCancelled {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < values.count else { return }
                let result = body(values[index])
                if isFinal(result) { isOver.store(true, ordering: .relaxed) }
                results.withLock { $0[index] = result }
                progress.finish(1)
            }
        }
        if width > 1, values.count > 1 {
            DispatchQueue.concurrentPerform(iterations: min(width, values.count)) { _ in work() }
        } else {
            work()
        }
        return results.withLock { $0 }
    }

    /// Takes programs out; how often the kernel skipped them.
    func close(_ links: [AttachedPrograms]) -> UInt64 {
        map(links, AttachProgress(), isFinal: { _ in false }) { $0.close() }.reduce(0) { $0 &+ ($1 ?? 0) }
    }
}
