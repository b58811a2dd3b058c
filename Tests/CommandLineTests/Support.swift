import Foundation
import Testing

/// The repository and what lies in it.
enum Package {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// The command line that was built together with these tests.
    static let fsession: String = {
        #if DEBUG
        let configuration = "debug"
        #else
        let configuration = "release"
        #endif
        return "\(root)/.build/\(configuration)/fsession"
    }()
}

/// What a command left behind.
struct Finished: Sendable {
    /// Exit status; 128 + n after signal n.
    var status: Int32
    var output: String
    var errors: String

    var outputLines: [String] { output.split(separator: "\n").map(String.init) }
    var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
}

struct Trouble: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// A folder that goes away with its owner.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "fsession-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file; gives its path.
    func file(_ name: String, _ contents: String) throws -> String {
        try file(name, Data(contents.utf8))
    }

    func file(_ name: String, _ contents: Data) throws -> String {
        let path = "\(path)/\(name)"
        try contents.write(to: URL(fileURLWithPath: path))
        return path
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8) }
}

/// A command that runs beside the test. Ended at the latest by its time limit.
final class Running: @unchecked Sendable {
    private let process = Process()
    private let folder: Folder
    private let stdin = Pipe()
    private let ended = AsyncStream<Void>.makeStream()

    var pid: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    init(
        _ arguments: [String], input: String? = "", directory: String? = nil, environment: [String: String] = [:],
        limit: Double = 60
    ) throws {
        folder = try Folder()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = stdin
        for (name, stream) in [("out", \Process.standardOutput), ("err", \Process.standardError)] {
            let path = try folder.file(name, "")
            process[keyPath: stream] = FileHandle(forWritingAtPath: path)
        }
        let end = ended.continuation
        process.terminationHandler = { _ in end.finish() }
        try process.run()
        if let input {
            write(input)
            try stdin.fileHandleForWriting.close()
        }
        let process = self.process
        DispatchQueue.global().asyncAfter(deadline: .now() + limit) {
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
    }

    /// More input, where `input` was nil.
    func write(_ text: String) {
        try? stdin.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    func closeInput() { try? stdin.fileHandleForWriting.close() }

    func send(_ signal: Int32) { kill(pid, signal) }

    var outputSoFar: String { (try? folder.text("out")) ?? "" }
    var errorsSoFar: String { (try? folder.text("err")) ?? "" }

    func finish() async throws -> Finished {
        for await _ in ended.stream {}
        let status = process.terminationStatus
        return Finished(
            status: process.terminationReason == .uncaughtSignal ? 128 + status : status,
            output: outputSoFar, errors: errorsSoFar)
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
}

/// Runs a command to its end.
func run(
    _ arguments: [String], input: String = "", directory: String? = nil, environment: [String: String] = [:]
) async throws -> Finished {
    try await Running(arguments, input: input, directory: directory, environment: environment).finish()
}

/// Runs fsession to its end.
func fsession(_ arguments: String..., input: String = "", directory: String? = nil) async throws -> Finished {
    try await run([Package.fsession] + arguments, input: input, directory: directory)
}

/// Waits until something holds.
func waitUntil(_ what: String, seconds: Double = 30, _ condition: () throws -> Bool) async throws {
    let end = Date().addingTimeInterval(seconds)
    while try !condition() {
        if Date() > end { throw Trouble("waited in vain until \(what)") }
        try await Task.sleep(nanoseconds: 10_000_000)
    }
}

/// Whether a process holds memory of fsession.
func isTraced(_ pid: Int32) -> Bool {
    ((try? String(contentsOfFile: "/proc/\(pid)/maps", encoding: .utf8)) ?? "").contains("fsession")
}

// MARK: - JSON

/// A line of `--json`.
struct JSONLine {
    let fields: [String: Any]

    init(_ line: Substring) throws {
        guard let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
            throw Trouble("no JSON object: \(line)")
        }
        self.fields = fields
    }

    var type: String { fields["type"] as? String ?? "" }
    var function: String { fields["function"] as? String ?? "" }
    var arguments: [UInt64] { (fields["arguments"] as? [NSNumber] ?? []).map(\.uint64Value) }
    var returned: UInt64? { (fields["return"] as? NSNumber)?.uint64Value }
    func number(_ name: String) -> Int? { (fields[name] as? NSNumber)?.intValue }

    /// Every line of the text; each has to be an object.
    static func all(_ text: String) throws -> [JSONLine] {
        try text.split(separator: "\n").map(JSONLine.init)
    }
}

/// What `trace --json` told about a command.
struct Trace {
    let finished: Finished
    let lines: [JSONLine]
    let calls: [JSONLine]
    let summary: JSONLine

    func calls(of function: String) -> [JSONLine] { calls.filter { $0.function == function } }

    init(_ finished: Finished, _ text: String) throws {
        self.finished = finished
        lines = try JSONLine.all(text)
        calls = lines.filter { $0.type == "call" }
        guard let last = lines.last, last.type == "summary" else {
            throw Trouble("no summary at the end of: \(text.suffix(500)) \(finished.errors.suffix(500))")
        }
        summary = last
        // What was printed and what was counted must be the same, and nothing may have been dropped.
        #expect(summary.number("calls") == calls.count)
        #expect((summary.fields["drops"] as? [Any])?.isEmpty == true)
    }

    /// Traces a command.
    static func of(
        _ functions: [String], _ command: [String], input: String = "", directory: String? = nil
    ) async throws -> Trace {
        let folder = try Folder()
        let finished = try await run(
            [Package.fsession, "trace", "--json", "-o", "\(folder.path)/trace"] + functions + ["--"] + command,
            input: input, directory: directory)
        return try Trace(finished, try folder.text("trace"))
    }
}

// MARK: - Compilers

enum Compiler {
    /// The first of the commands that there is.
    private static func first(_ names: [String]) -> String? {
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        for name in names {
            for folder in path where FileManager.default.isExecutableFile(atPath: "\(folder)/\(name)") {
                return "\(folder)/\(name)"
            }
        }
        return nil
    }

    /// clang: beside the Swift compiler, or anywhere in PATH.
    static func clang() throws -> String {
        if let swift = first(["swift"]) {
            let beside = URL(fileURLWithPath: swift).resolvingSymlinksInPath().deletingLastPathComponent().path + "/clang"
            if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        }
        guard let clang = first(["clang"]) else { throw Trouble("there is no clang to make BPF objects with") }
        return clang
    }

    /// Makes a BPF object of programs in C, with the usual head.
    static func bpf(_ source: String, in folder: Folder, name: String = "prog") async throws -> String {
        let source = "#include \"fsession.bpf.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n\(source)\n"
        return try await bpf(file: try folder.file("\(name).bpf.c", source), in: folder, name: name)
    }

    /// Makes a BPF object of a complete source file.
    static func bpf(file: String, in folder: Folder, name: String) async throws -> String {
        let output = "\(folder.path)/\(name).bpf.o"
        let result = try await run([
            try clang(), "-target", "bpf", "-O2", "-g", "-D__x86_64__", "-I\(Package.root)/include",
            "-I/usr/include/x86_64-linux-gnu", "-c", file, "-o", output,
        ])
        guard result.status == 0 else { throw Trouble("clang: \(result.errors)") }
        return output
    }

    /// Makes an executable of C.
    static func c(_ source: String, in folder: Folder, name: String = "program", _ flags: [String] = []) async throws -> String {
        let input = try folder.file("\(name).c", source)
        let output = "\(folder.path)/\(name)"
        guard let compiler = first(["cc", "gcc"]) ?? (try? clang()) else { throw Trouble("there is no C compiler") }
        let result = try await run([compiler, "-O1", "-g"] + flags + ["-o", output, input])
        guard result.status == 0 else { throw Trouble("\(compiler): \(result.errors)") }
        return output
    }

    /// Makes an executable of C++.
    static func cxx(_ source: String, in folder: Folder, name: String = "program", _ flags: [String] = []) async throws -> String {
        let input = try folder.file("\(name).cpp", source)
        let output = "\(folder.path)/\(name)"
        guard let compiler = first(["c++", "g++", "clang++"]) else { throw Trouble("there is no C++ compiler") }
        let result = try await run([compiler, "-O1"] + flags + ["-o", output, input])
        guard result.status == 0 else { throw Trouble("\(compiler): \(result.errors)") }
        return output
    }
}
