import FSession
import Foundation
import TestSupport
import Testing

/// fsession is killed while it attaches, traces or detaches: its target must not notice.
@Suite("Killed controllers", .serialized)
struct KilledControllerTests {
    /// `make torture` kills at every call, `make test` at some.
    static let kills = ProcessInfo.processInfo.environment["FSESSION_TORTURE"] == nil ? 20 : 1000

    /// The target's only thread holds values in every register: it is the one that makes our system calls.
    @Test(
        "fsession may be killed before any of its ptrace calls and memory writes: the target keeps all its registers",
        arguments: ["ptrace", "pwrite64"])
    func anyCall(call: String) async throws {
        let target = try DrivenProcess(try Fixtures.target("registers"))
        let log = Fixtures.temporary.appendingPathComponent("\(call).strace").path
        let complete = try Self.strace(["-o", log, "-e", "trace=\(call)"], target.pid)
        #expect(complete.status == 0, "\(complete.errors)")
        let calls = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").count { $0.contains("\(call)(") }
        try #require(calls > 30)
        for number in stride(from: 1, through: calls, by: max(1, calls / Self.kills)) {
            _ = try Self.strace(["-o", "/dev/null", "-e", "inject=\(call):signal=KILL:when=\(number)"], target.pid)
            #expect(target.isRunning, "killed before call \(number)")
        }
        // What they left does not hinder the next one.
        let last = try Self.strace(["-o", "/dev/null", "-e", "trace=none"], target.pid)
        #expect(last.status == 0, "\(last.errors)")
        kill(target.pid, SIGTERM)
        #expect(target.waitForEnd() == 0)
    }

    private static func strace(_ options: [String], _ pid: Int32) throws -> Finished {
        let log = Fixtures.temporary.appendingPathComponent("killed.trace").path
        return try Fixtures.run(
            "/usr/bin/env",
            ["strace", "-f", "-qq"] + options
                + [HardProgram.fsessionPath, "trace", "--limit", "5", "-o", log, "-p", "\(pid)", "exe:touch"])
    }

    @Test("A killed fsession under load: the threads go on, the next session finds everything in order")
    func underLoad() async throws {
        let target = try DrivenProcess(try Fixtures.target("busy"), ["8"])
        for round in 0..<4 {
            let log = Fixtures.temporary.appendingPathComponent("load-\(round).trace").path
            let first = try HardProgram.fsession(["trace", "-q", "-o", log, "-p", "\(target.pid)", "exe:add", "exe:half"])
            try #require(eventually { (try? String(contentsOfFile: log, encoding: .utf8))?.contains("add(") == true })
            first.end()
            let before = try #require(Int(try target.ask("calls")))
            #expect(eventually { (try? target.ask("calls")).flatMap(Int.init) ?? 0 > before })
        }
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var calls: UInt64 = 0
            for await event in session.events { if event.call != nil { calls += 1 } }
            return calls
        }
        try await session.trace(["exe:add", "exe:half"])
        for _ in 0..<1000 where await session.summary().calls < 1000 { try await Task.sleep(nanoseconds: 10_000_000) }
        let summary = try await session.detach()
        #expect(summary.calls >= 1000)
        if !summary.keptCode {
            #expect(summary.counts.reduce(0) { $0 + ($1.returned ?? 0) } == (await seen.value) + summary.drops.reduce(0) { $0 + $1.count })
        }
        #expect(target.end("end") == 0)
    }
}
