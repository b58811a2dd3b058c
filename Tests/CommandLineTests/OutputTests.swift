import Foundation
import TestSupport
import Testing

/// Where output goes, how a session ends, and that the command notices nothing of it.
@Suite struct OutputTests {
    @Test(
        "the command's exit status, stdout and stdin pass through",
        arguments: [("cat", Int32(0)), ("cat; exit 3", 3), ("cat; kill -TERM $$", 143), ("cat; kill -KILL $$", 137)])
    func passesThrough(script: String, status: Int32) async throws {
        for extra in [[], ["--json"], ["--quiet"]] {
            let result = try await run(
                [Repository.fsession, "trace"] + extra + ["libc:*printf"] + ["--", "sh", "-c", script], input: "in and out\n")
            #expect(result.status == status)
            #expect(result.output == "in and out\n")
            #expect(extra == ["--quiet"] || !result.errors.isEmpty)
        }
    }

    @Test("our lines go to stderr, without colours off a terminal, the summary last")
    func standardError() async throws {
        let result = try await fsession("trace", "libc:write", "--", "echo", "hi")
        #expect(result.output == "hi\n")
        #expect(result.errorLines.count == 2)
        let line = try #require(result.errorLines.first)
        #expect(line.contains("write(") && line.contains(" = 3  "))
        #expect(result.errorLines.last == "fsession: 1 call of 1 function")
        #expect(!result.errors.contains("\u{1b}"))
    }

    @Test("colours on a terminal")
    func terminal() async throws {
        let result = try await run(
            ["script", "-qec", "\(Repository.fsession) trace libc:write -- echo hi", "/dev/null"])
        #expect(result.status == 0)
        #expect(result.output.contains("\u{1b}[1mwrite\u{1b}[0m("))
        #expect(result.output.contains("1 function attached"))
    }

    @Test("-o writes to the file and nowhere else; --quiet leaves calls only")
    func outputFile() async throws {
        let folder = try Folder()
        let result = try await fsession("trace", "--quiet", "-o", "\(folder.path)/out", "libc:write", "--", "echo", "hi")
        #expect(result.output == "hi\n")
        #expect(result.errors == "")
        let lines = try folder.text("out").split(separator: "\n")
        #expect(lines.count == 1)
        #expect(lines.first?.contains("write(") == true)
    }

    @Test("--json: each line is an object, with what was attached first and the summary last")
    func json() async throws {
        let result = try await fsession("trace", "--json", "libc:write", "libc:exit", "--", "echo", "\"quoted\"")
        let lines = try JSONLine.all(result.errors)
        #expect(lines.first?.type == "attached")
        #expect(lines.first?.number("functions") == 2)
        #expect(lines.last?.type == "summary")
        let call = try #require(lines.first { $0.type == "call" && $0.function == "write" })
        #expect(call.returned == 9)
        #expect(call.arguments.prefix(1) == [1] && call.arguments[2] == 9)
        #expect((call.fields["module"] as? String)?.hasPrefix("libc") == true)
        for name in ["time", "wall", "pid", "tid", "duration"] { #expect(call.number(name) != nil, "\(name)") }
        // Seconds since 1970, in nanoseconds.
        let wall = Double(try #require(call.number("wall"))) / 1e9
        #expect(abs(wall - Date().timeIntervalSince1970) < 60)
    }

    @Test("-p takes several processes, together or one by one: calls, counts and ends say which, and one summary counts all")
    func severalProcesses() async throws {
        // Each writes a line for each that it reads.
        let targets = try (0..<3).map { _ in try Child("/bin/cat") }
        let ids = targets.map { "\($0.pid)" }
        let session = try Running([
            Repository.fsession, "trace", "--json", "libc:write", "-p", "\(ids[0]),\(ids[1])", "-p", ids[2],
        ])
        try await waitUntil("all are attached") { session.outputSoFar.split(separator: "\n").count >= 3 }
        for (place, target) in targets.enumerated() {
            for _ in 0...place {
                target.write("line\n")
                #expect(try target.readLine() == "line")
            }
        }
        targets[0].closeInput()
        try await waitUntil("the first one's end is told") { session.outputSoFar.contains("\"exited\"") }
        session.send(SIGINT)
        let lines = try JSONLine.all(try await session.finish().output)
        #expect(lines.prefix(3).map { $0.number("pid") } == targets.map { Int($0.pid) })
        let calls = lines.filter { $0.type == "call" }.compactMap { $0.number("pid") }
        #expect(calls.sorted() == targets.enumerated().flatMap { Array(repeating: Int($1.pid), count: $0 + 1) }.sorted())
        #expect(lines.first { $0.type == "exited" }?.number("pid") == Int(targets[0].pid))
        let counts = try #require(lines.last?.fields["functions"] as? [[String: Any]])
        #expect(Set(counts.compactMap { ($0["pid"] as? NSNumber)?.int32Value }) == Set(targets.map(\.pid)))
        #expect(lines.last?.number("calls") == 6)
    }

    @Test("--limit stops after so many calls, and the command runs on to its end")
    func limit() async throws {
        let result = try await fsession(
            "trace", "--limit", "2", "libc:write", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; exit 4")
        #expect(result.output == "1\n2\n3\n4\n5\n")
        #expect(result.status == 4)
        #expect(result.errorLines.filter { $0.contains("write(") }.count == 2)
    }

    @Test("--duration stops after so many seconds, and the command runs on to its end")
    func duration() async throws {
        let result = try await fsession(
            "trace", "--duration", "0.3", "libc:write", "--", "sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.15; done; exit 5")
        #expect(result.output == "1\n2\n3\n4\n5\n6\n")
        #expect(result.status == 5)
        let count = result.errorLines.filter { $0.contains("write(") }.count
        #expect((1...4).contains(count))
    }

    @Test("a command that becomes another program by exec: the output says that that one is not traced")
    func exec() async throws {
        let trace = try await Trace.of(["libc:write"], ["env", "sh", "-c", "echo undisturbed; sleep 1; exit 6"])
        #expect(trace.finished.status == 6)
        #expect(trace.finished.output == "undisturbed\n")
        let executed = try #require(trace.lines.first { $0.type == "executed" })
        #expect((executed.fields["path"] as? String)?.hasSuffix("sh") == true)
        #expect(trace.calls.isEmpty)
    }

    @Test("run prints what programs print, and --maps and --globals at the end")
    func runOutput() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(
            """
            struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, u64); } sizes SEC(".maps");
            u64 calls;
            SEC("fexit/libc:write")
            int BPF_PROG(written, int fd, void *bytes, u64 count, long result)
            {
                u32 key = 1;
                u64 *size = bpf_map_lookup_elem(&sizes, &key);
                if (size) *size += count;
                calls++;
                bpf_printk("fd %d: %ld\\n", fd, result);
                return 0;
            }
            """, in: folder)
        let plain = try await fsession("run", "--maps", "--globals", object, "--", "echo", "four")
        #expect(plain.status == 0)
        #expect(plain.output == "four\n")
        #expect(plain.errorLines.first == "fd 1: 5")
        #expect(plain.errorLines.contains("map sizes (1 of 2)"))
        #expect(plain.errorLines.contains { $0.hasPrefix("  ") && $0.hasSuffix("5") })
        #expect(plain.errorLines.contains("calls = 1"))
        #expect(plain.errorLines.last == "fsession: 1 call of 1 function")
        let lines = try JSONLine.all(try await fsession("run", "--json", "--maps", "--globals", object, "--", "echo", "four").errors)
        #expect(lines.map(\.type) == ["attached", "print", "map", "global", "summary"])
        #expect(lines[1].fields["text"] as? String == "fd 1: 5\n")
    }
}

/// Sessions on processes that run already.
@Suite struct AttachTests {
    /// A process that writes a number to its stdout again and again.
    private static func counter() throws -> Running {
        try Running(
            ["/usr/bin/python3", "-u", "-c", "import os, time\nfor i in range(60000):\n os.write(1, b'%d\\n' % i)\n time.sleep(0.01)"])
    }

    /// It goes on: its count gets larger, and nothing of us is left in it.
    private static func goesOn(_ target: Running) async throws {
        let before = target.outputSoFar.utf8.count
        try await waitUntil("the target writes again") { target.outputSoFar.utf8.count > before + 20 }
        let numbers = target.outputSoFar.split(separator: "\n").dropLast().map { Int($0) ?? -1 }
        #expect(numbers == Array(0..<numbers.count))
    }

    @Test("python3 by PID: SIGINT detaches, prints the summary, and the target goes on", arguments: [SIGINT, SIGTERM, SIGHUP])
    func interrupt(signal: Int32) async throws {
        let target = try Self.counter()
        try await waitUntil("the target runs") { target.outputSoFar.count > 10 }
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8).split(separator: "\n").count
        let tracer = try Running([Repository.fsession, "trace", "--json", "libc:write", "-p", "\(target.pid)"])
        try await waitUntil("calls are seen") { tracer.outputSoFar.split(separator: "\n").count > 30 }
        tracer.send(signal)
        let result = try await tracer.finish()
        #expect(result.status == 0)
        #expect(result.errors == "")
        let trace = try Trace(result, result.output)
        // Each write is `i\n`: its length is the number of digits and one, and it returns that.
        #expect(trace.calls.count >= 29)
        #expect(trace.calls.allSatisfy { $0.arguments[2] == $0.returned })
        try await Self.goesOn(target)
        let left = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8).split(separator: "\n").count
        #expect(left <= maps + 1)
        target.send(SIGKILL)
        _ = try await target.finish()
    }

    @Test("a reader that closes the pipe ends the session and does not hurt the target")
    func closedPipe() async throws {
        let target = try Self.counter()
        try await waitUntil("the target runs") { target.outputSoFar.count > 10 }
        let result = try await run(["sh", "-c", "'\(Repository.fsession)' trace libc:write -p \(target.pid) | head -1"])
        #expect(result.outputLines.count == 1)
        #expect(result.output.contains("write("))
        try await Self.goesOn(target)
        target.send(SIGKILL)
        _ = try await target.finish()
    }

    @Test("what is dumped of a live run: the trampoline's machine code and the program's beside its assembly")
    func dump() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(
            "u64 calls;\nSEC(\"fentry/libc:write\")\nint BPF_PROG(count_writes) { calls++; return 0; }", in: folder)
        let listing = try await fsession("dump", object)
        #expect(listing.output.contains("fentry/libc:write: count_writes"))
        #expect(listing.output.contains("exit"))
        let target = try Self.counter()
        try await waitUntil("the target runs") { target.outputSoFar.count > 10 }
        let runner = try Running([Repository.fsession, "run", "--json", object, "-p", "\(target.pid)"])
        try await waitUntil("it is attached") { runner.outputSoFar.contains("attached") }
        let live = try await fsession("dump", "-p", "\(target.pid)", "libc:write")
        #expect(live.status == 0)
        for word in ["count_writes", "exit", "ret"] { #expect(live.output.contains(word), "\(word)") }
        let other = try await fsession("dump", "-p", "\(target.pid)", "libc:read")
        #expect(other.status == 1)
        #expect(other.errorLines.count == 1)
        runner.send(SIGINT)
        #expect(try await runner.finish().status == 0)
        let after = try await fsession("dump", "-p", "\(target.pid)", "libc:write")
        #expect(after.status == 1)
        #expect(after.errorLines.count == 1)
        target.send(SIGKILL)
        _ = try await target.finish()
    }

    /// Where the newest server's programs are.
    private static let postgresPrograms: String? = {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql"))?.sorted() ?? []
        return versions.map { "/usr/lib/postgresql/\($0)/bin" }
            .last { FileManager.default.isExecutableFile(atPath: "\($0)/initdb") }
    }()

    @Test(
        "postgres by PID: one ExecutorRun per query, and the server goes on",
        .enabled(if: postgresPrograms != nil, "postgres is not installed"))
    func postgres() async throws {
        let bin = try #require(Self.postgresPrograms)
        let folder = try Folder()
        // The server refuses to run as root.
        let root = getuid() == 0
        if root { #expect(try await run(["chown", "postgres", folder.path]).status == 0) }
        let user = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
        let data = "\(folder.path)/data"
        let made = try await run(user + ["\(bin)/initdb", "-D", data, "--no-sync", "-A", "trust", "-U", "test"], directory: "/")
        try #require(made.status == 0, "initdb: \(made.errors)")
        let server = try Running(user + ["\(bin)/postgres", "-D", data, "-k", folder.path, "-c", "listen_addresses="], directory: "/")
        defer { server.send(SIGQUIT) }
        try await waitUntil("the server is ready") { server.errorsSoFar.contains("ready to accept") }
        let client = try Running(["\(bin)/psql", "-h", folder.path, "-U", "test", "-AtX", "postgres"], input: nil)
        client.write("select pg_backend_pid();\n")
        try await waitUntil("the client is connected") { client.outputSoFar.hasSuffix("\n") }
        let pid = try #require(Int32(client.outputSoFar.trimmingCharacters(in: .newlines)))
        let tracer = try Running([Repository.fsession, "trace", "--json", "exe:standard_ExecutorRun", "-p", "\(pid)"])
        try await waitUntil("it is attached") { tracer.outputSoFar.contains("attached") || !tracer.isRunning }
        for i in 1...30 { client.write("select 'query', \(i) * 2;\n") }
        try await waitUntil("the queries are done") { client.outputSoFar.contains("query|60\n") }
        tracer.send(SIGINT)
        let result = try await tracer.finish()
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Trace(result, result.output).calls.count == 30)
        client.write("select 'after', 42;\n")
        client.closeInput()
        let end = try await client.finish()
        #expect(end.status == 0)
        #expect(end.outputLines.last == "after|42")
        #expect(end.outputLines.count == 32)
        server.send(SIGTERM)
        #expect(try await server.finish().status == 0)
    }
}
