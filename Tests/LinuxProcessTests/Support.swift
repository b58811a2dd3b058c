import CLinux
import Foundation
import Glibc
import LinuxProcess
import Testing

/// Programs that the tests compile, and processes that they start beside the code under test.
enum Support {
    /// Removed at the end of the tests.
    static let temporary: URL = {
        atexit { try? FileManager.default.removeItem(at: Support.place) }
        return place
    }()
    private static let place = FileManager.default.temporaryDirectory
        .appendingPathComponent("fsession-process-\(getpid())")

    /// Compiles C (or other source that clang knows) once per test run.
    static func compile(_ source: String, name: String, arguments: [String] = []) throws -> String {
        let folder = temporary.appendingPathComponent("\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let output = folder.appendingPathComponent(name).path
        let input = output + ".c"
        try source.write(toFile: input, atomically: true, encoding: .utf8)
        let result = try run("clang", ["-O1", "-g", "-o", output, input] + arguments)
        try #require(result.status == 0, "\(result.error)")
        return output
    }

    /// Runs a tool to its end.
    static func run(_ tool: String, _ arguments: [String]) throws -> (status: Int32, output: String, error: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [tool] + arguments
        let output = Pipe()
        let error = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-stderr-\(UUID())")
        _ = FileManager.default.createFile(atPath: error.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: error) }
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: error)
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (
            process.terminationStatus, String(decoding: text, as: UTF8.self),
            (try? String(contentsOf: error, encoding: .utf8)) ?? ""
        )
    }

    /// Writes an executable file by another process: a child that another test forks meanwhile would hold
    /// a descriptor of ours open for writing, and exec would fail with ETXTBSY.
    static func script(_ text: String, at path: String) throws {
        let result = try run("sh", ["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text, path])
        try #require(result.status == 0)
    }

    static func has(_ tool: String) -> Bool { (try? run("which", [tool]).status) == 0 }

    /// Waits until something becomes true, at most ten seconds.
    static func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1000 {
            if try condition() { return true }
            usleep(10_000)
        }
        return try condition()
    }

    /// True when no thread of a process is traced.
    static func isUntraced(_ pid: pid_t) throws -> Bool {
        try ThreadInfo.ids(of: pid).allSatisfy { ((try? ProcessStatus(thread: $0, of: pid).tracer) ?? 0) == 0 }
    }
}

/// A process beside the tests; killed and reaped at the end.
final class Child {
    let process = Process()
    let output = Pipe()
    let input = Pipe()
    var pid: pid_t { process.processIdentifier }

    init(_ tool: String, _ arguments: [String] = []) throws {
        process.executableURL = URL(fileURLWithPath: tool.hasPrefix("/") ? tool : "/usr/bin/env")
        process.arguments = tool.hasPrefix("/") ? arguments : [tool] + arguments
        process.standardOutput = output
        process.standardInput = input
        // The threads that run tests block all signals; a child would inherit that.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
    }

    func readLine() -> String {
        var bytes = Data()
        while let byte = try? output.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
            if byte[0] == 10 { break }
            bytes += byte
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func write(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }
}

#if arch(x86_64)
enum Number {
    static let mmap = 9, getpid = 39, memfd = 319, munmap = 11, setresuid = 117
}
#else
enum Number {
    static let mmap = 222, getpid = 172, memfd = 279, munmap = 215, setresuid = 147
}
#endif
