import BPF
import Foundation
import TestSupport
import Testing
import Verifier

/// What clang makes of ordinary programs.
@Suite("Programs of clang")
struct ProgramTests {
    /// Programs of the repository, and why a verifier refuses those that it does.
    private static let refused = [
        // They return something although only fmod_ret programs may.
        "answers": "At program exit the register R0 has",
        // Reads what lies below the context.
        "context": "invalid bpf_context access off=-8 size=8",
        // Another program's number would be returned by a function that returns nothing.
        "voids": "tail_call is only allowed in functions that return 'int'.",
        // Calls a helper that a process does not have.
        "unsupported": "program of this type cannot use helper bpf_send_signal#109",
    ]

    static let sources: [URL] = {
        let folders = ["Examples", "Benchmarks", "Tests/ProcessEngineTests/Programs", "Tests/VerifierTests/Programs"]
        return folders.flatMap { folder -> [URL] in
            let files = FileManager.default.enumerator(
                at: Repository.root.appendingPathComponent(folder), includingPropertiesForKeys: nil)
            return (files?.allObjects as? [URL] ?? []).filter { $0.lastPathComponent.hasSuffix(".bpf.c") }
        }.sorted { $0.path < $1.path }
    }()

    @Test("are accepted at -O1, -O2 and -O3, and refused for the reason that they have", arguments: sources)
    func verdicts(_ source: URL) throws {
        let name = String(source.lastPathComponent.dropLast(".bpf.c".count))
        // Its section and kfunc are the compiler's options.
        let options = name == "kfunc" ? ["-DSECTION=\"fsession/add\"", "-DKFUNC=bpf_session_is_return"] : []
        for level in ["-O1", "-O2", "-O3"] {
            let object = try Object(bytes: compile(source, [level] + options), name: name)
            for program in object.programs {
                let verdict = Verifier.verify(VerifierInput(program, in: object, context: .words(9)))
                if let reason = Self.refused[name] {
                    #expect(verdict.isAccepted || verdict.log.contains(reason), "\(program.name) \(level)\n\(verdict.log)")
                } else {
                    #expect(verdict.isAccepted, "\(name) \(program.name) \(level)\n\(verdict.log)")
                }
            }
            if let reason = Self.refused[name] {
                let verdicts = object.programs.map { Verifier.verify(VerifierInput($0, in: object, context: .words(9))) }
                #expect(verdicts.contains { $0.log.contains(reason) }, "\(name) \(level)")
            }
        }
    }

    @Test("there are some")
    func some() { #expect(Self.sources.count >= 20) }

    private func compile(_ source: URL, _ options: [String]) throws -> [UInt8] {
        let folder = try Folder()
        _ = try Compiler.bpf(source.path, ["-g"] + options, to: "\(folder.path)/a.o")
        return try folder.bytes("a.o")
    }
}
