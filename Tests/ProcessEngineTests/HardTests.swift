import Foundation
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
        guard let program else { throw HardProgram.Failure(text: "there is no \(compiler)") }
        for pattern in ["exe:middle", "exe:*"] {
            let result = try program.traced(pattern)
            #expect(result.output == "caught 200 destroyed 1500\n", "\(pattern)")
            #expect(result.status == 7, "\(pattern)")
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

    @Test("A function that another one enters by a branch stays whole after that one has been patched")
    func secondSession() throws {
        let program = try #require(try HardProgram.c(HardProgram.entered, ["-O1"]))
        let target = try program.start()
        defer { target.end() }
        let first = try HardProgram.fsession(["trace", "-q", "-o", program.folder + "/first", "-p", "\(target.pid)", "exe:front"])
        defer { first.end() }
        try #require(HardProgram.wait { (try? String(contentsOfFile: program.folder + "/first", encoding: .utf8))?.contains("front(") == true })
        // Its jump into `back` is in the moved entry now.
        let second = try HardProgram.fsession(["trace", "-o", program.folder + "/second", "-p", "\(target.pid)", "--limit", "1", "exe:back"])
        #expect(second.finish() == 1)
        #expect(second.errors.contains("a branch"), "\(second.errors)")
        #expect(target.isRunning)
        first.interrupt()
        #expect(first.finish() == 0)
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        let lines = maps.split(separator: "\n")
        #expect(!lines.contains { $0.contains("memfd:") }, "\(maps)")
        // Code of no file: five fields, no path.
        #expect(!lines.contains { $0.contains(" r-xp ") && $0.split(separator: " ").count < 6 }, "\(maps)")
        #expect(target.isRunning)
    }

    @Test("The target runs on when fsession is killed")
    func killedController() throws {
        let program = try #require(try HardProgram.c(HardProgram.entered, ["-O1"]))
        let target = try program.start()
        defer { target.end() }
        let file = program.folder + "/killed"
        let first = try HardProgram.fsession(["trace", "-q", "-o", file, "-p", "\(target.pid)", "exe:front"])
        try #require(HardProgram.wait { (try? String(contentsOfFile: file, encoding: .utf8))?.contains("front(") == true })
        first.end()
        let second = try HardProgram.fsession(["trace", "-o", program.folder + "/again", "-p", "\(target.pid)", "--limit", "1", "exe:front"])
        #expect(second.finish() == 1)
        #expect(second.errors.contains("another fsession"), "\(second.errors)")
        #expect(target.isRunning)
    }
}
