import Foundation
import Testing

/// `scripts/torture`, a round of it: real programs with a session at every function of every module print what they print
/// untraced. `make torture` runs more programs, twenty times each.
@Suite("Every function", .serialized)
struct EveryFunctionTests {
    @Test(
        "of the program and of all its libraries",
        arguments: ["bash", "perl", "python", "sqlite", "git", "openssl", "tls", "postgres", "cc1"])
    func everyFunction(program: String) throws {
        let run = try Fixtures.run("/usr/bin/env", ["ROUNDS=1", Fixtures.package.path + "/scripts/torture", HardProgram.fsessionPath, program])
        #expect(run.status == 0, "\(run.output)\(run.error)")
        let lines = run.output.split(separator: "\n")
        #expect(!lines.isEmpty)
        for line in lines {
            // Not "left out", and nearly all functions.
            let share = try #require(line.firstMatch(of: #/1 of 1 .* \(([0-9.]+) %\)/#)?.1, "\(line)")
            #expect(try #require(Double(share)) > 98, "\(line)")
            print(line)
        }
    }
}
