import Foundation
import Glibc
import LinuxProcess
import TestSupport
import Testing

/// Programs that the tests compile, and processes that they start beside the code under test.
enum Support {
    static let temporary = TemporaryFiles.folder

    /// Compiles C (or other source that clang knows) to a program of that name.
    static func compile(_ source: String, name: String, arguments: [String] = []) throws -> String {
        let folder = temporary.appendingPathComponent("\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let output = folder.appendingPathComponent(name).path
        try source.write(toFile: output + ".c", atomically: true, encoding: .utf8)
        return try Compiler.compile(output + ".c", with: ["clang"], ["-O1", "-g"] + arguments, to: output)
    }

    /// Writes an executable file by another process: a child that another test forks meanwhile would hold
    /// a descriptor of ours open for writing, and exec would fail with ETXTBSY.
    static func script(_ text: String, at path: String) throws {
        try run("sh", "-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text, path)
    }

    /// True when no thread of a process is traced.
    static func isUntraced(_ pid: pid_t) throws -> Bool {
        try ThreadInfo.ids(of: pid).allSatisfy { ((try? ProcessStatus(thread: $0, of: pid).tracer) ?? 0) == 0 }
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
