import Foundation
import TestSupport
import Testing

/// Targets that crash, or are killed.
@Suite("Crashes")
struct CoreTests {
    @Test("The core of a crash below two trampolines shows the program's own stack, up to main")
    func core() throws {
        let program = try Fixtures.target("crashes", ["-fno-omit-frame-pointer"])
        let script = Fixtures.package.appendingPathComponent("scripts/fsession-gdb.py").path
        let folder = Fixtures.temporary.appendingPathComponent("core").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let core = folder + "/core"
        let log = folder + "/trace"
        // gdb writes the core: where the kernel puts one is the machine's business.
        let target = try DrivenProcess(program)
        let session = try HardProgram.fsession(["trace", "-o", log, "-p", "\(target.pid)", "exe:outer", "exe:inner"])
        defer { session.end() }
        try #require(eventually { (try? String(contentsOfFile: log, encoding: .utf8))?.contains("inner(") == true })
        let debugger = try Fixtures.run(
            "/usr/bin/env",
            [
                "gdb", "-nx", "-batch", "-p", "\(target.pid)", "-ex", "handle SIGSEGV stop print", "-ex", "handle SIGUSR1 nostop pass",
                "-ex", "signal SIGUSR1", "-ex", "generate-core-file \(core)", "-ex", "kill",
            ])
        try #require(FileManager.default.fileExists(atPath: core), "\(debugger.output) \(debugger.errors)")
        let shown = try Fixtures.run("/usr/bin/env", ["gdb", "-nx", "-batch", "-x", script, "-ex", "bt", program, core])
        let frames = shown.output.split(separator: "\n").filter { $0.hasPrefix("#") }
        func position(_ name: String) -> Int? { frames.firstIndex { $0.contains(" \(name) (") } }
        let inner = try #require(position("inner"), "\(shown.output)")
        let outer = try #require(position("outer"), "\(shown.output)")
        let main = try #require(position("main"), "\(shown.output)")
        #expect(inner < outer && outer < main)
        // fsession ends with its target.
        #expect(session.wait().status == 0, "\(session.errorsSoFar)")
    }
}
