import FSession
import TestSupport
import Testing

/// What the verifier found out makes programs shorter, and changes nothing that they do.
@Suite("What is proven of a program", .timeLimit(.minutes(1)))
struct ProofTests {
    @Test("known elements of arrays and branches that go one way: the same results as without the proof", arguments: [true, false])
    func known(isVerified: Bool) async throws {
        let target = try DrivenProcess(try Fixtures.target("calls", ["-fno-omit-frame-pointer"]))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("known"), verifies: isVerified)
        try await session.attach("known")
        for _ in 0..<2 { _ = try target.ask("add 2 5") }
        let sums = try #require(session.map(named: "sums"))
        var found: [[UInt8]] = []
        for index in 0..<4 as Range<UInt8> { found += sums.values(at: [index, 0, 0, 0]) ?? [] }
        // The second of three 32-bit numbers.
        #expect(found.map { Int($0[4]) | Int($0[5]) << 8 } == [2, 200, 2200, 204])
        #expect(found.allSatisfy { $0.prefix(4).allSatisfy { $0 == 0 } && $0.suffix(4).allSatisfy { $0 == 0 } })
        #expect(try session.number("missing") == 2)
        #expect(try session.number("dead") == 0)
        try await session.detach()
    }

    @Test("'check' proves for the same context as 'run', and for a smaller one if it is told to")
    func sameContext() async throws {
        let object = try Fixtures.object("known")
        #expect(object.verify().filter { !$0.isSafe }.map(\.program) == [])
        let faults = object.verify(argumentWords: 6).filter { !$0.isSafe }
        #expect(faults.map(\.program) == ["eighth"])
        let target = try DrivenProcess(try Fixtures.target("calls", ["-fno-omit-frame-pointer"]))
        let session = try await Session(.process(target.pid))
        try await session.load(object)
        try await session.attach("eighth")
        #expect(try target.ask("many") == "20")
        #expect(try session.number("eighth_argument") == 8)
        #expect(await session.complaint("eighth", to: "exe:add").contains("reads word 7 of its context, and there are 2 argument words"))
        try await session.detach()
    }

    @Test("a loop that only may_goto ends goes round 8,388,608 times in each call")
    func mayGoto() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls", ["-fno-omit-frame-pointer"]))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("known"))
        try await session.attach("endless")
        for _ in 0..<2 { #expect(try target.ask("add 2 5") == "7") }
        #expect(try session.number("rounds") == 2 * 8_388_608)
        try await session.detach()
    }
}
