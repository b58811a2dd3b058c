import FSession
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
            #expect(error.code == .program)
        }
        if kind == "fsession" {
            #expect(complaint == nil)
            try await session.attach()
            #expect(try target.ask("add 1 2") == "3")
            let result = try session.number("result")
            #expect(kfunc == "bpf_session_is_return" ? result == 1 : result > 0xffff)
        } else {
            let text = try #require(complaint)
            #expect(
                text.contains("\(kfunc) is allowed in session programs only") && text.contains("'\(kind)/add'"), "\(text)")
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
            "\(error)".contains("'bpf_nonsense'") && "\(error)".contains("bpf_session_is_return")
        }
        try await session.detach()
        #expect(try target.ask("add 1 2") == "3")
    }
}
