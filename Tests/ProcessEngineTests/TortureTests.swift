import FSession
import Foundation
import TestSupport
import Testing

/// Attaching and detaching again and again while the target's threads are inside the functions.
@Suite("Torture", .serialized)
struct TortureTests {
    /// `make torture` asks for a thousand.
    static let cycles = ProcessInfo.processInfo.environment["FSESSION_TORTURE"].flatMap(Int.init) ?? 24

    @Test("Attach and detach cycles under load lose no call, leave nothing behind and never hurt the target")
    func cycles() async throws {
        let target = try DrivenProcess(try Fixtures.target("busy"), ["8"])
        let object = try Fixtures.object("cookies")
        var before = try #require(Int(try target.ask("calls")))
        var kept = 0
        for cycle in 0..<Self.cycles {
            kept += try await cycle % 8 == 0 ? traceOnce(target) : runOnce(target, object)
            if cycle % 10 == 9 {
                let now = try #require(Int(try target.ask("calls")))
                #expect(now > before, "the target stands still after \(cycle) cycles")
                before = now
            }
        }
        if kept == 0 { try Leftovers.expectNone(in: target.pid) }
        // A thread that gets no processor for a while keeps the code of its cycle.
        #expect(kept <= Self.cycles / 10)
        #expect(target.end("end") == 0)
    }

    @Test("Threads between the two jumps of an entry that has no room for one go on, however the session ends", arguments: [false, true])
    func padded(isKilled: Bool) throws {
        let target = try DrivenProcess(
            try Fixtures.target("padded", ["-pthread", Fixtures.folder.path + "/Targets/padded.S"]))
        let object = try Fixtures.bpf(Fixtures.package.appendingPathComponent("Benchmarks/cookie.bpf.c"))
        for _ in 0..<max(20, Self.cycles / 10) {
            let arguments = ["run", "-o", "/dev/null", "--at", "exe:padded", object, "-p", "\(target.pid)"]
            let command = isKilled ? ["timeout", "-s", "KILL", "0.3"] : []
            let run = try Fixtures.run(
                "/usr/bin/env", command + [HardProgram.fsessionPath] + arguments + (isKilled ? [] : ["--duration", "0.05"]))
            #expect(isKilled || run.status == 0, "\(run.errors)")
            try #require(target.isRunning)
        }
        #expect(target.end("end") == 0)
    }

    /// Events of every function's calls: with those dropped, as many as there were calls.
    private func traceOnce(_ target: DrivenProcess) async throws -> Int {
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var calls: UInt64 = 0
            for await event in session.events {
                if event.call != nil { calls += 1 }
            }
            return calls
        }
        try await session.trace(["exe:down", "exe:add", "exe:many", "exe:half", "exe:both", "exe:nothing"])
        try await waitForCalls(session)
        let summary = try await session.detach()
        let events = await seen.value
        let dropped = summary.drops.reduce(0) { $0 + $1.count }
        if !summary.keptCode {
            #expect(summary.counts.reduce(0) { $0 + ($1.returned ?? 0) } == events + dropped)
            #expect(summary.counts.allSatisfy { $0.unreturned == 0 })
        }
        #expect(summary.abandoned == 0)
        return summary.keptCode ? 1 : 0
    }

    /// Three sessions at one function, each with what its entry left for its exit.
    private func runOnce(_ target: DrivenProcess, _ object: BPFObject) async throws -> Int {
        let session = try await Session(.process(target.pid))
        try await session.load(object)
        try await session.attach("plain")
        let first = try await session.attach("first")
        try await waitForCalls(session)
        // While calls are inside: another program comes, one goes.
        try await session.attach("second")
        if let link = first.links.first { try await session.remove(link) }
        try await waitForCalls(session)
        let summary = try await session.detach()
        #expect(try session.number("wrong") == 0)
        #expect(try session.number("not_zero") == 0)
        if !summary.keptCode {
            #expect(try session.number("entries") == session.number("exits"))
            #expect(try session.number("plain_entries") == session.number("plain_exits"))
            #expect(try session.number("plain_entries") == summary.calls)
        }
        return summary.keptCode ? 1 : 0
    }

    /// Until more calls have been counted than there were.
    private func waitForCalls(_ session: Session) async throws {
        let before = await session.summary().calls
        for _ in 0..<30_000 {
            if await session.summary().calls > before { return }
            try await Task.sleep(nanoseconds: 1_000_000)
        }
        Issue.record("no call was counted in half a minute")
    }
}

/// What of ours is in a process.
enum Leftovers {
    static func expectNone(in pid: Int32) throws {
        let maps = try String(contentsOfFile: "/proc/\(pid)/maps", encoding: .utf8)
        let lines = maps.split(separator: "\n")
        #expect(!lines.contains { $0.contains("memfd:") }, "\(maps)")
        // Code of no file: five fields, no path.
        #expect(!lines.contains { $0.contains(" r-xp ") && $0.split(separator: " ").count < 6 }, "\(maps)")
    }
}
