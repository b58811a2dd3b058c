import FSession
import Foundation
import Testing

@Suite("What an error says")
struct ErrorTests {
    private func error(_ body: (Session) async throws -> Void) async throws -> SessionError {
        let error = await #expect(throws: SessionError.self) { try await withSession(.launch("true"), body) }
        return try #require(error)
    }

    @Test("cause and advice are apart, and one line together; a pattern that nothing is near to has no advice")
    func advice() async throws {
        let near = try await error { try await $0.trace(["libc:wriite"]) }
        #expect(near.code == .noFunction && near.cause == "no function matches 'libc:wriite'")
        let advice = try #require(near.advice)
        #expect(advice.hasPrefix("did you mean ") && advice.contains("'write'"))
        #expect(near.description == "\(near.cause); \(advice)")

        let far = try await error { try await $0.trace(["libc:*xyzzy*"]) }
        #expect(far.code == .noFunction && far.advice == nil && far.description == far.cause)

        let library = try await error { _ = try await $0.functions(matching: "libq:write") }
        #expect(library.cause == "no module 'libq' is loaded" && library.advice == "did you mean 'libc'?")
    }

    @Test("a program that is not proven safe has a code of its own; no error names the command line")
    func unsafe() async throws {
        let object = try Example.object("SEC(\"fentry/libc:write\") int p(u64 *ctx) { return *(int *)ctx[0]; }")
        let error = try await error { try await $0.load(object) }
        #expect(error.code == .unsafe && error.cause.hasPrefix("program 'p' is refused, it is not safe: "), "\(error)")
        #expect(!error.description.contains("'fsession"))
    }

    @Test("numbers of processes and threads are literals, text, and numbers in JSON")
    func numbers() throws {
        let process: ProcessID = 4711
        #expect(process == ProcessID("4711") && process == ProcessID(rawValue: 4711) && "\(process)" == "4711")
        #expect(ProcessID("47x") == nil && ThreadID("") == nil)
        #expect(String(decoding: try JSONEncoder().encode([process, 0]), as: UTF8.self) == "[4711,0]")
        #expect(try JSONDecoder().decode([ThreadID].self, from: Data("[12]".utf8)) == [12])
    }
}
