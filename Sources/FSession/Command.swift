import Engine
import Glibc
import LinuxProcess
import ProcessEngine

extension Session {
    /// A command to start. What is not said is as in this process.
    ///
    /// ```swift
    /// var command = Session.Command("make", ["test"])
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
}

extension Session.Command {
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
