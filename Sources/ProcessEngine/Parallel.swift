import Dispatch
import Synchronization

/// Work on many values, shared between the processors.
enum Parallel {
    /// Fewer values than this are not worth a second thread.
    private static let smallest = 512
    private static let chunk = 256

    /// The results of `transform`, in the order of the values.
    static func map<Value: Sendable, Result: Sendable>(
        _ values: [Value], _ transform: @Sendable (Value) -> Result
    ) -> [Result] {
        guard values.count >= smallest else { return values.map(transform) }
        let chunks = (values.count + chunk - 1) / chunk
        let parts = Mutex<[[Result]]>(Array(repeating: [], count: chunks))
        DispatchQueue.concurrentPerform(iterations: chunks) { index in
            let part = values[index * chunk..<min(values.count, (index + 1) * chunk)].map(transform)
            parts.withLock { $0[index] = part }
        }
        return parts.withLock { Array($0.joined()) }
    }
}
