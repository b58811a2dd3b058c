/// A call that the trace program saw.
package struct TracedCall: Sendable {
    package var function: Int
    /// CLOCK_MONOTONIC at entry, in nanoseconds.
    package var start: UInt64
    /// Nanoseconds from entry to exit; 0 when the exit is not seen.
    package var duration: UInt64
    package var processID: Int32
    package var threadID: Int32
    package var hasReturned: Bool
    /// The first argument words; how many of them mean something, the function's prototype says.
    package var arguments: InlineArray<6, UInt64>
    package var returnValue: UInt64

    /// Reads a record; nil if it is not one.
    package static func decode(_ record: UnsafeRawBufferPointer) -> TracedCall? {
        guard record.count >= RecordLayout.firstArgument.rawValue else { return nil }
        func word(_ place: RecordLayout) -> UInt64 { record.loadUnaligned(fromByteOffset: place.rawValue, as: UInt64.self) }
        let (start, end) = (word(.start), word(.end))
        let identity = ThreadIdentity(word(.identity))
        return TracedCall(
            function: Int(truncatingIfNeeded: word(.function)), start: start, duration: end == 0 ? 0 : end &- start,
            processID: identity.process, threadID: identity.thread, hasReturned: end != 0,
            arguments: InlineArray {
                let offset = RecordLayout.argument($0)
                return offset + 8 <= record.count ? record.loadUnaligned(fromByteOffset: offset, as: UInt64.self) : 0
            },
            returnValue: word(.returnValue))
    }
}
