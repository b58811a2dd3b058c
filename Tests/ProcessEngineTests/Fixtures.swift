import FSession
import Foundation
import Glibc
import Synchronization
import Testing

/// The C programs of this folder, compiled when a test asks for them, each once in a run.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    static let package = folder.deletingLastPathComponent().deletingLastPathComponent()

    private static let built = Mutex<[[String]: String]>([:])

    /// Removed at the end of the tests.
    static let temporary: URL = {
        atexit { try? FileManager.default.removeItem(at: Fixtures.place) }
        try? FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        return place
    }()
    private static let place = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-engine-\(getpid())")

    /// A BPF object of `Programs`, as a user compiles it.
    static func object(_ name: String, _ options: [String] = []) throws -> BPFObject {
        try BPFObject(contentsOf: bpf(folder.appendingPathComponent("Programs/\(name).bpf.c"), options))
    }

    /// Compiles a BPF program and returns the object's path.
    static func bpf(_ source: URL, _ options: [String] = []) throws -> String {
        let include = ["-I\(package.path)/include", "-I/usr/include/\(multiarch)"]
        return try compile(
            ["clang"], source, ["-target", "bpf", "-O2", "-g", "-Wall", "-Werror"] + include + options + ["-c"], "bpf.o")
    }

    /// An executable of `Targets`.
    static func target(_ name: String, _ options: [String] = []) throws -> String {
        let isCxx = name.hasSuffix(".cpp")
        return try target(at: folder.appendingPathComponent("Targets/\(isCxx ? name : name + ".c")"), options)
    }

    /// An executable of a C or C++ file.
    static func target(at source: URL, _ options: [String] = []) throws -> String {
        try compile(
            source.pathExtension == "cpp" ? ["clang++", "g++", "c++"] : ["clang", "gcc", "cc"], source, ["-O1", "-g", "-pthread"] + options, "exe")
    }

    private static func compile(
        _ compilers: [String], _ source: URL, _ options: [String], _ suffix: String
    ) throws -> String {
        try built.withLock { built in
            let key = [source.path] + options
            if let path = built[key] { return path }
            let output = temporary.appendingPathComponent("\(source.lastPathComponent)-\(built.count).\(suffix)").path
            var failure = ""
            for compiler in compilers {
                let result = try run("/usr/bin/env", [compiler] + options + ["-o", output, source.path])
                if result.status == 0 {
                    built[key] = output
                    return output
                }
                failure += result.error
            }
            throw FixtureError(description: "cannot compile \(source.lastPathComponent): \(failure)")
        }
    }

    /// Runs a program to its end.
    static func run(_ path: String, _ arguments: [String]) throws -> (status: Int32, output: String, error: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        // A file for the errors: two pipes could fill up behind each other.
        let error = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-stderr-\(UUID())")
        _ = FileManager.default.createFile(atPath: error.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: error) }
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: error)
        try startUnblocked(process)
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            (try? String(contentsOf: error, encoding: .utf8)) ?? ""
        )
    }

    /// The threads that run tests block all signals; a child would inherit that.
    static func startUnblocked(_ process: Process) throws {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
    }

    #if arch(arm64)
    private static let multiarch = "aarch64-linux-gnu"
    #else
    private static let multiarch = "x86_64-linux-gnu"
    #endif
}

struct FixtureError: Error, CustomStringConvertible {
    let description: String
}

/// A running target that does a line's work for each line that it gets; killed at the end.
final class DrivenProcess {
    private let process = Process()
    private let output = Pipe()
    private let input = Pipe()
    private var unread: [UInt8] = []

    var pid: Int32 { process.processIdentifier }

    init(_ path: String, _ arguments: [String] = []) throws {
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardOutput = output
        process.standardInput = input
        try Fixtures.startUnblocked(process)
        let line = try readLine()
        try #require(line == "ready")
    }

    /// Lets it do something and returns its answer.
    func ask(_ line: String) throws -> String {
        send(line)
        return try readLine()
    }

    /// Tells it to do something; its answer is read later, by ``readLine()``.
    func send(_ line: String) { input.fileHandleForWriting.write(Data("\(line)\n".utf8)) }

    /// Tells it to end, and how it did.
    func end(_ line: String) -> Int32 {
        send(line)
        process.waitUntilExit()
        return process.terminationStatus
    }

    var isRunning: Bool { process.isRunning }

    /// How it ended: its status, or 128 and the signal.
    func waitForEnd() -> Int32 {
        if !HardProgram.wait(until: { !self.process.isRunning }) { kill(pid, SIGKILL) }
        process.waitUntilExit()
        return process.terminationStatus + (process.terminationReason == .exit ? 0 : 128)
    }

    /// - Parameter patience: in milliseconds.
    func readLine(patience: Int32 = 30_000) throws -> String {
        let descriptor = output.fileHandleForReading.fileDescriptor
        while true {
            if let end = unread.firstIndex(of: 10) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, patience) > 0 else { throw FixtureError(description: "the target does not answer") }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = read(descriptor, &bytes, bytes.count)
            guard count > 0 else { throw FixtureError(description: "the target has ended") }
            unread += bytes[..<count]
        }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }
}

extension Session {
    /// A global variable of the loaded objects as a number.
    func number(_ name: String) throws -> UInt64 {
        try #require(try numbers(name).first)
    }

    /// A global array of 64-bit numbers.
    func numbers(_ name: String) throws -> [UInt64] {
        let variable = try #require(self.variable(named: name))
        return stride(from: 0, to: variable.bytes.count, by: 8).map { start in
            variable.bytes[start..<min(start + 8, variable.bytes.count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// What an attachment that must fail complains about.
    func complaint(_ program: String, to pattern: String? = nil) async -> String {
        do {
            let attachment = try await attach(program, to: pattern)
            return "attached \(attachment.links.count), refused \(attachment.refused.map(\.reason))"
        } catch {
            return error.description
        }
    }
}

extension Session.Target {
    static func process(_ pid: pid_t) -> Self { .process(ProcessID(pid)) }
}

extension Session.Link {
    func detach(from session: Session) async throws { try await session.remove(self) }
}
