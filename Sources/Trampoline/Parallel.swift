import Dispatch

/// Work on many values, shared between the processors.
package enum Parallel {
    /// Fewer values than this are not worth a second thread.
    private static let smallest = 512
    private static let chunk = 256

    /// The results of `transform`, in the order of the numbers.
    package static func map<Result: Sendable>(
        _ numbers: Range<Int>, _ transform: @Sendable (Int) -> Result
    ) -> [Result] {
        guard numbers.count >= smallest else { return numbers.map(transform) }
        return map(numbers, chunk: chunk, transform)
    }

    /// The same, with so many numbers for a processor at a time.
    package static func map<Result: Sendable>(
        _ numbers: Range<Int>, chunk: Int, _ transform: @Sendable (Int) -> Result
    ) -> [Result] {
        let chunks = (numbers.count + chunk - 1) / chunk
        return Array(unsafeUninitializedCapacity: numbers.count) { buffer, count in
            // Each place is written by one thread, and all of them before this ends.
            nonisolated(unsafe) let results = buffer
            DispatchQueue.concurrentPerform(iterations: chunks) { part in
                for place in part * chunk..<min(numbers.count, (part + 1) * chunk) {
                    results.initializeElement(at: place, to: transform(numbers.lowerBound + place))
                }
            }
            count = numbers.count
        }
    }
}
