import Foundation
import TestSupport
import Testing

/// Tools of `Examples/Tools` on installed programs: what they count must be what the programs did.
@Suite struct ToolTests {
    /// Runs a tool; the lines that fsession printed, without the command's own.
    private func run(_ tool: String, _ options: [String] = [], _ command: [String]) async throws -> Finished {
        let folder = try Folder()
        let source = Repository.path("Examples/Tools/\(tool).bpf.c")
        let object = try Compiler.bpf(source, to: "\(folder.path)/\(tool).bpf.o")
        let finished = try await TestSupport.run(
            [Repository.fsession, "run", "--maps", "--globals"] + options + [object, "--"] + command)
        #expect(finished.status == 0, "\(finished.errors)")
        return finished
    }

    private func number(_ name: String, in finished: Finished) throws -> Int {
        let line = try #require(finished.errorLines.first { $0.hasPrefix("\(name) = ") }, "\(finished.errors)")
        return try #require(Int(line.dropFirst(name.utf8.count + 3)))
    }

    @Test("sqlrows: a row for each line that sqlite3 prints, one end for each statement")
    func rows() async throws {
        let finished = try await run("sqlrows", [], ["sqlite3", ":memory:", "select 1 union select 2 union select 3"])
        #expect(finished.outputLines == ["1", "2", "3"])
        #expect(finished.errorLines.contains("  100: 3"))
        #expect(finished.errorLines.contains("  101: 1"))
    }

    @Test("inject: a statement that runs out of memory prints nothing, the others go on")
    func inject() async throws {
        let finished = try await run(
            "inject", ["--at", "libsqlite3:sqlite3_step"], ["sqlite3", ":memory:", "select 1", "select 2", "select 3"])
        #expect(finished.outputLines.contains("1"))
        #expect(!finished.outputLines.contains("2"))
        #expect(try number("injected", in: finished) > 0)
    }

    @Test("inject, set on the command line: other calls fail")
    func injectOthers() async throws {
        let finished = try await run(
            "inject", ["--set", "interval=1000", "--set=spared=0", "--at", "libsqlite3:sqlite3_step"],
            ["sqlite3", ":memory:", "select 1", "select 2"])
        #expect(try number("injected", in: finished) == 1)
        #expect(!finished.outputLines.contains("1") && finished.outputLines.contains("2"))
    }

    @Test("slowcalls: the limit is given on the command line", arguments: [("20ms", 1), ("1h", 0)])
    func slowcalls(limit: String, slow: Int) async throws {
        let finished = try await run("slowcalls", ["--set", "limit=\(limit)", "--at", "libc:clock_nanosleep"], ["sleep", "0.1"])
        #expect(try number("calls", in: finished) == 1)
        #expect(try number("slow", in: finished) == slow)
    }

    @Test("a variable that is not there, or does not hold the value, is told by run and by check")
    func wrongVariables() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(Repository.path("Examples/Tools/sample.bpf.c"), to: "\(folder.path)/sample.bpf.o")
        for command in [["check", object], ["run", object, "--", "true"]] {
            for (setting, text) in [
                ("rat=4", "has no variable 'rat'; did you mean 'rate'?"),
                ("rate=-1", "cannot set 'const volatile u32 rate': '-1' is not a number from 0 to 4294967295"),
            ] {
                let finished = try await TestSupport.run([Repository.fsession, command[0], "--set", setting] + command.dropFirst())
                #expect(finished.status == 1)
                #expect(finished.errorLines.count == 1 && finished.errors.contains(text), "\(finished.errors)")
            }
        }
        // What is proven is what was set: a number of steps beyond all bounds is refused.
        let loop = try Compiler.bpf(
            "const volatile u64 steps = 4; u64 n; SEC(\"fentry/exe:f\") int f(void *c) { for (u64 i = 0; i < steps; i++) n++; return 0; }", in: folder
        )
        #expect(try await fsession("check", loop).status == 0)
        #expect(try await fsession("check", "--set", "steps=0xffffffffffff", loop).status == 1)
    }

    @Test("digests: every byte of a file, and not one more")
    func digests() async throws {
        let folder = try Folder()
        let file = try folder.file("data", Data(repeating: 7, count: 100_001))
        let finished = try await run("digests", [], ["openssl", "dgst", "-sha256", file])
        #expect(try number("bytes", in: finished) == 100_001)
    }

    @Test("classes: every call goes to one of the three programs")
    func classes() async throws {
        let finished = try await run("classes", ["--program", "dispatch"], ["git", "--version"])
        let parts = try ["small", "middle", "large"].map { try number($0, in: finished) }
        let summary = try #require(finished.errorLines.last { $0.contains(" calls of 1 function") })
        #expect(summary.contains(" \(parts.reduce(0, +)) calls"))
        #expect(parts.allSatisfy { $0 > 0 })
    }

    @Test("execs: the programs of a pipe, with their arguments")
    func execs() async throws {
        let finished = try await run("execs", [], ["sh", "-c", "ls -d / | cat"])
        let text = finished.errorLines.joined(separator: "\n")
        #expect(text.contains("/ls"))
        #expect(text.contains("[1] -d"))
        #expect(text.contains("/cat"))
    }

    @Test("getenvs: names as keys, and those that begin alike")
    func getenvs() async throws {
        let finished = try await run("getenvs", [], ["git", "--version"])
        #expect(finished.errorLines.contains { $0.contains(#"{.text = "HOME"}"#) })
        let named = finished.errorLines.filter { $0.contains(#"{.text = "GIT_"#) }
        #expect(try number("of_prefix", in: finished) >= named.count)
        #expect(named.count > 3)
    }
}
