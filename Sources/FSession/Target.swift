import Engine
import Glibc
import KernelEngine
import LinuxProcess
import ProcessEngine
import Sessions

/// What a session is opened on.
///
/// ```swift
/// let session = try await Session(.launch("gzip", ["-k", "file"]))
/// let other = try await Session(.process(4711))
/// ```
public struct Target: Sendable {
    enum Kind {
        case command(Command)
        case process(Int32)
        case kernel
    }

    let kind: Kind

    /// A command that the session starts. It waits at its program's entry point, its libraries mapped, until
    /// ``Session/resume()``.
    public static func command(_ command: Command) -> Target { Target(kind: .command(command)) }
    /// A running process, by its id. It may be any that you are allowed to ptrace(2).
    public static func process(_ id: Int32) -> Target { Target(kind: .process(id)) }
    /// The running kernel: its functions, those of its modules, and loaded BPF programs.
    public static let kernel = Target(kind: .kernel)

    /// A command that the session starts, found in PATH like a shell's.
    public static func launch(_ program: String, _ arguments: [String] = []) -> Target {
        .command(Command(program, arguments))
    }
}

/// A command to start. What is not said is as in this process.
///
/// ```swift
/// var command = Command("make", ["test"])
/// command.directory = "/usr/src/project"
/// command.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
/// command.input = .null
/// command.output = .descriptor(file)
/// let session = try await Session(.command(command))
/// ```
public struct Command: Sendable, Hashable {
    /// Where a standard stream comes from or goes to.
    public struct Stream: Sendable, Hashable {
        enum Kind: Hashable { case inherited, null, descriptor(Int32) }
        let kind: Kind

        /// That of this process.
        public static let inherited = Stream(kind: .inherited)
        /// `/dev/null`.
        public static let null = Stream(kind: .null)
        /// An open file, socket or pipe of this process. It stays open here: the end of a pipe that the command writes to is to be
        /// closed when the session is open, or its reader waits for ever.
        public static func descriptor(_ number: Int32) -> Stream { Stream(kind: .descriptor(number)) }
    }

    /// A path, which counts from ``directory``, or a name to be looked up in this process's PATH.
    public var program: String
    /// The arguments behind the program's name.
    public var arguments: [String]
    /// All environment variables, in place of those of this process.
    public var environment: [String: String]?
    /// The working directory.
    public var directory: String?
    /// What the command reads.
    public var input = Stream.inherited
    /// Where the command writes.
    public var output = Stream.inherited
    /// Where the command writes its errors.
    public var error = Stream.inherited

    /// A command with the environment, working directory and standard streams of this process.
    public init(_ program: String, _ arguments: [String] = []) {
        self.program = program
        self.arguments = arguments
    }
}

extension Target {
    /// Opens it for a session.
    var opening: SessionCore.Opening {
        { [kind] session throws(EngineError) in
            switch kind {
            case .command(let command): try await command.launch(in: session)
            case .process(let id): try await ProcessEngine.attach(id, in: session)
            case .kernel: try await KernelEngine.open(in: session)
            }
        }
    }
}

extension Command {
    /// Starts it, stopped at its entry point.
    func launch(in session: EngineSession) async throws(EngineError) -> ProcessEngine {
        if let name = environment?.keys.first(where: { $0.isEmpty || $0.contains("=") }) {
            throw .request("'\(name)' is no name of an environment variable: it is empty or holds '='")
        }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { throw .controller("open /dev/null", errno: errno) }
        defer { close(null) }
        let descriptors = [input, output, error].map { stream -> Int32? in
            switch stream.kind {
            case .inherited: nil
            case .null: null
            case .descriptor(let number): number
            }
        }
        return try await ProcessEngine.launch(
            LinuxProcess.Command(
                program, arguments: arguments, environment: environment?.map { "\($0.key)=\($0.value)" }.sorted(),
                workingDirectory: directory, standardInput: descriptors[0], standardOutput: descriptors[1], standardError: descriptors[2]),
            in: session)
    }
}
