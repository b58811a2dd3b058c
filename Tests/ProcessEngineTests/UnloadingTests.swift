import FSession
import TestSupport
import Testing

/// Libraries that come and go while they are traced.
@Suite("Unloading")
struct UnloadingTests {
    @Test("A library is unloaded with its programs, and the next one at the same place is traced anew")
    func reload() async throws {
        let libraries = try [1, 2].map { try Fixtures.target("plug", ["-shared", "-fPIC", "-DVALUE=\($0)"]) }
        let target = try DrivenProcess(try Fixtures.target("reload", ["-ldl"]), libraries)
        let session = try await Session(.process(target.pid))
        let seen = Task {
            var results: [UInt64] = []
            for await event in session.events {
                if let call = event.call { results.append(call.returnValue ?? 0) }
            }
            return results
        }
        try await session.trace(["*plug*:plug"])
        #expect(try target.ask("call") == "6")
        var places: Set<String> = []
        for number in [1, 2, 2, 1] {
            #expect(try target.ask("unload") == "0")
            places.insert(try target.ask("load \(number)"))
            let result = number == 1 ? "6" : "80"
            // The dynamic linker waits for fsession, but not for long: a busy machine may miss the first calls.
            let before = await session.summary().calls
            var isSeen = false
            for _ in 0..<600 where !isSeen {
                #expect(try target.ask("call") == result)
                isSeen = await session.summary().calls > before
                if !isSeen { try await Task.sleep(nanoseconds: 50_000_000) }
            }
            #expect(isSeen, "library \(number) is not traced")
        }
        #expect(places.count < 4, "no library came to the place of another: \(places)")
        let summary = try await session.detach()
        let results = await seen.value
        #expect(UInt64(results.count) + summary.drops.reduce(0) { $0 + $1.count } == summary.calls)
        #expect(Set(results) == [6, 80])
        #expect(try target.ask("call") == "6")
        #expect(summary.counts.allSatisfy { $0.unreturned == 0 })
        // An old word on the stack may look like a return into our code, which then stays.
        if !summary.keptCode { try Leftovers.expectNone(in: target.pid) }
        #expect(target.end("end") == 0)
    }
}
