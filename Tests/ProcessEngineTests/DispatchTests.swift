import FSession
import Foundation
import TestSupport
import Testing

/// Processes whose system calls are dispatched to themselves (PR_SET_SYSCALL_USER_DISPATCH), as Wine's are.
@Suite("System call user dispatch", .serialized)
struct DispatchTests {
    /// Linux 6.17 has the range of what is dispatched, too.
    private static let ways: [[String]] = {
        var ways = [["before"], ["later"]]
        if let path = try? Fixtures.target("dispatched"), let run = try? Fixtures.run(path, ["before", "range"]), run.status == 3 {
            ways.append(["before", "range"])
        } else {
            print("*** This kernel has no range of calls to be dispatched: that is not tested.")
        }
        return ways
    }()

    @Test(
        "A process that dispatches its system calls is traced, and sees none of ours", .timeLimit(.minutes(1)),
        arguments: ways)
    func dispatched(how: [String]) async throws {
        let target = try DrivenProcess(try Fixtures.target("dispatched"), how)
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var warnings: [String] = []
            for await event in session.events { if let text = event.warning { warnings.append(text) } }
            return warnings
        }
        try await session.trace(["exe:leaf"])
        for _ in 0..<5 { #expect(try target.ask("call") == "500500") }
        // What is noticed is read every tenth of a second.
        try await Task.sleep(nanoseconds: 400_000_000)
        let summary = try await session.detach()
        #expect(summary.calls == 5000)
        #expect(await seen.value.contains { $0.contains("dispatched to itself") })
        #expect(try target.ask("call") == "500500")
        #expect(try target.ask("trapped") == "0")
        // It is in force again.
        #expect(try target.ask("probe") == "dispatched")
        try Leftovers.expectNone(in: target.pid)
    }
}
