import FSession
import TestSupport
import Testing

@Suite("The meaning of a session, on the process engine")
struct SessionMeaningTests {
    @Test("As the design has it", .timeLimit(.minutes(1)), arguments: SessionMeaning.all)
    func meaning(_ meaning: Meaning) async throws {
        let bed = try await MeaningBed(object: meaning.object)
        try await meaning.check(bed)
        // Whatever was done to it, the target is whole at the end.
        try await bed.session.detach()
        if bed.isRunning { #expect(try bed.call("add 20 22") == "42") }
    }

    @Test(
        "The two kfuncs are allowed in session programs only",
        arguments: ["fentry", "fexit", "fmod_ret", "fsession"], ["bpf_session_is_return", "bpf_session_cookie"])
    func kfuncs(kind: String, kfunc: String) async throws {
        let object = try Fixtures.object("kfunc", ["-DSECTION=\"\(kind)/add\"", "-DKFUNC=\(kfunc)"])
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        var complaint: String?
        do {
            try await session.load(object)
        } catch {
            complaint = error.description
            #expect(error.code == .unsafe)
        }
        if kind == "fsession" {
            #expect(complaint == nil)
            try await session.attach()
            #expect(try target.ask("add 1 2") == "3")
            let result = try session.number("result")
            #expect(result == 1)
        } else {
            let text = try #require(complaint)
            #expect(
                text.contains("\(kfunc) is not allowed; it is for session programs") && text.contains("'uses_kfunc'"), "\(text)")
        }
        try await session.detach()
        #expect(try target.ask("add 1 2") == "3")
    }

    @Test("A kfunc that does not exist is refused by name")
    func unknownKfunc() async throws {
        let object = try Fixtures.object("kfunc", ["-DSECTION=\"fsession/add\"", "-DKFUNC=bpf_nonsense"])
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        await #expect {
            try await session.load(object)
        } throws: { error in
            "\(error)".contains("bpf_nonsense") && "\(error)".contains("bpf_session_is_return")
        }
        try await session.detach()
        #expect(try target.ask("add 1 2") == "3")
    }

    @Test("__cxa_throw takes entry programs only; an exception passes sessions, which then see no exit")
    func exceptions() async throws {
        let target = try DrivenProcess(try Fixtures.target("throws.cpp"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("throws"))
        let complaint = await session.complaint("session_throw")
        #expect(complaint.contains("never returns") && complaint.contains("fentry"), "\(complaint)")
        for program in ["around_thrower", "around_middle", "enters_throw"] { try await session.attach(program) }
        for (line, answer) in [("throw 0", "returned -2"), ("throw 5", "caught 5"), ("throw 6", "caught 6")] {
            #expect(try target.ask(line) == answer)
        }
        #expect(try session.number("thrown") == 2)
        #expect(try session.number("entries") == 6)
        #expect(try session.number("exits") == 2)
        let summary = try await session.detach()
        let counts = summary.counts.filter { ["thrower", "middle"].contains($0.function.name) }
        #expect(counts.map(\.entered) == [3, 3])
        #expect(counts.map(\.unreturned) == [2, 2])
        #expect(try target.ask("throw 7") == "caught 7")
    }

    @Test("Exceptions pass images that were rebuilt because a program was attached or detached")
    func exceptionsAfterRelinking() async throws {
        let target = try DrivenProcess(try Fixtures.target("throws.cpp"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("throws"))
        let first = try #require(try await session.attach("around_thrower").links.first)
        let second = try #require(try await session.attach("around_middle", to: "exe:thrower").links.first)
        #expect(try target.ask("throw 5") == "caught 5")
        #expect(try session.number("entries") == 2)
        try await session.remove(first)
        #expect(try target.ask("throw 6") == "caught 6")
        #expect(try session.number("entries") == 3)
        try await session.remove(second)
        #expect(try target.ask("throw 7") == "caught 7")
        #expect(try session.number("entries") == 3)
        try await session.detach()
        #expect(try target.ask("throw 8") == "caught 8")
    }

    /// The verifier refuses such programs; without it, what they return has no effect.
    @Test("What fentry, fexit and session programs return changes nothing")
    func answers() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        let object = try Fixtures.object("answers")
        let error = await #expect(throws: SessionError.self) { try await session.load(object) }
        #expect(error?.description.contains("At program exit the register R0 has") == true)
        try await session.load(object, verifies: false)
        try await session.attach()
        #expect(try target.ask("add 40 2") == "42")
        #expect(try session.number("runs") == 4)
        #expect(try target.ask("executed") == "1")
        try await session.detach()
    }
}
