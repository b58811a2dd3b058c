import ArgumentParser
import FSession
import Glibc

/// One process id, or several with commas between them.
struct ProcessIDs: ExpressibleByArgument {
    let ids: [Int32]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int32($0) }
        guard !parts.contains(nil) else { return nil }
        ids = parts.compactMap { $0 }
    }
}

/// What to trace: a command behind `--`, or processes.
struct TargetOptions: ParsableArguments {
    @Option(
        name: [.short, .customLong("pid")], parsing: .singleValue,
        help: ArgumentHelp("Attach to this running process. Repeatable; 'PID,PID' works, too.", valueName: "PID"))
    var pid: [ProcessIDs] = []

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("After --: a command to launch; its input, output and exit status pass through.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if !processIDs.isEmpty, !command.isEmpty {
            throw ValidationError("Give either -p PID or -- COMMAND, not both.")
        }
        for (place, id) in processIDs.enumerated() {
            if id <= 0 { throw ValidationError("'\(id)' is not a process id.") }
            if processIDs[..<place].contains(id) { throw ValidationError("Process \(id) is given twice.") }
        }
    }

    private var processIDs: [Int32] { pid.flatMap(\.ids) }

    /// The targets; none if neither was given.
    var targets: [Session.Target] {
        guard let program = command.first else { return processIDs.map { .process(ProcessID($0)) } }
        return [.launch(program, Array(command.dropFirst()))]
    }

    /// The targets; functions of the kernel need none. Beside processes they are traced, too.
    func requireTargets(for functions: [String]) throws -> [Session.Target] {
        if !targets.isEmpty { return targets }
        guard !functions.isEmpty, functions.allSatisfy(Self.isInKernel) else {
            throw ValidationError(
                "Say what to trace: -p PID, or -- COMMAND ARGUMENTS (or, to list, a FILE); functions of the kernel are named 'kernel:FUNCTION'.")
        }
        return [.kernel]
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
    func object(at path: String) throws(SessionError) -> BPFObject {
        var object = try BPFObject(contentsOf: path)
        for setting in settings {
            let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try object.set(String(parts[0]), toWritten: String(parts[1]))
        }
        return object
    }
}
