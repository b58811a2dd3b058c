import ArgumentParser
import FSession
import Glibc

/// What to trace: a command behind `--`, or a process.
struct TargetOptions: ParsableArguments {
    @Option(name: [.short, .customLong("pid")], help: ArgumentHelp("Attach to this running process.", valueName: "PID"))
    var processID: Int32?

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("After --: a command to launch; its input, output and exit status pass through.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if processID != nil, !command.isEmpty {
            throw ValidationError("Give either -p PID or -- COMMAND, not both.")
        }
        if let processID, processID <= 0 { throw ValidationError("'\(processID)' is not a process id.") }
    }

    /// The target; nil if neither was given.
    var target: Target? {
        if let processID { return .process(processID) }
        guard let program = command.first else { return nil }
        return .launch(program, Array(command.dropFirst()))
    }

    /// The target; functions of the kernel need none.
    func requireTarget(for functions: [String]) throws -> Target {
        if let target { return target }
        guard !functions.isEmpty, functions.allSatisfy(Self.isInKernel) else {
            throw ValidationError(
                "Say what to trace: -p PID, or -- COMMAND ARGUMENTS (or, to list, a FILE); functions of the kernel are named 'kernel:FUNCTION'.")
        }
        return .kernel
    }

    /// Whether MODULE:FUNCTION names a module of the kernel. A "::" belongs to a name of C++ or Rust.
    private static func isInKernel(_ function: String) -> Bool {
        let parts = function.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, !function.contains("::") else { return false }
        if parts[0] == "kernel" || parts[0] == "prog" || parts[0].contains(where: { "*?[".contains($0) }) { return true }
        return access("/sys/module/\(String(parts[0].map { $0 == "-" ? "_" : $0 }))", F_OK) == 0
    }

    var launches: Bool { !command.isEmpty }
}

/// Where output goes and when to stop.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("Write to this file (default: stderr with a command, stdout with -p).", valueName: "file"))
    var output: String?

    @Flag(help: "Print an object per line, in JSON.")
    var json = false

    @Option(help: ArgumentHelp("Detach after this many seconds; a launched command keeps running.", valueName: "seconds"))
    var duration: Double?

    @Flag(name: .shortAndLong, help: "Print no summary and no remarks.")
    var quiet = false

    func validate() throws {
        if let duration, !(duration > 0 && duration < 1e9) {
            throw ValidationError("--duration takes a number of seconds above 0.")
        }
    }
}

/// Values for the object's variables.
struct VariableOptions: ParsableArguments {
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            """
            Set the initial value of a global variable (const volatile, or not constant): a number, true, an enumerator, 5ms for \
            nanoseconds in 64 bits, text for an array of char, 1,2,3 for another array. Repeatable.
            """,
            valueName: "name=value"))
    var settings: [String] = []

    func validate() throws {
        for setting in settings where !setting.dropFirst().contains("=") {
            throw ValidationError("--set takes NAME=VALUE, as in --set limit=5ms, not '\(setting)'.")
        }
    }

    /// The object at `path`, with these values.
    func object(at path: String) throws(SessionError) -> Object {
        var object = try Object(contentsOf: path)
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try object.set(String(parts[0]), toWritten: String(parts[1]))
        }
        return object
    }
}
