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

    /// How many argument words a record holds at most.
    package static let argumentCount = 6
    /// Bytes before the arguments.
    package static let headSize = 40
    package static func recordSize(arguments: Int) -> Int { headSize + 8 * min(arguments, argumentCount) }

    /// Reads a record; nil if it is not one:
    ///
    ///     0 the function's number   8 start   16 end (0: entry only)   24 pid_tgid   32 return value   40… arguments
    package static func decode(_ record: UnsafeRawBufferPointer) -> TracedCall? {
        guard record.count >= headSize else { return nil }
        func word(_ offset: Int) -> UInt64 { record.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
        let end = word(16)
        let identity = word(24)
        return TracedCall(
            function: Int(truncatingIfNeeded: word(0)), start: word(8),
            duration: end == 0 ? 0 : end &- word(8),
            processID: Int32(truncatingIfNeeded: identity >> 32), threadID: Int32(truncatingIfNeeded: identity),
            hasReturned: end != 0,
            arguments: InlineArray { headSize + $0 * 8 + 8 <= record.count ? word(headSize + $0 * 8) : 0 },
            returnValue: word(32))
    }
}
