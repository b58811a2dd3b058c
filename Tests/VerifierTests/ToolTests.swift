import BPF
import Foundation
import Testing
import Verifier

/// What clang makes of ordinary tracing programs is accepted, however hard it optimises.
@Suite("Tools")
struct ToolTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let sources: [String] = {
        let folder = root.appendingPathComponent("Examples/Tools")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".bpf.c") }.sorted()
    }()

    @Test("there are at least 32 tools, and each is in the table")
    func table() throws {
        let table = try String(contentsOf: Self.root.appendingPathComponent("Examples/Tools/README.md"), encoding: .utf8)
        #expect(Self.sources.count >= 32)
        for source in Self.sources { #expect(table.contains("](\(source))"), "\(source) is not in README.md") }
    }

    @Test("compiles without warnings, and each of its programs is accepted", arguments: sources, ["-O1", "-O2", "-O3"])
    func accepted(_ source: String, _ level: String) throws {
        let object = try Self.compile(source, level)
        #expect(!object.programs.isEmpty)
        for program in object.programs {
            let verdict = Verifier.verify(VerifierInput(program, in: object))
            let fault = verdict.failure.map { "\($0)" } ?? ""
            #expect(verdict.isAccepted, "\(source) \(level), \(program.name): \(fault)\n\(verdict.log.suffix(4000))")
        }
    }

    private static func compile(_ source: String, _ level: String) throws -> Object {
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-tool-\(UUID()).bpf.o").path
        let messages = output + ".log"
        defer { for path in [output, messages] { try? FileManager.default.removeItem(atPath: path) } }
        _ = FileManager.default.createFile(atPath: messages, contents: nil)
        #if arch(arm64)
        let multiarch = "aarch64-linux-gnu"
        #else
        let multiarch = "x86_64-linux-gnu"
        #endif
        let clang = Process()
        clang.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        clang.arguments = [
            "clang", "-target", "bpf", "-g", "-Wall", "-Werror", level, "-I\(root.path)/include", "-I/usr/include/\(multiarch)",
            "-c", root.appendingPathComponent("Examples/Tools/\(source)").path, "-o", output,
        ]
        clang.standardError = FileHandle(forWritingAtPath: messages)
        try clang.run()
        clang.waitUntilExit()
        let text = (try? String(contentsOfFile: messages, encoding: .utf8)) ?? ""
        try #require(clang.terminationStatus == 0, "\(source) \(level): \(text)")
        #expect(text.isEmpty, "\(source) \(level): \(text)")
        return try Object(path: output)
    }
}
