import FSession
import Foundation
import TestSupport
import Testing

/// A session ends with what it was opened for, whatever becomes of that.
@Suite("The end of a session's scope", .timeLimit(.minutes(2)))
struct ScopeTests {
    private struct Mishap: Error {}

    /// Whether memory of fsession is in the process.
    private func isTraced(_ target: DrivenProcess) throws -> Bool {
        try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8).contains("memfd:fsession")
    }

    @Test("withSession detaches when its body returns, and gives what it returned")
    func returns() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        var seen = 0
        let name = try await withSession(.process(target.pid)) { session in
            let attachment = try await session.trace(["exe:add"])
            #expect(try isTraced(target))
            #expect(try target.ask("add 1 2") == "3")
            // Variables of the caller can be used.
            seen += 1
            return attachment.links.first?.function.name
        }
        #expect(name == "add" && seen == 1)
        #expect(try !isTraced(target))
        #expect(try target.ask("add 1 2") == "3")
    }

    @Test("withSession detaches when its body throws, and hands the error on")
    func throwing() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        await #expect(throws: Mishap.self) {
            try await withSession(.process(target.pid)) { session in
                try await session.trace(["exe:add"])
                #expect(try isTraced(target))
                throw Mishap()
            }
        }
        #expect(try !isTraced(target))
        await #expect(throws: SessionError.self) { try await withSession(.launch("/nonexistent")) { _ in } }
    }

    @Test("withSession detaches when its Task is cancelled, at an event and while nothing happens")
    func cancelled() async throws {
        for waitsForEvents in [true, false] {
            let target = try DrivenProcess(try Fixtures.target("calls"))
            let (attached, continuation) = AsyncStream<Void>.makeStream()
            let pid = target.pid
            let task = Task {
                try await withSession(.process(pid)) { session in
                    try await session.trace(["exe:add"])
                    continuation.yield()
                    var calls = 0
                    if waitsForEvents {
                        for await event in session.events { if event.call != nil { calls += 1 } }
                    } else {
                        #expect(await session.exitStatus() == .unknown)
                    }
                    return calls
                }
            }
            for await _ in attached { break }
            #expect(try target.ask("add 1 2") == "3")
            task.cancel()
            #expect(try await task.value <= 1)
            #expect(try !isTraced(target))
            #expect(try target.ask("add 1 2") == "3")
        }
    }

    @Test("a Task that is cancelled while it iterates over events detaches the session")
    func cancelledIteration() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.trace(["exe:add"])
        let task = Task {
            var calls = 0
            for await event in session.events { if event.call != nil { calls += 1 } }
            return calls
        }
        #expect(try target.ask("add 1 2") == "3")
        #expect(try isTraced(target))
        task.cancel()
        #expect(await task.value <= 1)
        #expect(try !isTraced(target))
        #expect(try await session.detach().calls == 1)
    }

    @Test("a Task that is cancelled attaches nothing")
    func cancelledAttaching() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        let (waiting, continuation) = AsyncStream<Void>.makeStream()
        let task = Task {
            for await _ in waiting {}
            #expect(Task.isCancelled)
            await #expect(throws: SessionError.self) { try await session.trace(["*"]) }
        }
        task.cancel()
        continuation.finish()
        await task.value
        #expect(try await session.detach().counts.isEmpty)
        #expect(try !isTraced(target))
        // Nothing is opened where the Task was cancelled before.
        let pid = target.pid
        let late = Task {
            try? await Task.sleep(for: .seconds(60))
            try await withSession(.process(pid)) { _ in _ = Issue.record("the body ran") }
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
    }
}
