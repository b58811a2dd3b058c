import FSession
import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

/// One session over several processes: what is asked for holds in all of them, and what happens says where.
@Suite("A session of several processes", .timeLimit(.minutes(2)))
struct SeveralProcessesTests {
    private func object(_ name: String, _ source: String) throws -> BPFObject {
        let file = Fixtures.temporary.appendingPathComponent("\(name).bpf.c")
        try Data("#include \"fsession.bpf.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n\(source)\n".utf8).write(to: file)
        return try BPFObject(contentsOf: Fixtures.bpf(file))
    }

    private final class Counter: Sendable {
        private let count = Atomic<Int>(0)
        var value: Int { count.load(ordering: .relaxed) }
        func increment() { count.add(1, ordering: .relaxed) }
    }

    /// Sums, counts, a hash, a value for each thread, and a record of each call.
    private func everything() throws -> BPFObject {
        try object(
            "shared",
            """
            struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } by_process SEC(".maps");
            struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } each SEC(".maps");
            struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } records SEC(".maps");
            u64 calls;
            SEC("fentry/exe:counted") int BPF_PROG(count)
            {
                u32 key = bpf_get_current_pid_tgid() >> 32, zero = 0;
                u64 one = 1, *known = bpf_map_lookup_elem(&by_process, &key), *own = bpf_map_lookup_elem(&each, &zero);
                __sync_fetch_and_add(&calls, 1);
                if (known) __sync_fetch_and_add(known, 1);
                else bpf_map_update_elem(&by_process, &key, &one, BPF_NOEXIST);
                if (own) ++*own;
                return 0;
            }
            SEC("fentry/exe:counted") int BPF_PROG(tell)
            {
                u64 *record = bpf_ringbuf_reserve(&records, 8, 0);
                if (!record) return 0;
                *record = bpf_get_current_pid_tgid() >> 32;
                bpf_ringbuf_submit(record, 0);
                return 0;
            }
            """)
    }

    @Test("calls, counts and links say which process they are of")
    func calls() async throws {
        let targets = try (0..<3).map { _ in try DrivenProcess(try Fixtures.target("calls")) }
        let session = try await Session(targets.map { .process(ProcessID($0.pid)) })
        #expect(session.processIDs == targets.map { ProcessID($0.pid) })
        let attachment = try await session.trace(["exe:add", "exe:other"])
        #expect(attachment.links.map(\.processID) == targets.map { ProcessID($0.pid) } + targets.map { ProcessID($0.pid) })
        #expect(Set(attachment.links.map(\.id)).count == 6)
        for (place, target) in targets.enumerated() {
            for _ in 0...place { #expect(try target.ask("add 1 2") == "3") }
        }
        let summary = try await session.detach()
        var seen: [ProcessID: Int] = [:]
        for await event in session.events {
            if let call = event.call, call.function.name == "add" { seen[call.processID, default: 0] += 1 }
        }
        for (place, target) in targets.enumerated() {
            #expect(seen[ProcessID(target.pid)] == place + 1)
            let counts = summary.counts.filter { $0.processID == ProcessID(target.pid) && $0.function.name == "add" }
            #expect(counts.map(\.entered) == [UInt64(place + 1)])
            #expect(try target.ask("add 1 2") == "3")
        }
    }

    @Test("an object's maps, variables and rings are the same in all processes, and counts in them are exact")
    func sharedMaps() async throws {
        let targets = try (0..<2).map { _ in try DrivenProcess(try Fixtures.target("counted")) }
        let session = try await Session(targets.map { .process(ProcessID($0.pid)) })
        let loaded = try await session.load(try everything())
        #expect(try await loaded.programs["count"]?.attach().links.count == 2)
        // Fewer threads than there are slots, and all at the same time.
        for target in targets { target.send("threads 20 20000") }
        for target in targets { #expect(try target.readLine(patience: 60_000) == "400000") }
        #expect(loaded.variables["calls"]?.description == "800000")
        let entries = try #require(loaded.maps["by_process"]).entries().map(\.description).sorted()
        #expect(entries == targets.map { "\($0.pid): 400000" }.sorted())
        let each = try #require(loaded.maps["each"])
        let values = try #require(each.values(at: [0, 0, 0, 0]))
        let sum = values.reduce(UInt64(0)) { sum, value in sum + value.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        #expect(sum == 800_000)
        // What is written here is seen there.
        try session.variable(named: "calls")?.set([7, 0, 0, 0, 0, 0, 0, 0])
        #expect(try targets[1].ask("threads 1 1") == "1")
        #expect(loaded.variables["calls"]?.description == "8")

        #expect(try await loaded.programs["tell"]?.attach().links.count == 2)
        for target in targets { #expect(try target.ask("threads 1 100") == "100") }
        try await session.detach()
        var own: [ProcessID: Int] = [:], wrong = 0
        for await event in session.events {
            guard let record = event.record, let process = record.value(as: UInt64.self) else { continue }
            own[ProcessID(Int32(process)), default: 0] += 1
            // A thread that is gone when its record is read belongs to nobody; never to somebody else.
            if record.processID != ProcessID(Int32(process)), record.processID != 0 { wrong += 1 }
        }
        #expect(wrong == 0)
        #expect(own == [ProcessID(targets[0].pid): 100, ProcessID(targets[1].pid): 100])
    }

    @Test("a process that comes later has all that was asked for before, and its end ends nobody else's session")
    func later() async throws {
        let first = try DrivenProcess(try Fixtures.target("counted"))
        let session = try await Session(.process(ProcessID(first.pid)))
        let (calls, exits) = (Counter(), Counter())
        let events = Task {
            for await event in session.events {
                if event.call != nil { calls.increment() }
                if event.exitStatus != nil { exits.increment() }
            }
        }
        let loaded = try await session.load(try everything())
        try await loaded.programs["count"]?.attach()
        try await session.trace(["exe:counted"])
        #expect(try first.ask("threads 1 5") == "5")
        do {
            let second = try DrivenProcess(try Fixtures.target("counted"))
            #expect(try await session.add(.process(ProcessID(second.pid))).links.map(\.processID) == [ProcessID(second.pid), ProcessID(second.pid)])
            #expect(try second.ask("threads 1 5") == "5")
            #expect(loaded.variables["calls"]?.description == "10")
            await #expect { try await session.add(.process(ProcessID(second.pid))) } throws: {
                "\($0)".contains("twice") || "\($0)".contains("traced by")
            }
            #expect(try second.ask("threads 1 5") == "5")
            kill(second.pid, SIGKILL)
            _ = second.waitForEnd()
            try await waitUntil("its end is told") { exits.value == 1 }
        }
        #expect(try first.ask("threads 1 5") == "5")
        #expect(loaded.variables["calls"]?.description == "20")
        let summary = try await session.detach()
        #expect(summary.counts.filter { $0.function.name == "counted" }.map(\.entered).sorted() == [10, 10])
        await events.value
        #expect(calls.value == 20)
        #expect(exits.value == 1)
        #expect(try first.ask("threads 1 5") == "5")
        await #expect { try await session.add(.process(ProcessID(first.pid))) } throws: { "\($0)".contains("is detached") }
    }

    @Test("a process that has ended hinders nobody from attaching to the others")
    func oneIsGone() async throws {
        let target = try DrivenProcess(try Fixtures.target("counted")), gone = try DrivenProcess(try Fixtures.target("counted"))
        let session = try await Session([.process(gone.pid), .process(target.pid)])
        let loaded = try await session.load(try everything())
        kill(gone.pid, SIGKILL)
        _ = gone.waitForEnd()
        #expect(try await loaded.programs["count"]?.attach().links.map(\.processID) == [ProcessID(target.pid)])
        #expect(try await session.trace(["exe:counted"]).links.map(\.processID) == [ProcessID(target.pid)])
        let later = try await session.load(try object("later", "u64 more; SEC(\"fentry/exe:counted\") int BPF_PROG(other) { more++; return 0; }"))
        #expect(try await later.attach().links.count == 1)
        #expect(try target.ask("threads 1 5") == "5")
        #expect(loaded.variables["calls"]?.description == "5" && later.variables["more"]?.description == "5")
        try await session.detach()
    }

    @Test("the events end when the last process has ended")
    func ends() async throws {
        let targets = try (0..<2).map { _ in try DrivenProcess(try Fixtures.target("calls")) }
        let session = try await Session(targets.map { .process(ProcessID($0.pid)) })
        try await session.trace(["exe:add"])
        #expect(try targets[0].ask("add 1 2") == "3")
        kill(targets[0].pid, SIGKILL)
        _ = targets[0].waitForEnd()
        #expect(try targets[1].ask("add 1 2") == "3")
        kill(targets[1].pid, SIGKILL)
        _ = targets[1].waitForEnd()
        var calls: [ProcessID] = [], exits = 0
        for await event in session.events {
            if let call = event.call { calls.append(call.processID) }
            if event.exitStatus != nil { exits += 1 }
        }
        #expect(calls == targets.map { ProcessID($0.pid) })
        #expect(exits == 2)
    }

    @Test("what one process has and the other has not is attached where it is, and told; what none has is an error")
    func different() async throws {
        let calls = try DrivenProcess(try Fixtures.target("calls")), counted = try DrivenProcess(try Fixtures.target("counted"))
        let session = try await Session([.process(ProcessID(calls.pid)), .process(ProcessID(counted.pid))])
        #expect(try await session.trace(["exe:add", "exe:counted"]).links.map(\.processID) == [ProcessID(calls.pid), ProcessID(counted.pid)])
        await #expect { try await session.trace(["exe:other", "exe:nowhere"]) } throws: { "\($0)".contains("no function matches 'exe:nowhere'") }
        // Nothing of a call that fails stays.
        let before = await session.summary().counts.map(\.function.name)
        #expect(Set(before) == ["add", "counted"])
        #expect(try calls.ask("add 1 2") == "3")
        #expect(try counted.ask("threads 1 1") == "1")
        try await session.detach()
        var warnings = 0
        for await event in session.events { if let text = event.warning, text.contains("no function matches") { warnings += 1 } }
        #expect(warnings == 3)
    }

    @Test("a target that cannot be opened leaves the others as they were")
    func allOrNone() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        await #expect(throws: SessionError.self) { _ = try await Session([.process(ProcessID(target.pid)), .process(1 << 30)]) }
        await #expect { _ = try await Session([.process(ProcessID(target.pid)), .process(ProcessID(target.pid))]) } throws: {
            "\($0)".contains("traced by") || "\($0)".contains("twice")
        }
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        #expect(!maps.contains("memfd:"))
        #expect(try target.ask("add 1 2") == "3")
        await #expect { _ = try await Session([]) } throws: { "\($0)".contains("needs a target") }
    }

    @Test("processes with other rights share no maps: one could change under the other what its programs work with", .enabled(if: geteuid() == 0))
    func otherRights() async throws {
        let target = try DrivenProcess(try Fixtures.target("counted"))
        let other = try DrivenProcess("/usr/bin/setpriv", ["--reuid=65534", try Fixtures.target("counted")])
        let session = try await Session([.process(ProcessID(target.pid)), .process(ProcessID(other.pid))])
        await #expect { try await session.load(try everything()) } throws: { "\($0)".contains("a session of its own") }
        // To see calls nothing need be shared.
        #expect(try await session.trace(["exe:counted"]).links.count == 2)
        #expect(try other.ask("threads 1 1") == "1")
        #expect(try await session.detach().calls == 1)
    }

    @Test("an object with programs that call each other is loaded in all processes")
    func tailCalls() async throws {
        let source = """
            u64 reached;
            SEC("fentry") int BPF_PROG(last) { __sync_fetch_and_add(&reached, 1); return 0; }
            struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 1); __type(key, u32); __array(values, int (void *)); } jumps
                SEC(".maps") = {.values = {(void *)&last}};
            SEC("fentry/exe:counted") int BPF_PROG(first) { bpf_tail_call(ctx, &jumps, 0); return 0; }
            """
        let targets = try (0..<2).map { _ in try DrivenProcess(try Fixtures.target("counted")) }
        let session = try await Session(targets.map { .process(ProcessID($0.pid)) })
        let loaded = try await session.load(try object("jumping", source))
        #expect(try await loaded.programs["first"]?.attach().links.count == 2)
        for target in targets { #expect(try target.ask("threads 1 10") == "10") }
        #expect(loaded.variables["reached"]?.description == "20")
        try await session.detach()
    }
}
