import ArgumentParser
import FSession

/// What to trace: a command behind `--`, or a process.
struct TargetOptions: ParsableArguments {
    @Option(name: [.short, .customLong("pid")], help: ArgumentHelp("Attach to the running process.", valueName: "PID"))
    var processID: Int32?

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("Behind --: a command to launch; its input, output and exit status pass through.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if processID != nil, !command.isEmpty {
            throw ValidationError("Give either -p PID or -- COMMAND, not both.")
        }
        if let processID, processID <= 0 { throw ValidationError("'\(processID)' is no process id.") }
    }

    /// The target; nil if neither was given.
    var target: Target? {
        if let processID { return .process(processID) }
        guard let program = command.first else { return nil }
        return .launch(program, Array(command.dropFirst()))
    }

    func requireTarget() throws -> Target {
        guard let target else {
            throw ValidationError("Say what to trace: -p PID, or -- COMMAND ARGUMENTS.")
        }
        return target
    }

    var launches: Bool { !command.isEmpty }
}

/// Where output goes and when to stop.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("Write to the file (default: stderr beside a command, stdout with -p).", valueName: "file"))
    var output: String?

    @Flag(help: "An object per line, in JSON.")
    var json = false

    @Option(help: ArgumentHelp("Detach after this many seconds; a launched command runs on to its end.", valueName: "seconds"))
    var duration: Double?

    @Flag(name: .shortAndLong, help: "No summary and no remarks.")
    var quiet = false

    func validate() throws {
        if let duration, !(duration > 0 && duration < 1e9) {
            throw ValidationError("--duration takes a number of seconds above 0.")
        }
    }
}
