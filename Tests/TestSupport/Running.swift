import Foundation

/// Why a test cannot go on.
package struct Trouble: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// What a command left behind.
package struct Finished: Sendable {
    /// Exit status; 128 + n after signal n.
    package var status: Int32
    package var output: String
    package var errors: String

    package var outputLines: [String] { output.split(separator: "\n").map(String.init) }
    package var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
}

/// A command that runs beside the test; what it writes goes to files, because of two pipes one could fill up behind the other.
/// Killed with its owner, and at the latest by its time limit.
package final class Running: @unchecked Sendable {
    private let process = Process()
    private let folder: Folder
    private let stdin = Pipe()
    private let ended = AsyncStream<Void>.makeStream()

    package var pid: Int32 { process.processIdentifier }
    package var isRunning: Bool { process.isRunning }

    /// - Parameters:
    ///   - arguments: the program, by its path or looked for in PATH, and its arguments.
    ///   - input: what it can read; nil if the test is to write it.
    ///   - limit: in seconds; nil for none.
    package init(
        _ arguments: [String], input: String? = "", directory: String? = nil, environment: [String: String] = [:], limit: Double? = 60
    ) throws {
        folder = try Folder()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = stdin
        for (name, stream) in [("out", \Process.standardOutput), ("err", \Process.standardError)] {
            process[keyPath: stream] = FileHandle(forWritingAtPath: try folder.file(name, ""))
        }
        let end = ended.continuation
        process.terminationHandler = { _ in end.finish() }
        try process.runUnblocked()
        if let input {
            write(input)
            closeInput()
        }
        guard let limit else { return }
        let process = self.process
        DispatchQueue.global().asyncAfter(deadline: .now() + limit) {
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    /// More input, where `input` was nil.
    package func write(_ text: String) { try? stdin.fileHandleForWriting.write(contentsOf: Data(text.utf8)) }

    package func closeInput() { try? stdin.fileHandleForWriting.close() }

    package func send(_ signal: Int32) { if isRunning { kill(pid, signal) } }

    /// Kills it, and returns when it is gone.
    package func end() {
        send(SIGKILL)
        process.waitUntilExit()
    }

    package var outputSoFar: String { (try? folder.text("out")) ?? "" }
    package var errorsSoFar: String { (try? folder.text("err")) ?? "" }

    package func finish() async throws -> Finished {
        for await _ in ended.stream {}
        return finished
    }

    /// The same for a test that has a thread to itself.
    package func wait() -> Finished {
        process.waitUntilExit()
        return finished
    }

    private var finished: Finished {
        let status = process.terminationStatus
        return Finished(
            status: process.terminationReason == .uncaughtSignal ? 128 + status : status, output: outputSoFar, errors: errorsSoFar)
    }
}

extension Process {
    /// The threads that run tests block all signals; a child would inherit that.
    package func runUnblocked() throws {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try run()
    }
}

/// Runs a command to its end.
package func run(
    _ arguments: [String], input: String = "", directory: String? = nil, environment: [String: String] = [:]
) async throws -> Finished {
    try await Running(arguments, input: input, directory: directory, environment: environment).finish()
}

/// The same, and blocks the test's thread meanwhile; without a time limit.
package func runBlocking(
    _ arguments: [String], directory: String? = nil, environment: [String: String] = [:], limit: Double? = nil
) throws -> Finished {
    try Running(arguments, directory: directory, environment: environment, limit: limit).wait()
}

/// Runs a tool that must not fail and gives what it wrote to its standard output.
@discardableResult
package func run(_ tool: String, _ arguments: String..., in folder: URL? = nil) throws -> String {
    let result = try runBlocking([tool] + arguments, directory: folder?.path)
    guard result.status == 0 else {
        throw Trouble("\(tool) \(arguments.joined(separator: " ")): status \(result.status), \(result.errors.suffix(4000))")
    }
    return result.output
}
