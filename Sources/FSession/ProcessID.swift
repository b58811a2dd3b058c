/// The number of a process. A literal is one, too; 0 stands for the kernel.
///
/// ```swift
/// let session = try await Session(.process(4711))
/// print(session.processID, ProcessID("4711") == session.processID)
/// ```
public struct ProcessID: RawRepresentable, Hashable, Codable, Sendable, ExpressibleByIntegerLiteral, LosslessStringConvertible {
    /// The number.
    public let rawValue: Int32

    /// The process of that number (`pid_t`).
    @inlinable public init(_ number: Int32) { rawValue = number }
    /// The process of that number.
    @inlinable public init(rawValue: Int32) { self.init(rawValue) }
    /// The process of that number.
    @inlinable public init(integerLiteral: Int32) { self.init(integerLiteral) }
    /// The number in decimal; nil for other text.
    public init?(_ description: String) {
        guard let number = Int32(description) else { return nil }
        self.init(number)
    }

    /// The number in decimal.
    public var description: String { String(rawValue) }
}

/// The number of a thread, as `gettid` gives it. The first thread of a process has the process's number.
public struct ThreadID: RawRepresentable, Hashable, Codable, Sendable, ExpressibleByIntegerLiteral, LosslessStringConvertible {
    /// The number.
    public let rawValue: Int32

    /// The thread of that number (`pid_t`).
    @inlinable public init(_ number: Int32) { rawValue = number }
    /// The thread of that number.
    @inlinable public init(rawValue: Int32) { self.init(rawValue) }
    /// The thread of that number.
    @inlinable public init(integerLiteral: Int32) { self.init(integerLiteral) }
    /// The number in decimal; nil for other text.
    public init?(_ description: String) {
        guard let number = Int32(description) else { return nil }
        self.init(number)
    }

    /// The number in decimal.
    public var description: String { String(rawValue) }
}
