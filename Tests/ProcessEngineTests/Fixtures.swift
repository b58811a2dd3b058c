import FSession
import Foundation
import TestSupport
import Testing

/// The C programs of this folder, compiled when a test asks for them, each once in a run.
enum Fixtures {
    static let folder = Repository.root.appendingPathComponent("Tests/ProcessEngineTests")
    static let package = Repository.root
    static let temporary = TemporaryFiles.folder

    /// A BPF object of `Programs`, as a user compiles it.
    static func object(_ name: String, _ options: [String] = []) throws -> BPFObject {
        try BPFObject(contentsOf: bpf(folder.appendingPathComponent("Programs/\(name).bpf.c"), options))
    }

    /// Compiles a BPF program and returns the object's path.
    static func bpf(_ source: URL, _ options: [String] = []) throws -> String { try Compiled.bpf(source.path, options) }

    /// An executable of `Targets`.
    static func target(_ name: String, _ options: [String] = []) throws -> String {
        let isCxx = name.hasSuffix(".cpp")
        return try target(at: folder.appendingPathComponent("Targets/\(isCxx ? name : name + ".c")"), options)
    }

    /// An executable of a C or C++ file.
    static func target(at source: URL, _ options: [String] = []) throws -> String {
        try Compiled.program(source.path, ["-O1", "-g", "-pthread"] + options)
    }

    /// Runs a program to its end.
    static func run(_ path: String, _ arguments: [String]) throws -> Finished { try runBlocking([path] + arguments) }
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
