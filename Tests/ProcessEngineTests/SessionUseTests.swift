import FSession
import Foundation
import TestSupport
import Testing

/// What the library promises to those who use it, rightly and wrongly.
@Suite("The use of a session", .timeLimit(.minutes(2)))
struct SessionUseTests {
    private func object(_ name: String, _ source: String) throws -> BPFObject {
        let file = Fixtures.temporary.appendingPathComponent("\(name).bpf.c")
        try Data("#include \"fsession.bpf.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n\(source)\n".utf8).write(to: file)
        return try BPFObject(contentsOf: Fixtures.bpf(file))
    }

    private func counter(_ name: String, of function: String = "add") throws -> BPFObject {
        try object(name, "u64 \(name);\nSEC(\"fentry/exe:\(function)\")\nint BPF_PROG(count_\(name)) { \(name)++; return 0; }")
    }

    @Test("attach takes what is not attached yet: object after object, and what was detached again")
    func attachTwice() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        await #expect { try await session.attach() } throws: { "\($0)".contains("no program is loaded") }
        try await session.load(try counter("first"))
        let first = try await session.attach()
        #expect(first.links.map(\.program) == ["count_first"])
        await #expect { try await session.attach() } throws: { "\($0)".contains("all programs that are loaded are attached") }
        try await session.load(try counter("second"))
        let second = try await session.attach()
        #expect(second.links.map(\.program) == ["count_second"])
        #expect(try target.ask("add 1 2") == "3")
        #expect(session.variable(named: "first")?.description == "1")
        #expect(session.variable(named: "second")?.description == "1")
        // One whose only link is gone is not attached any more.
        try await session.remove(try #require(first.links.first))
        #expect(try await session.attach().links.map(\.program) == ["count_first"])
        #expect(try target.ask("add 1 2") == "3")
        #expect(session.variable(named: "first")?.description == "2")
        // An attach that fails leaves its programs to the next one.
        try await session.load(try counter("third", of: "nosuchfunction"))
        await #expect(throws: SessionError.self) { try await session.attach() }
        #expect(try await session.attach(to: "exe:add").links.map(\.program) == ["count_third"])
        // By its name a program goes wherever one wants, however often.
        #expect(try await session.attach("count_first", to: "exe:other").links.count == 1)
        try await session.detach()
        #expect(try target.ask("add 1 2") == "3")
    }

    @Test("what is loaded has programs, maps and variables of its own, whatever the other objects call theirs")
    func handles() async throws {
        let source = """
            struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } sums SEC(".maps");
            u64 calls, cookie;
            SEC("fentry/exe:add") int BPF_PROG(count, int a)
            {
                u32 key = 0;
                u64 *sum = bpf_map_lookup_elem(&sums, &key);
                if (sum) *sum += a;
                calls++;
                cookie = bpf_get_attach_cookie(ctx);
                return 0;
            }
            SEC("fentry/exe:add") int BPF_PROG(more) { calls += 100; return 0; }
            """
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        let first = try await session.load(try object("handles", source)), second = try await session.load(try object("handles", source))
        #expect(first.programs.map(\.name) == ["count", "more"] && first.programs["more"]?.section == "fentry/exe:add")
        #expect(first.programs["less"] == nil && first.maps["calls"] == nil && first.variables["sums"] == nil)
        let link = try #require(try await second.programs["count"]?.attach(cookie: 4).links.first)
        #expect(link.program == "count")
        #expect(try target.ask("add 20 2") == "22")
        #expect(first.variables["calls"]?.description == "0" && second.variables["calls"]?.description == "1")
        #expect(second.variables["cookie"]?.description == "4")
        #expect(first.maps["sums"]?.entries().first?.description == "0: 0")
        #expect(second.maps["sums"]?.entries().first?.description == "0: 20")
        // The rest of one object; the other one stays where it is.
        #expect(try await second.attach().links.map(\.program) == ["more"])
        await #expect { try await second.attach() } throws: { "\($0)".contains("all programs that are loaded are attached") }
        #expect(try target.ask("add 20 2") == "22")
        #expect(first.variables["calls"]?.description == "0" && second.variables["calls"]?.description == "102")
        #expect(try await first.programs["count"]?.attach(to: "exe:other").links.count == 1)
        #expect(try await session.attach().links.map(\.program) == ["more"])
        try await session.detach()
        #expect(second.variables["calls"]?.description == "102")
    }

    @Test("a function that fsession watched already for its own sake has its arguments by its prototype")
    func watchedFunction() async throws {
        // Whoever is traced may set a system-call filter: every `prctl` is watched from the first attach on.
        let source = """
            #include <stdio.h>
            __attribute__((noinline)) int first(int x) { __asm__ volatile(""); return x + 1; }
            __attribute__((noinline)) int prctl(int a, short b, int c, int d, int e, int f, long g, long h) { __asm__ volatile("" : : "r"(b), "r"(g)); return a + (int)h; }
            int main(void) {
                char line[100];
                setbuf(stdout, NULL);
                puts("ready");
                while (fgets(line, sizeof line, stdin)) printf("%d\\n", first(0) + prctl(1, -2, 3, 4, 5, 6, 7, 8));
                return 0;
            }
            """
        let program = try #require(try HardProgram.c(source, ["-g", "-O1", "-fno-builtin"]))
        let target = try DrivenProcess(program.path)
        let session = try await Session(.process(target.pid))
        try await session.load(try counter("firsts", of: "first"))
        try await session.attach()
        try await session.load(
            try object(
                "watched",
                """
                long second; long last; long result;
                SEC("fexit/exe:prctl")
                int BPF_PROG(see, int a, short b, int c, int d, int e, int f, long g, long h, int ret)
                {
                    second = b;
                    last = h;
                    result = ret;
                    return 0;
                }
                """))
        try await session.attach()
        #expect(try target.ask("go") == "10")
        #expect(session.variable(named: "firsts")?.description == "1")
        #expect(session.variable(named: "second")?.description == "-2")
        #expect(session.variable(named: "last")?.description == "8")
        #expect(session.variable(named: "result")?.description == "9")
        try await session.detach()
        #expect(try target.ask("go") == "10")
    }

    @Test("programs and links tell what they are, as long as they are there")
    func information() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        let loaded = try await session.load(
            try object(
                "informing",
                """
                struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } used SEC(".maps"), unused SEC(".maps");
                u64 calls;
                SEC("fsession/exe:add") int both(void *ctx) { u32 key = 0; calls++; return bpf_map_lookup_elem(&used, &key) ? 0 : 0; }
                SEC("fentry/exe:other") int one(void *ctx) { return 0; }
                """))
        let (both, one) = (try #require(loaded.programs["both"]), try #require(loaded.programs["one"]))
        #expect(both.kind == "fsession" && one.kind == "fentry" && one.section == "fentry/exe:other")
        #expect(one.instructionCount == 2 && both.instructionCount > 5)
        #expect(try #require(both.codeSize) > #require(one.codeSize) && #require(one.codeSize) > 0)
        #expect(both.mapNames == ["used"] && one.mapNames.isEmpty)
        #expect(session.links.isEmpty)
        let first = try await both.attach(cookie: 7)
        try await one.attach()
        try await session.trace(["exe:nothing"])
        #expect(session.links.map(\.function.name) == ["add", "other", "nothing"] && session.links.map(\.cookie) == [7, 0, 0])
        #expect(session.links.prefix(2).map(\.program) == ["both", "one"])
        #expect(try target.ask("add 1 2") == "3")
        let link = try #require(first.links.first)
        #expect(await session.summary().count(of: link)?.entered == 1)
        try await session.remove(link)
        #expect(session.links.map(\.function.name) == ["other", "nothing"])
        try await session.detach()
    }

    @Test("a map says why it cannot be written: the key, the value, no room, no such element, or a kind that does not allow it")
    func mapErrors() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.load(
            try object(
                "maps",
                """
                struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } hash SEC(".maps");
                struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, u64); } array SEC(".maps");
                struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
                SEC("fentry/exe:add")
                int BPF_PROG(use)
                {
                    u32 key = 0;
                    u64 *value = bpf_map_lookup_elem(&hash, &key);
                    if (value) bpf_ringbuf_output(&ring, value, 8, 0);
                    return bpf_map_lookup_elem(&array, &key) == 0 ? 0 : 0;
                }
                """))
        func text(_ body: () throws -> Void) -> String {
            do {
                try body()
                return "nothing"
            } catch {
                return "\(error)"
            }
        }
        let hash = try #require(session.map(named: "hash")), array = try #require(session.map(named: "array"))
        let ring = try #require(session.map(named: "ring"))
        let (key, other, value) = ([UInt8](repeating: 0, count: 4), [UInt8]([9, 0, 0, 0]), [UInt8](repeating: 7, count: 8))
        #expect(text { try hash.update(key, value) } == "nothing")
        #expect(text { try hash.update(other, value) } == "cannot update map 'hash': it is full (1 entries)")
        #expect(text { try hash.update([1], value) } == "cannot update map 'hash': its keys have 4 bytes, not 1")
        #expect(text { try hash.update(key, [1]) } == "cannot update map 'hash': its values have 8 bytes, not 1")
        #expect(text { try array.update(other, value) } == "cannot update map 'array': it has no element of that number; there are 2")
        #expect(text { try ring.update([], []) }.contains("cannot update map 'ring': maps of this type do not allow it"))
        #expect(try hash.remove(key))
        #expect(try !hash.remove(key))
        #expect(text { try hash.remove([1, 2]) } == "cannot remove from map 'hash': its keys have 4 bytes, not 2")
        #expect(text { try array.remove(key) } == "cannot remove from map 'array': maps of this type do not allow it")
        try await session.detach()
    }

    @Test("a second iterator over a session's events ends the program, which else would wait for ever")
    func secondIterator() async throws {
        await #expect(processExitsWith: .failure) {
            let session = try await Session(.launch("true"))
            _ = session.events.makeAsyncIterator()
            _ = session.events.makeAsyncIterator()
            exit(0)
        }
        await #expect(processExitsWith: .success) {
            let session = try await Session(.launch("true"))
            var events = session.events.makeAsyncIterator()
            try await session.resume()
            while await events.next() != nil {}
            exit(0)
        }
    }

    @Test("attaching can be cancelled in a process: it throws, and nothing stays attached")
    func cancel() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        session.cancelAttaching()
        await #expect { try await session.trace(["*"]) } throws: { "\($0)".contains("interrupted while attaching; nothing stays attached") }
        #expect(try await session.detach().counts.isEmpty)
        #expect(try target.ask("add 1 2") == "3")
    }

    @Test("how far attaching is, is known in a process, too")
    func progress() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        #expect(session.attachProgress == nil)
        let attachment = try await session.trace(["libc:*"])
        let progress = try #require(session.attachProgress)
        #expect(progress.done == progress.total && progress.total >= attachment.links.count)
        try await session.detach()
    }
}
