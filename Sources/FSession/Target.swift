import Engine
import KernelEngine
import ProcessEngine
import Sessions

extension Session {
    /// What a session is opened on.
    ///
    /// ```swift
    /// let session = try await Session(.launch("gzip", ["-k", "file"]))
    /// let other = try await Session(.process(4711))
    /// ```
    public struct Target: Sendable {
        enum Kind {
            case command(Command)
            case process(ProcessID)
            case kernel
        }

        let kind: Kind

        /// A command that the session starts. It waits at its program's entry point, its libraries mapped, until
        /// ``Session/resume()``.
        public static func command(_ command: Command) -> Target { Target(kind: .command(command)) }
        /// A running process, by its id. It may be any that you are allowed to ptrace(2).
        public static func process(_ id: ProcessID) -> Target { Target(kind: .process(id)) }
        /// The running kernel: its functions, those of its modules, and loaded BPF programs.
        public static let kernel = Target(kind: .kernel)

        /// A command that the session starts, found in PATH like a shell's.
        public static func launch(_ program: String, _ arguments: [String] = []) -> Target {
            .command(Command(program, arguments))
        }

        /// Opens it for a session.
        var opening: SessionCore.Opening {
            { [kind] session throws(EngineError) in
                switch kind {
                case .command(let command): try await command.launch(in: session)
                case .process(let id): try await ProcessEngine.attach(id.rawValue, in: session)
                case .kernel: try await KernelEngine.open(in: session)
                }
            }
        }
    }
}
