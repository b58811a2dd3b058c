import FSession
import Foundation
import TestSupport

/// Building and running what lies in `Examples`.
enum Example {
    static func compile(_ source: String) throws -> String { try Compiled.program(Repository.path("Examples/\(source)"), ["-O1", "-g"]) }

    static func compileBPF(_ source: String) throws -> String { try Compiled.bpf(Repository.path("Examples/\(source)"), []) }

    /// The BPF object of programs in C, with the usual head.
    static func object(_ programs: String) throws -> BPFObject {
        let file = TemporaryFiles.path(".bpf.c")
        try Compiler.withHead(programs).write(toFile: file, atomically: false, encoding: .utf8)
        return try BPFObject(contentsOf: Compiled.bpf(file, []))
    }

    /// An executable of a source in C.
    static func program(_ source: String) throws -> String {
        let file = TemporaryFiles.path(".c")
        try source.write(toFile: file, atomically: false, encoding: .utf8)
        return try Compiled.program(file, ["-O1", "-g"])
    }
}
