import FSession
import TestSupport
import Testing

/// What tail calls hand on, what they leave on the stack, and where they return to, in a running process.
@Suite("Tail calls", .timeLimit(.minutes(2)))
struct TailCallTests {
    private func bytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    @Test("a session that goes on, by others, in one with a cookie has a cookie; arguments stay what they are")
    func cookie() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("tails"))
        try await session.attach("first")
        for call in 1...3 as ClosedRange<UInt64> {
            #expect(try target.ask("add 40 \(call)") == "\(40 + call)")
            #expect(try session.number("entered") == 2 * call)
            #expect(try session.number("carried") == 0xc0_0c1e_0000 + 2 * call - 1)
            #expect(try session.number("seen_argument") == 40)
        }
        try await session.detach()
    }

    @Test("what the last of a chain of programs reads of the context, the first one's function has")
    func context() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("tails"))
        for program in ["reads_nothing", "between", "reader"] {
            let complaint = await session.complaint(program, to: "exe:add")
            #expect(complaint.contains("reads word 4 of its context, and there are 2 argument words"), "\(program): \(complaint)")
        }
        try await session.attach("reads_nothing")
        #expect(try target.ask("many") == "20")
        #expect(try session.number("fifth") == 5)
        try await session.detach()
    }

    @Test("from a function: the program goes on behind its call, with what the other program returned")
    func functions() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("tails"))
        try await session.attach("through")
        #expect(try target.ask("add 1 0") == "1")
        #expect(try session.number("landed") == 1)
        #expect(try session.number("behind") == 0)
        #expect(try session.number("returned") == 77)
        // An empty slot: the function goes on.
        #expect(try target.ask("add 1 1") == "2")
        #expect(try session.number("landed") == 1)
        #expect(try session.number("behind") == 1)
        #expect(try session.number("returned") == 5)
        try await session.detach()
    }

    @Test("what programs jump to cannot be changed from outside once they have been proven")
    func arrays() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("tails"))
        try await session.attach("through")
        let programs = try #require(session.map(named: "to_landing"))
        for index in [0, 1] as [UInt32] {
            #expect(throws: SessionError.self) { try programs.update(bytes(index), [1, 2, 3, 4]) }
            #expect(throws: SessionError.self) { try programs.remove(bytes(index)) }
        }
        #expect(try target.ask("add 1 0") == "1")
        #expect(try target.ask("add 1 1") == "2")
        #expect(try session.number("landed") == 1)
        #expect(try session.number("behind") == 1)
        try await session.detach()
    }

    /// docs/safety.md names the figures.
    private static let bound = 8192

    @Test("on the smallest thread, as deep as they come: each ends where no stack is left for another", arguments: ["again", "wide_again"])
    func smallestThread(program: String) async throws {
        let target = try DrivenProcess(try Fixtures.target("smallest"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("deep"))
        try await session.attach(program)
        for call in 1...3 as ClosedRange<UInt64> {
            #expect(try target.ask("smallest") == "42")
            #expect(try session.number("stopped") == call)
        }
        // Some went through: ten of those that leave 300 bytes.
        let rounds = try session.number("rounds") / 3
        #expect((8...34).contains(rounds), "\(rounds) rounds")
        let used = try target.ask("measure").split(separator: " ").compactMap { Int($0) }
        #expect(used.first == 42 && (2048...Self.bound).contains(used[1]), "\(used)")
        print("stack: \(program) \(rounds) rounds, \(used[1]) bytes")
        try await session.detach()
    }

    @Test("the most stack that programs can use")
    func worst() async throws {
        let target = try DrivenProcess(try Fixtures.target("smallest"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("deep"))
        try await session.attach("worst")
        let used = try target.ask("wide").split(separator: " ").compactMap { Int($0) }
        // Called twice, once to be measured.
        #expect(try session.number("stopped") == 2)
        #expect(try session.number("rounds") > 2 * 8)
        #expect(used.first == 42 && (4096...Self.bound).contains(used[1]), "\(used)")
        print("stack: worst \(used[1]) bytes")
        try await session.detach()
    }

    @Test("eight functions inside each other, by callbacks, that print: the stack that docs/safety.md names")
    func callbacks() async throws {
        let target = try DrivenProcess(try Fixtures.target("smallest"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("deep"))
        try await session.attach("nested")
        #expect(try target.ask("smallest") == "42")
        #expect(try session.number("stopped") == 1)
        let used = try target.ask("measure").split(separator: " ").compactMap { Int($0) }
        #expect(used.first == 42 && used[1] <= 4096, "\(used)")
        print("stack: nested \(used[1]) bytes")
        try await session.detach()
    }
}
