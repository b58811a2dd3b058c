import FSession
import Foundation
import TestSupport
import Testing

/// Processes in which others than fsession change what fsession has changed.
@Suite("Other hands in the target", .serialized)
struct OtherHandsTests {
    private static func target(_ arguments: [String] = []) throws -> DrivenProcess {
        try DrivenProcess(try Fixtures.target("hooks", ["-ldl"]), arguments)
    }

    @Test("Where somebody else's hook lies on ours, our code stays for it, and the summary says so", .timeLimit(.minutes(1)))
    func hooked() async throws {
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        try await session.trace(["exe:victim"])
        #expect(try target.ask("call") == "41")
        // It has our jump among the bytes that it took along.
        #expect(try target.ask("hook") == "0")
        #expect(try target.ask("call") == "41")
        let summary = try await session.detach()
        #expect(summary.calls == 2)
        #expect(summary.keptCode)
        #expect(summary.overpatched.map(\.name) == ["victim"])
        #expect(try target.ask("call") == "41")
        #expect(try target.ask("hooked") == "2")
        #expect(target.isRunning)
    }

    @Test(
        "A target that unmaps our memory gets its bytes back all the same, and it is said", .timeLimit(.minutes(1)),
        arguments: ["memory", "code", "all"])
    func unmapped(what: String) async throws {
        let target = try Self.target()
        let before = try target.ask("bytes")
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var warnings: [String] = []
            for await event in session.events { if let text = event.warning { warnings.append(text) } }
            return warnings
        }
        try await session.trace(["exe:victim"])
        #expect(try target.ask("call") == "41")
        #expect(try target.ask("bytes") != before)
        #expect(try target.ask(what) == "0")
        try await session.detach()
        #expect(try target.ask("bytes") == before)
        #expect(try target.ask("call") == "41")
        #expect(await seen.value.contains { $0.contains("unmapped memory of fsession's") })
        #expect(target.isRunning)
    }

    @Test("After detaching nothing is attached again, though libraries come and go meanwhile", .timeLimit(.minutes(2)))
    func detachesForGood() async throws {
        let library = try Fixtures.target("plug", ["-shared", "-fPIC", "-DVALUE=1"])
        for _ in 0..<3 {
            let target = try Self.target([library])
            let before = try target.ask("bytes")
            let session = try await Session(.process(target.pid))
            try await session.trace(["exe:victim", "exe:sleeper", "*plug*:*"])
            #expect(try target.ask("bytes") != before)
            // One thread sleeps in a traced function: its code stays, and detaching takes its time.
            #expect(try target.ask("load") == "0")
            try await session.detach()
            await #expect(throws: SessionError.self) { try await session.trace(["exe:victim"]) }
            try await Task.sleep(nanoseconds: 300_000_000)
            #expect(try target.ask("bytes") == before)
            #expect(try target.ask("call") == "41")
        }
    }

    @Test("Who detaches twice at once gets the same summary")
    func detachesTwice() async throws {
        let target = try Self.target()
        let session = try await Session(.process(target.pid))
        try await session.trace(["exe:victim"])
        #expect(try target.ask("call") == "41")
        async let one = session.detach()
        async let other = session.detach()
        let calls = try await [one.calls, other.calls]
        #expect(calls == [1, 1])
        try Leftovers.expectNone(in: target.pid)
    }
}
