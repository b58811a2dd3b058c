import Foundation
import TestSupport
import Testing

/// Runs fsession to its end.
func fsession(_ arguments: String..., input: String = "", directory: String? = nil) async throws -> Finished {
    try await run([Repository.fsession] + arguments, input: input, directory: directory)
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
            [Repository.fsession, "trace", "--json", "-o", "\(folder.path)/trace"] + functions + ["--"] + command,
            input: input, directory: directory)
        return try Trace(finished, try folder.text("trace"))
    }
}

// MARK: - Compilers

extension Compiler {
    /// Makes a BPF object of programs in C, with the usual head.
    static func bpf(_ source: String, in folder: Folder, name: String = "prog") throws -> String {
        try bpf(try folder.file("\(name).bpf.c", withHead(source)), to: "\(folder.path)/\(name).bpf.o")
    }

    /// Makes an executable of C.
    static func c(_ source: String, in folder: Folder, name: String = "program", _ flags: [String] = []) throws -> String {
        try compile(try folder.file("\(name).c", source), with: ["cc", "gcc", "clang"], ["-O1", "-g"] + flags, to: "\(folder.path)/\(name)")
    }

    /// Makes an executable of C++.
    static func cxx(_ source: String, in folder: Folder, name: String = "program", _ flags: [String] = []) throws -> String {
        try compile(try folder.file("\(name).cpp", source), with: ["c++", "g++", "clang++"], ["-O1"] + flags, to: "\(folder.path)/\(name)")
    }
}
