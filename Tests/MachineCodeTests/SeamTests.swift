import Foundation
import TestSupport
import Testing

/// What belongs to one architecture is in files that are named for it.
@Suite("The seam between architectures")
struct SeamTests {
    private func check(_ folder: String...) throws -> Finished { try runBlocking(["sh", Repository.path("scripts/check-seam")] + folder) }

    @Test("no other file of the sources names a register, an opcode or the size of an instruction")
    func sources() throws {
        let result = try check()
        #expect(result.status == 0, "\(result.errors)")
    }

    @Test(
        "the engine adds nothing to what an entry's patch says",
        arguments: [
            "jumpSize", "Architecture.jump(", "jumpTarget", "Architecture.place(", "displaced.address",
        ])
    func engine(word: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Sources/ProcessEngine")
        let files = try FileManager.default.contentsOfDirectory(at: folder.standardized, includingPropertiesForKeys: nil)
        #expect(files.count > 20)
        for file in files where try String(contentsOf: file, encoding: .utf8).contains(word) {
            Issue.record("\(file.lastPathComponent) has '\(word)'")
        }
    }

    @Test(
        "the check finds one that does, and leaves those alone that may",
        arguments: [
            ("Engine.swift", "let register = \"rax\"", false), ("Engine.swift", "if code[0] == 0xE9 { return }", false),
            ("Engine.swift", "// behind an endbr64", false), ("Engine.swift", "/// x30 has the return address.", false),
            ("Engine.swift", "let relaxed = 9", true), ("Engine+X86_64.swift", "let register = \"rax\"", true),
            ("ARM64Engine.swift", "/// x30 has the return address.", true),
        ])
    func finds(name: String, line: String, mayStand: Bool) throws {
        let folder = try Folder()
        _ = try folder.file(name, line + "\n")
        let result = try check(folder.path)
        #expect(result.status == (mayStand ? 0 : 1), "\(result.errors)")
        #expect(result.errors.contains(line) != mayStand)
    }
}
