import FSession
import TestSupport
import Testing

/// Signals at the worst moments.
@Suite("Signals")
struct SignalTests {
    @Test("A signal may come at every instruction of a trampoline, its programs and their helpers")
    func everyInstruction() async throws {
        let target = try DrivenProcess(try Fixtures.target("stepped"))
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var calls: UInt64 = 0
            var records: UInt64 = 0
            for await event in session.events {
                if event.call != nil { calls += 1 }
                if event.record != nil { records += 1 }
            }
            return (calls: calls, records: records)
        }
        try await session.load(try Fixtures.object("steps"))
        try await session.attach()
        try await session.trace(["exe:leaf", "exe:outer"])

        let stepper = try DrivenProcess(try Fixtures.target("stepper"), ["\(target.pid)"])
        target.send("go")
        let answer = try stepper.readLine(patience: 240_000)
        let walked = answer.split(separator: " ").compactMap { UInt64($0) }
        try #require(walked.count == 2, "\(answer)")
        let signals = walked[1]
        #expect(stepper.waitForEnd() == 0)
        // The call, its signals, what their handlers found wrong, and the calls that all of them made.
        let numbers = try target.readLine().split(separator: " ").compactMap { UInt64($0) }
        try #require(numbers.count == 5)
        #expect(walked[0] >= signals && signals > 500)
        #expect(numbers[0] == 21)
        #expect(numbers[1] == signals)
        #expect(numbers[2] == 0)
        #expect(numbers[3] == signals + 1)
        #expect(numbers[4] == 2 * signals + 1)

        let summary = try await session.detach()
        let calls = numbers[3] + numbers[4]
        let events = await seen.value
        func dropped(_ map: String) -> UInt64 { summary.drops.filter { $0.map == map }.reduce(0) { $0 + $1.count } }
        #expect(summary.calls == calls)
        #expect(summary.counts.allSatisfy { $0.unreturned == 0 })
        #expect(events.calls + dropped("events") == calls)
        #expect(events.records == (try session.number("sent")))
        #expect(try session.number("sent") + session.number("no_room") == calls)
        #expect(try session.number("entries") == calls)
        #expect(try session.number("exits") == calls)
        #expect(try session.number("wrong") + session.number("not_zero") == 0)
        #expect(summary.abandoned == 0 && !summary.keptCode)
        try Leftovers.expectNone(in: target.pid)
        #expect(target.end("end") == 0)
    }
}
