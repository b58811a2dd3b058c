import Foundation
import Testing

/// `scripts/torture`, a round of it: real programs with a session at every function of every module print what they print
/// untraced. `make torture` runs more programs, twenty times each.
@Suite("Every function", .serialized)
struct EveryFunctionTests {
    /// Each as this processor is, or as one of the other kinds that `scripts/torture` knows.
    static let programs = [
        ("bash", "sse2"), ("perl", "default"), ("perl", "sse4"), ("python", "avx2"), ("sqlite", "ssse3"), ("git", "default"),
        ("openssl", "sse2"), ("tls", "default"), ("tls", "no-erms"), ("postgres", "default"), ("cc1", "no-vzeroupper"),
    ]

    @Test("of the program and of all its libraries, for processors of all kinds", arguments: programs)
    func everyFunction(program: String, processor: String) throws {
        let run = try Fixtures.run(
            "/usr/bin/env",
            ["ROUNDS=1", "TUNABLES=\(processor)", Fixtures.package.path + "/scripts/torture", HardProgram.fsessionPath, program])
        #expect(run.status == 0, "\(run.output)\(run.errors)")
        let lines = run.output.split(separator: "\n").filter { !$0.hasPrefix("As a processor") }
        #expect(!lines.isEmpty)
        for line in lines {
            // Not "left out", and nearly all functions.
            let share = try #require(line.firstMatch(of: #/1 of 1 .* \(([0-9.]+) %\)/#)?.1, "\(line)")
            #expect(try #require(Double(share)) > 98, "\(line)")
            print(line)
        }
    }
}
