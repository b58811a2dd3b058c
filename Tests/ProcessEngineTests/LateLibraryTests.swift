import FSession
import Foundation
import Glibc
import TestSupport
import Testing

/// Libraries that a process loads while it is traced: their calls are complete from the first constructor on, and nobody waits
/// for an fsession that is not there.
@Suite("Late libraries", .serialized, .timeLimit(.minutes(5)))
struct LateLibraryTests {
    private static let largeCount = 40_000

    /// A library of so many functions, each of which its constructor calls once. `large_all` calls all of them, too.
    private static func large(_ count: Int = largeCount, name: String = "large") throws -> String {
        func function(_ name: String, _ body: String) -> String {
            ".type \(name),@function\n.p2align 4\n\(name): .cfi_startproc\n\(body)ret\n.cfi_endproc\n.size \(name),.-\(name)\n"
        }
        var text = ".text\n"
        for number in 0..<count { text += function("large_\(number)", "lea 1(%rdi),%rax\nnopl 0(%rax,%rax,1)\n") }
        var calls = "mov %rdi,%rax\n"
        for number in 0..<count { calls += "mov %rax,%rdi\ncall large_\(number)\n" }
        text += ".globl large_all\n" + function("large_all", calls)
        text += function("construct", "xor %edi,%edi\ncall large_all\n")
        text += ".section .init_array,\"aw\",@init_array\n.p2align 3\n.quad construct\n.section .note.GNU-stack,\"\",@progbits\n"
        return try library(text, name: "lib\(name)", suffix: "s")
    }

    private static func library(_ text: String, name: String, suffix: String = "c", _ options: [String] = []) throws -> String {
        let source = Fixtures.temporary.appendingPathComponent("\(name).\(suffix)")
        if (try? String(contentsOf: source, encoding: .utf8)) != text {
            try text.write(to: source, atomically: true, encoding: .utf8)
        }
        return try Fixtures.target(at: source, ["-shared", "-fPIC", "-g0"] + options)
    }

    /// Started without a session: it loads what it is told to.
    private static func target(_ options: [String] = []) throws -> DrivenProcess {
        try DrivenProcess(try Fixtures.target("late", ["-ldl"] + options))
    }

    /// Waits for the end of the events, and gives what was said meanwhile.
    private static func remarks(of session: Session) -> Task<[String], any Error> {
        Task {
            var found: [String] = []
            for await event in session.events {
                if let text = event.warning { found.append(text) }
                if let library = event.loadedLibrary { found.append("\(library.path) was loaded: \(library.attachment.links.count)") }
            }
            return found
        }
    }

    // MARK: - Waiting

    @Test("The calls of a library of 40,000 functions are complete from its constructor on, each time it is loaded")
    func large() async throws {
        let path = try Self.large()
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        let remarks = Self.remarks(of: session)
        try await session.trace(["*:large_*"])
        for round in 1...2 {
            #expect(Int(try target.ask("open \(path)")) != nil)
            #expect(await session.summary().calls == UInt64(round * (Self.largeCount + 1)))
            #expect(try target.ask("close") == "0")
        }
        let summary = try await session.detach()
        #expect(summary.calls == UInt64(2 * (Self.largeCount + 1)))
        #expect(summary.counts.allSatisfy { $0.unreturned == 0 })
        let text = try await remarks.value
        #expect(text.filter { $0.contains("was loaded: \(Self.largeCount + 1)") }.count == 2, "\(text)")
        #expect(target.end("end") == 0)
    }

    @Test("The same in a command that is launched, twice in a row with the same counts")
    func launched() throws {
        let path = try Self.large()
        let program = try HardProgram.c(
            """
            #include <dlfcn.h>
            __attribute__((noinline)) long large_here(long x) { __asm__ volatile("" : "+r"(x)); return x; }
            int main(int c, char **v) {
                for (int i = 1; i < c; i++) { void *l = dlopen(v[i], RTLD_NOW); if (!l) return 1;
                    if (large_here(((long (*)(long))dlsym(l, "large_all"))(0)) != 40000) return 2; }
                return 0; }
            """, ["-O1", "-ldl"])
        let run = try #require(program)
        for _ in 1...2 {
            let result = try Fixtures.run(
                HardProgram.fsessionPath,
                ["trace", "--json", "-o", run.folder + "/json", "*:large_*", "--", run.path, path])
            #expect(result.status == 0, "\(result.errors)")
            let text = try String(contentsOfFile: run.folder + "/json", encoding: .utf8)
            let last = try #require(text.split(separator: "\n").last)
            #expect(last.contains("\"calls\": \(2 * (Self.largeCount + 1) + 1),"), "\(last.prefix(200))")
        }
    }

    @Test("A process does not wait for an fsession that is stopped, or was killed, and is traced again when it goes on")
    func gone() throws {
        let path = try Self.large(200, name: "small")
        let target = try Self.target()
        let log = Fixtures.temporary.appendingPathComponent("gone.trace").path
        let session = try HardProgram.fsession(["trace", "-o", log, "-p", "\(target.pid)", "*:large_*"])
        defer { session.end() }
        func text() -> String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
        /// Whether a library that is loaded is traced, sooner or later.
        func isTraced() -> Bool {
            let before = text().components(separatedBy: "was loaded: 201").count
            for _ in 0..<100 {
                _ = try? target.ask("open \(path)")
                _ = try? target.ask("close")
                usleep(100_000)
                if text().components(separatedBy: "was loaded: 201").count > before { return true }
            }
            return false
        }
        try #require(isTraced(), "\(text()) \(session.errorsSoFar)")
        for signal in [SIGSTOP, SIGKILL] {
            kill(session.pid, signal)
            usleep(50_000)
            var times: [Int] = []
            for _ in 0..<8 {
                times.append(try #require(Int(try target.ask("open \(path)"))))
                #expect(try target.ask("close") == "0")
            }
            // One of them has waited, half a second, the others no longer; with room for a busy machine.
            #expect(times.reduce(0, +) < 3000, "\(signal): \(times)")
            guard signal == SIGSTOP else { continue }
            kill(session.pid, SIGCONT)
            #expect(isTraced(), "\(text())")
        }
        #expect(target.end("end") == 0)
    }

    @Test("fsession may be killed, or stopped, while a library's loading waits for it", arguments: [SIGKILL, SIGSTOP])
    func goneMeanwhile(signal: Int32) async throws {
        let path = try Self.large()
        let target = try Self.target()
        let log = Fixtures.temporary.appendingPathComponent("meanwhile-\(signal).trace").path
        let first = try HardProgram.fsession(["trace", "-o", log, "-p", "\(target.pid)", "*:large_*"])
        defer { first.end() }
        usleep(1_500_000)
        target.send("open \(path)")
        usleep(200_000)
        kill(first.pid, signal)
        // Half a second, and what the library itself takes.
        #expect(Int(try target.readLine()) ?? 100_000 < 5000)
        #expect(try target.ask("call large_all") == "\(Self.largeCount + 1)")
        if signal == SIGSTOP {
            kill(first.pid, SIGCONT)
            usleep(200_000)
            first.send(SIGINT)
            #expect(first.wait().status == 0, "\(first.errorsSoFar)")
        } else {
            first.end()
        }
        let session = try await Session(.process(target.pid))
        try await session.trace(["*:large_*"])
        #expect(try target.ask("call large_all") == "\(Self.largeCount + 1)")
        #expect(await session.summary().calls == UInt64(Self.largeCount + 1))
        try await session.detach()
        #expect(target.end("end") == 0)
    }

    @Test("What a forked child loads does not wait longer than what its parent loads")
    func forked() async throws {
        let path = try Self.large(200, name: "small")
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        try await session.trace(["*:large_*"])
        for _ in 0..<3 { #expect(Int(try target.ask("fork \(path)")) ?? 100_000 < 2000) }
        try await session.detach()
        #expect(Int(try target.ask("fork \(path)")) ?? 100_000 < 2000)
        #expect(target.end("end") == 0)
    }

    @Test("Libraries come and go, and sessions on everything beside them")
    func churn() async throws {
        let path = try Self.library(
            "__attribute__((noinline, visibility(\"default\"))) long step(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x + 1; }",
            name: "libstep")
        let target = try Self.target()
        for round in 0..<4 {
            let session = try await Session(.process(target.pid))
            try await session.trace(["*"])
            target.send("churn \(path) 20")
            if round % 2 == 0 {
                #expect(try target.readLine() == "40")
                let calls = await session.summary().counts.filter { $0.function.name == "step" }.reduce(0) { $0 + $1.entered }
                #expect(calls == 20, "round \(round)")
                try await session.detach()
            } else {
                // Detached in the middle.
                usleep(100_000)
                try await session.detach()
                #expect(try target.readLine() == "40")
            }
        }
        #expect(target.end("end") == 0)
    }

    @Test("A library that a musl program loads is traced from its constructor on")
    func musl() async throws {
        let compiler = try #require(Musl.compiler)
        let target = try DrivenProcess(
            try Musl.compile(compiler, Fixtures.folder.appendingPathComponent("Targets/late.c"), ["-O1"]))
        let text = """
            __attribute__((noinline, aligned(16))) long large_one(long x) { __asm__ volatile("" : "+r"(x)); return x + 1; }
            long large_sum;
            __attribute__((constructor)) static void construct(void) { large_sum = large_one(1); }
            """
        let source = Fixtures.temporary.appendingPathComponent("libmusl.c")
        try text.write(to: source, atomically: true, encoding: .utf8)
        let path = try Musl.compile(compiler, source, ["-O1", "-shared", "-fPIC"])
        let session = try await Session(.process(target.pid))
        try await session.trace(["*:large_*"])
        #expect(Int(try target.ask("open \(path)")) != nil)
        #expect(await session.summary().calls == 1)
        #expect(try target.ask("call large_one") == "2")
        #expect(await session.summary().calls == 2)
        try await session.detach()
        #expect(target.end("end") == 0)
    }

    // MARK: - Exceptions

    private static let throwing = """
        #include <stdexcept>
        extern "C" __attribute__((noinline)) long plug_throws(long n) { if (n) throw std::runtime_error("plug"); return n; }
        extern "C" __attribute__((noinline)) long plug_catches(long n) { try { return plug_throws(n); } catch (std::exception &) { return 7; } }
        """

    @Test("The first C++ library of a C program: its calls return, and exceptions pass them")
    func exceptions() async throws {
        let path = try Self.library(Self.throwing, name: "libthrow", suffix: "cpp")
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        let remarks = Self.remarks(of: session)
        try await session.trace(["*:plug_*"])
        #expect(Int(try target.ask("open \(path)")) != nil)
        for _ in 0..<3 { #expect(try target.ask("call plug_catches") == "7") }
        let summary = try await session.detach()
        let catches = try #require(summary.counts.first { $0.function.name == "plug_catches" })
        #expect(catches.entered == 3 && catches.returned == 3, "\(catches)")
        let throwing = try #require(summary.counts.first { $0.function.name == "plug_throws" })
        #expect(throwing.entered == 3 && throwing.returned == 0, "\(throwing)")
        let text = try await remarks.value
        #expect(!text.contains { $0.contains("only entries") }, "\(text)")
        #expect(target.end("end") == 0)
    }

    @Test("Functions whose exits could not be seen get them when an unwinder arrives")
    func unwinderArrives() async throws {
        // Handlers, and nothing that unwinds.
        let cleaning = try Self.library(
            """
            __asm__(".section .gcc_except_table,\\"a\\",@progbits\\n.byte 0\\n.text\\n");
            __attribute__((noinline)) long plug_one(long n) { __asm__ volatile("" : "+r"(n)); return n + 1; }
            """, name: "libclean")
        let throwing = try Self.library(Self.throwing, name: "libthrow", suffix: "cpp")
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        let remarks = Self.remarks(of: session)
        try await session.trace(["*:plug_*"])
        #expect(Int(try target.ask("open \(cleaning)")) != nil)
        #expect(Int(try target.ask("call plug_one")) == 2)
        #expect(Int(try target.ask("open \(throwing)")) != nil)
        #expect(Int(try target.ask("call plug_one")) == 2)
        let summary = try await session.detach()
        let one = summary.counts.filter { $0.function.name == "plug_one" }
        #expect(one.map(\.entered) == [1, 1] && Set(one.map(\.returned)) == [nil, 1], "\(one)")
        let text = try await remarks.value
        #expect(text.contains { $0.contains("only entries") }, "\(text)")
        #expect(text.contains { $0.contains("exits are seen from here on") }, "\(text)")
        #expect(target.end("end") == 0)
    }

    @Test("Functions of a library that came later and cannot be traced are told with their reasons")
    func refusals() async throws {
        let path = try Self.library(
            """
            long plug_one(long n) { __asm__ volatile("" : "+r"(n)); return n + 1; }
            __asm__(".globl plug_short\\n.type plug_short,@function\\n.p2align 4\\nplug_short: ret\\n.size plug_short,1\\n"
                    ".globl plug_next\\n.type plug_next,@function\\nplug_next: ret\\n.size plug_next,1\\n");
            """, name: "libodd")
        let program = try HardProgram.c(
            "#include <dlfcn.h>\nlong plug_here(long x) { return x; }\nint main(int c, char **v) { return dlopen(v[1], RTLD_NOW) && c ? 0 : 1; }",
            ["-O1", "-ldl"])
        let run = try #require(program)
        let result = try Fixtures.run(HardProgram.fsessionPath, ["trace", "*:plug_*", "--", run.path, path])
        #expect(result.status == 0)
        #expect(result.errors.contains("not traced: plug_short"), "\(result.errors)")
        let json = try Fixtures.run(HardProgram.fsessionPath, ["trace", "--json", "*:plug_*", "--", run.path, path])
        let last = try #require(json.errors.split(separator: "\n").last { $0.contains("summary") })
        #expect(last.contains("\"function\": \"plug_short\", \"reason\""), "\(last)")
    }

    // MARK: - Several copies

    @Test("All copies of a library that is loaded several times are traced", arguments: [false, true])
    func copies(isLate: Bool) async throws {
        let path = try Self.library(
            "__attribute__((noinline)) long step(long x) { __asm__ volatile(\"\" : \"+r\"(x)); return x + 1; }", name: "libstep")
        let target = try Self.target()
        func load() throws {
            for way in ["open", "new", "new"] { #expect(Int(try target.ask("\(way) \(path)")) != nil) }
        }
        if !isLate { try load() }
        let session = try await Session(.process(target.pid))
        try await session.trace(["*:step*"])
        if isLate { try load() }
        #expect(try target.ask("call step") == "6")
        #expect(await session.summary().calls == 3)
        // One of them goes.
        #expect(try target.ask("close") == "0")
        #expect(try target.ask("call step") == "4")
        #expect(await session.summary().calls == 5)
        #expect(Int(try target.ask("new \(path)")) != nil)
        #expect(try target.ask("call step") == "6")
        #expect(await session.summary().calls == 8)
        let summary = try await session.detach()
        #expect(summary.counts.allSatisfy { $0.unreturned == 0 })
        #expect(try target.ask("call step") == "6")
        if !summary.keptCode { try Leftovers.expectNone(in: target.pid) }
        #expect(target.end("end") == 0)
    }

    @Test("Everything is traced in a process with three C libraries")
    func threeCLibraries() async throws {
        let path = try Self.library(
            "#include <stdlib.h>\n#include <stdio.h>\nlong step(long x) { char b[20]; snprintf(b, 20, \"%ld\", x); return atol(b) + 1; }",
            name: "libuses")
        let target = try Self.target()
        for way in ["open", "new"] { #expect(Int(try target.ask("\(way) \(path)")) != nil) }
        let session = try await Session(.process(target.pid))
        try await session.trace(["*"])
        #expect(Int(try target.ask("new \(path)")) != nil)
        #expect(try target.ask("call step") == "6")
        let summary = try await session.detach()
        let counts = summary.counts.filter { $0.function.name == "step" && $0.entered == 1 }
        #expect(counts.count == 3)
        #expect(summary.counts.filter { $0.function.name.contains("snprintf") && $0.entered > 0 }.count >= 3)
        #expect(try target.ask("call step") == "6")
        #expect(target.end("end") == 0)
    }
}

/// musl's compiler driver, of the package musl-tools, which `make test` installs.
enum Musl {
    static var compiler: String? {
        ["/usr/bin/musl-gcc"].first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    static func compile(_ compiler: String, _ source: URL, _ options: [String]) throws -> String {
        let output = Fixtures.temporary.appendingPathComponent("\(source.lastPathComponent)-\(UUID().uuidString)").path
        let result = try Fixtures.run(compiler, options + ["-o", output, source.path])
        guard result.status == 0 else { throw Trouble("\(compiler): \(result.errors)") }
        return output
    }
}
