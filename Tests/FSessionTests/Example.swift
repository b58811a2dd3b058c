import FSession
import Foundation
import Glibc
import Testing

/// Building and running what lies in `Examples`.
enum Example {
    static let package = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Removed at the end of the tests.
    private static let temporary: URL = {
        atexit { try? FileManager.default.removeItem(at: Example.place) }
        try? FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        return place
    }()
    private static let place = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-examples-\(getpid())")

    /// A built executable of the package: it lies beside the tests.
    static func product(_ name: String) throws -> String {
        let beside = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        let candidates = [
            beside.appendingPathComponent(name).path, package.appendingPathComponent(".build/release/\(name)").path,
        ]
        return try #require(candidates.first { access($0, X_OK) == 0 }, "\(name) is not built")
    }

    static func compile(_ source: String) throws -> String {
        try compile(source, ["clang", "gcc", "cc"], ["-O1", "-g"])
    }

    static func compileBPF(_ source: String) throws -> String {
        #if arch(arm64)
            let multiarch = "aarch64-linux-gnu"
        #else
            let multiarch = "x86_64-linux-gnu"
        #endif
        return try compile(
            source, ["clang"],
            ["-target", "bpf", "-O2", "-g", "-Wall", "-Werror", "-I\(package.path)/include", "-I/usr/include/\(multiarch)", "-c"])
    }

    /// The BPF object of programs in C, with the usual head.
    static func object(_ programs: String) throws -> BPFObject {
        let file = temporary.appendingPathComponent("\(UUID()).bpf.c")
        try Data("#include \"fsession.bpf.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n\(programs)\n".utf8).write(to: file)
        return try BPFObject(contentsOf: compileBPF(file.path))
    }

    /// An executable of a source in C.
    static func program(_ source: String) throws -> String {
        let file = temporary.appendingPathComponent("\(UUID()).c")
        try Data(source.utf8).write(to: file)
        return try compile(file.path)
    }

    /// A new file's path.
    static func path() -> String { temporary.appendingPathComponent("\(UUID())").path }

    /// - Parameter source: below `Examples`, or anywhere.
    private static func compile(_ source: String, _ compilers: [String], _ options: [String]) throws -> String {
        let output = temporary.appendingPathComponent("\(UUID())").path
        let input = source.hasPrefix("/") ? source : package.appendingPathComponent("Examples/\(source)").path
        var failure = ""
        for compiler in compilers {
            let result = try run("/usr/bin/env", [compiler] + options + ["-o", output, input])
            if result.status == 0 { return output }
            failure += result.error
        }
        Issue.record("cannot compile \(source): \(failure)")
        return output
    }

    /// Runs a program to its end.
    static func run(_ path: String, _ arguments: [String]) throws -> (status: Int32, output: String, error: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        // Files, not pipes: of two pipes one could fill up behind the other.
        let files = ["output", "error"].map { temporary.appendingPathComponent("\($0)-\(UUID())") }
        for file in files { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: files[0])
        process.standardError = try FileHandle(forWritingTo: files[1])
        // The threads that run tests block all signals; a child would inherit that.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
        process.waitUntilExit()
        return (
            process.terminationStatus, try String(contentsOf: files[0], encoding: .utf8),
            try String(contentsOf: files[1], encoding: .utf8)
        )
    }
}
