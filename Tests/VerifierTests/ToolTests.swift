import BPF
import Foundation
import TestSupport
import Testing
import Verifier

/// What clang makes of ordinary tracing programs is accepted, however hard it optimises.
@Suite("Tools")
struct ToolTests {
    static let sources: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: Repository.path("Examples/Tools"))) ?? []
        return files.filter { $0.hasSuffix(".bpf.c") }.sorted()
    }()

    @Test("there are at least 32 tools, and each is in the table")
    func table() throws {
        let table = try Repository.text("Examples/Tools/README.md")
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
        let folder = try Folder()
        // A warning is an error.
        return try Object(
            path: Compiler.bpf(Repository.path("Examples/Tools/\(source)"), [level, "-g", "-Wall", "-Werror"], to: "\(folder.path)/\(source).o"))
    }
}
