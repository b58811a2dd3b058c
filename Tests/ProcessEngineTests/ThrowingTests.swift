import FSession
import Foundation
import TestSupport
import Testing

/// A session comes and goes while exceptions pass its functions: the unwinder knows our code as long as a call is inside.
@Suite("Throwing", .serialized)
struct ThrowingTests {
    private static let cycles = ProcessInfo.processInfo.environment["FSESSION_TORTURE"].flatMap(Int.init) ?? 10

    @Test("Attach and detach cycles while four threads throw", arguments: ["exe:*", "*"])
    func cycles(pattern: String) throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"), ["4"])
        let object = try Fixtures.bpf(Fixtures.package.appendingPathComponent("Benchmarks/cookie.bpf.c"))
        for cycle in 0..<(pattern == "*" ? max(2, Self.cycles / 10) : Self.cycles) {
            let run = try Fixtures.run(
                HardProgram.fsessionPath,
                ["run", "-o", "/dev/null", "--at", pattern, object, "-p", "\(target.pid)", "--duration", "0.05"])
            #expect(run.status == 0, "\(run.errors)")
            try #require(target.isRunning, "cycle \(cycle)")
        }
        #expect(target.end("end") == 0)
    }

    @Test("An exception passes the frames of a call that was inside when the session ended, and of later ones")
    func left() async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"))
        for round in 1...3 {
            let session = try await Session(.process(target.pid))
            try await session.load(try Fixtures.object("cookies"))
            // The finder, too: its user's program is gone afterwards, our own is not.
            try await session.attach("first", to: "exe:*")
            try await session.attach("second", to: "libgcc*:_Unwind_Find_FDE")
            #expect(try target.ask("wait") == "0")
            let summary = try await session.detach()
            #expect(summary.keptCode, "round \(round)")
        }
        // One of each session waits inside, under two frames of that session.
        #expect(try target.ask("throw") == "3")
        // Nobody is inside any more; sessions go on being possible, with exits.
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        try await session.attach("first", to: "exe:waits")
        #expect(try target.ask("wait") == "3")
        #expect(try target.ask("throw") == "4")
        try await session.detach()
        #expect(target.end("end") == 0)
    }

    @Test("An exception passes the frames of a call that was inside when fsession was killed")
    func killed() async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"))
        for round in 1...2 {
            let log = Fixtures.temporary.appendingPathComponent("throwing-\(round).trace").path
            let first = try HardProgram.fsession(["trace", "-q", "-o", log, "-p", "\(target.pid)", "exe:*"])
            try #require(
                eventually {
                    _ = try? target.ask("call")
                    return (try? String(contentsOfFile: log, encoding: .utf8))?.contains("catches(") == true
                })
            #expect(try target.ask("wait") == "0")
            first.end()
        }
        // What was killed is taken out, but for what finds its frames.
        let session = try await Session(.process(target.pid))
        try await session.trace(["exe:*"])
        #expect(try target.ask("wait") == "0")
        let answer = try target.ask("throw")
        #expect(answer == "3")
        try await session.detach()
        #expect(target.end("end") == 0)
    }

    @Test("A child that was forked before programs came and went has its functions back when the session ends")
    func forked() async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        try await session.attach("first", to: "exe:*")
        try await session.attach("first", to: "libgcc*:_Unwind_Find_FDE")
        _ = try target.ask("fork")
        #expect(try target.ask("child") == "child 1")
        // The images that the child jumps to are not those of its parent any more.
        try await session.attach("second", to: "exe:*")
        try await session.attach("second", to: "libgcc*:_Unwind_Find_FDE")
        #expect(try target.ask("child") == "child 1")
        _ = try target.ask("call")
        let isKept = try await session.detach().keptCode
        #expect(!isKept)
        #expect(try target.ask("child") == "child 1")
        #expect(target.end("end") == 0)
    }

    @Test("A child that was forked before a program's only function was let go has it back when the session ends")
    func forkedBefore() async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        let attachment = try await session.attach("first", to: "exe:middle")
        _ = try target.ask("fork")
        #expect(try target.ask("child") == "child 1")
        for link in attachment.links { try await session.remove(link) }
        #expect(try target.ask("child") == "child 1")
        let isKept = try await session.detach().keptCode
        #expect(!isKept)
        #expect(try target.ask("child") == "child 1")
        #expect(target.end("end") == 0)
    }

    @Test("Nothing is attached while the unwinder cannot be told of it")
    func notTold() async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("cookies"))
        _ = try target.ask("point")
        let complaint = await session.complaint("first", to: "exe:waits")
        #expect(complaint.contains("_Unwind_Find_FDE") && complaint.contains("try again"), "\(complaint)")
        #expect(try target.ask("wait") == "0")
        #expect(try target.ask("throw") == "1")
        #expect(await session.summary().calls == 0)
        _ = try target.ask("clear")
        try await session.attach("first", to: "exe:waits")
        #expect(try target.ask("wait") == "1")
        #expect(try target.ask("throw") == "2")
        try await session.detach()
        #expect(target.end("end") == 0)
    }
}
