import FSession
import Foundation
import Glibc
import TestSupport
import Testing

/// Targets that are short of something, or have shut themselves in.
@Suite("Limits of the target")
struct LimitTests {
    @Test("A process that may map no more memory is traced, or refused in one line; it is unharmed either way")
    func addressSpace() throws {
        let target = try DrivenProcess(try Fixtures.target("registers"))
        var refused = 0
        for kilobytes in [0, 64, 900, 1100, 2500, 6000, 20_000, 60_000] {
            let size = try Self.addressSpace(of: target.pid) + kilobytes << 10
            _ = try Fixtures.run("/usr/bin/env", ["prlimit", "--pid", "\(target.pid)", "--as=\(size):unlimited"])
            let log = Fixtures.temporary.appendingPathComponent("limit.trace").path
            let run = try Fixtures.run(
                HardProgram.fsessionPath, ["trace", "-q", "--limit", "5", "-o", log, "-p", "\(target.pid)", "exe:touch"])
            if run.status != 0 {
                refused += 1
                #expect(run.status == 1)
                #expect(run.errors.contains("Cannot allocate memory"), "\(run.errors)")
                #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
            }
            try Leftovers.expectNone(in: target.pid)
            #expect(target.isRunning)
        }
        // Both have happened.
        #expect(refused > 0 && refused < 8)
        kill(target.pid, SIGTERM)
        #expect(target.waitForEnd() == 0)
    }

    /// VmSize, in bytes.
    private static func addressSpace(of pid: Int32) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmSize:") })
        return try #require(line.split(separator: " ").compactMap { Int($0) }.first) << 10
    }

    @Test("A process behind a system-call filter is refused in one line, and lives", arguments: ["strict", "prctl", "syscall"])
    func filtered(how: String) throws {
        let target = try DrivenProcess(try Fixtures.target("sandboxed"), [how, "before"])
        let run = try Fixtures.run(HardProgram.fsessionPath, ["trace", "-q", "-p", "\(target.pid)", "exe:leaf"])
        #expect(run.status == 1)
        #expect(run.errors.contains("seccomp") && run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        #expect(try target.ask("") == "500500")
        #expect(target.isRunning)
    }

    @Test(
        "A process that sets a filter while it is traced is not killed for a call of ours, and no event is lost",
        arguments: ["strict", "prctl", "syscall"])
    func filterLater(how: String) async throws {
        let target = try DrivenProcess(try Fixtures.target("sandboxed"), [how])
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var calls: UInt64 = 0
            var warnings: [String] = []
            for await event in session.events {
                if event.call != nil { calls += 1 }
                if let text = event.warning { warnings.append(text) }
            }
            return (calls: calls, warnings: warnings)
        }
        try await session.trace(["exe:leaf"])
        for _ in 0..<20 { #expect(try target.ask("") == "500500") }
        // What it says is read every tenth of a second.
        try await Task.sleep(nanoseconds: 400_000_000)
        let summary = try await session.detach()
        let events = await seen.value
        #expect(summary.calls == 20_000)
        #expect(events.calls + summary.drops.reduce(0) { $0 + $1.count } == 20_000)
        #expect(events.warnings.contains { $0.contains("system-call filter") }, "\(events.warnings)")
        // Its functions have their own bytes again.
        #expect(try target.ask("") == "500500")
        #expect(await session.summary().calls == 20_000)
        #expect(target.isRunning)
    }
}
