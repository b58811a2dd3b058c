/// What a session is opened on.
///
/// ```swift
/// let session = try await Session(.launch("gzip", ["-k", "file"]))
/// let other = try await Session(.process(4711))
/// ```
public enum Target: Sendable {
    /// A command that the session starts. It waits at its program's entry point, its libraries mapped, until
    /// ``Session/resume()``.
    case command(Command)
    /// A running process, by its id. It may be any that you are allowed to ptrace(2).
    case process(Int32)
    /// The running kernel: its functions, those of its modules, and loaded BPF programs.
    case kernel

    /// A command that the session starts, found in PATH like a shell's.
    public static func launch(_ program: String, _ arguments: [String] = []) -> Target {
        .command(Command(program, arguments))
    }
}

/// A command to start: its program and arguments; everything else is inherited.
public struct Command: Sendable, Hashable {
    /// A path, or a name to be looked up in PATH.
    public var program: String
    /// The arguments behind the program's name.
    public var arguments: [String]

    public init(_ program: String, _ arguments: [String] = []) {
        self.program = program
        self.arguments = arguments
    }
}
