import FSession
import Foundation
import TestSupport
import Testing

/// Programs that use the stack in every way C and C++ know, under the command line: what they print and how they
/// end must be what it is without.
@Suite("Hard targets", .serialized)
struct HardTests {
    @Test("C++ exceptions run every destructor and catch clause", arguments: ["clang++", "g++", "static"])
    func exceptions(compiler: String) throws {
        let program =
            compiler == "static"
            ? try HardProgram.cxx(HardProgram.exceptions, compiler: "g++", ["-O1", "-static"])
            : try HardProgram.cxx(HardProgram.exceptions, compiler: compiler, ["-O1"])
        guard let program else { throw Trouble("there is no \(compiler)") }
        for pattern in ["exe:middle", "exe:*"] {
            let result = try program.traced(pattern)
            #expect(result.output == "caught 200 destroyed 1500\n", "\(pattern)")
            #expect(result.status == 7, "\(pattern)")
        }
    }

    @Test("exceptions in a stripped program that has its unwinder within itself")
    func ownUnwinder() throws {
        let program = try HardProgram.cxx(
            HardProgram.exceptions, compiler: "g++",
            ["-O1", "-static-libgcc", "-static-libstdc++", "-Wl,--export-dynamic", "-s"])
        guard let program else { throw Trouble("there is no g++") }
        for pattern in ["exe:*middle*", "exe:*"] {
            let result = try program.traced(pattern)
            #expect(result.output == "caught 200 destroyed 1500\n", "\(pattern)")
            #expect(result.status == 7, "\(pattern)")
            // Those that throw have no line.
            #expect(pattern != "exe:*" || result.trace.contains("__cxa_allocate_exception("))
        }
    }

    @Test("longjmp, pthread_cancel, pthread_exit, vfork, posix_spawn and fork", arguments: ["exe:*", "*"])
    func stacks(pattern: String) throws {
        let program = try #require(try HardProgram.c(HardProgram.jumps, ["-O1", "-pthread"]))
        let result = try program.traced(pattern)
        #expect(result.output == "sum 69 cleaned 25\n")
        #expect(result.status == 42)
        #expect(result.trace.contains("main("))
    }

    @Test("A function that another one enters by a branch is refused, also after that one has been patched")
    func enteredByBranch() async throws {
        let program = try #require(try HardProgram.c(HardProgram.entered, ["-O1"]))
        let target = try program.start()
        defer { target.end() }
        let session = try await Session(.process(target.pid))
        try await session.trace(["exe:front"])
        // Its jump into `back` is in the moved entry now.
        await #expect(throws: SessionError.self) { try await session.trace(["exe:back"]) }
        #expect(target.isRunning)
        try await session.detach()
        try Leftovers.expectNone(in: target.pid)
        #expect(target.isRunning)
    }

    @Test("A second session in one process is refused while the first one lives")
    func secondSession() async throws {
        let program = try #require(try HardProgram.c(HardProgram.entered, ["-O1"]))
        let target = try program.start()
        defer { target.end() }
        let first = try await Session(.process(target.pid))
        try await first.trace(["exe:front"])
        let second = try HardProgram.fsession(["trace", "-p", "\(target.pid)", "exe:front"])
        #expect(second.wait().status == 1)
        #expect(second.errorsSoFar.contains("is traced by another fsession"), "\(second.errorsSoFar)")
        try await first.detach()
        #expect(target.isRunning)
    }

    @Test("The target runs on when fsession is killed, and the next fsession takes out what it left")
    func killedController() async throws {
        let program = try #require(try HardProgram.c(HardProgram.entered, ["-O1"]))
        let target = try program.start()
        defer { target.end() }
        let file = program.folder + "/killed"
        let first = try HardProgram.fsession(["trace", "-q", "-o", file, "-p", "\(target.pid)", "exe:front"])
        try #require(eventually { (try? String(contentsOfFile: file, encoding: .utf8))?.contains("front(") == true })
        first.end()
        let again = program.folder + "/again"
        let second = try HardProgram.fsession(["trace", "-o", again, "-p", "\(target.pid)", "--limit", "3", "exe:front"])
        #expect(second.wait().status == 0)
        let text = try String(contentsOfFile: again, encoding: .utf8)
        #expect(text.contains("an earlier fsession") && text.contains("front("), "\(text)")
        #expect(target.isRunning)
    }

    @Test("Children of posix_spawn leave no trace in their parent's records, and each program they execute is named")
    func spawnedChildren() throws {
        let program = try #require(try HardProgram.c(HardProgram.spawns, ["-O1"]))
        let file = program.folder + "/spawns"
        let run = try HardProgram.fsession(["trace", "-o", file, "--json", "exe:after", "--", program.path])
        #expect(run.wait().status == 0)
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        let own = "\"pid\": \(run.outputSoFar.split(separator: "\n").first ?? "?"),"
        #expect(lines.filter { $0.contains("\"call\"") && $0.contains(own) }.count == 3, "\(lines)")
        #expect(lines.filter { $0.contains("\"executing\"") && $0.contains("/bin/true") }.count == 3, "\(lines)")
    }
}
