import BPF

/// Where the words of a trace record are, in bytes:
///
///     0 the function's number   8 start   16 end (0: entry only)   24 pid_tgid   32 return value   40… arguments
package enum RecordLayout: Int, Sendable {
    case function = 0
    case start = 8
    case end = 16
    case identity = 24
    case returnValue = 32
    case firstArgument = 40

    /// How many argument words a record holds at most.
    package static let argumentCount = 6

    package static func argument(_ index: Int) -> Int { firstArgument.rawValue + index * 8 }
    package static func size(arguments: Int) -> Int { argument(min(arguments, argumentCount)) }
}

/// A line that a program prints, and where its parts are in a record, in bytes (`struct fs_print_record`):
///
///     0 time   8 pid_tgid   16 length of the text, with a zero at its end; an error, or 0: there is none   24 text
package enum PrintRecord {
    package static let (time, identity, length, text) = (0, 8, 16, 24)

    /// A line; nil for a record without text.
    /// - Parameter endsLine: the text gets a newline at its end, where it has none.
    package static func decode(_ record: UnsafeRawBufferPointer, endsLine: Bool) -> EngineEvent? {
        guard record.count >= text, record.loadUnaligned(fromByteOffset: length, as: Int64.self) > 0 else { return nil }
        let identity = ThreadIdentity(record.loadUnaligned(fromByteOffset: identity, as: UInt64.self))
        let line = String(decoding: record[text...].prefix { $0 != 0 }, as: UTF8.self)
        return .print(
            time: record.loadUnaligned(fromByteOffset: time, as: UInt64.self), processID: identity.process,
            threadID: identity.thread, text: endsLine && !line.hasSuffix("\n") ? line + "\n" : line)
    }
}

/// What `bpf_get_current_pid_tgid` gives.
package struct ThreadIdentity: Sendable {
    package let process: Int32
    package let thread: Int32

    package init(_ word: UInt64) {
        process = Int32(truncatingIfNeeded: word >> 32)
        thread = Int32(truncatingIfNeeded: word)
    }
}
