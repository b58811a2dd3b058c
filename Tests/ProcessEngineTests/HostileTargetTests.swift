import FSession
import Foundation
import Glibc
import TestSupport
import Testing

/// Processes of another user that try to make fsession, which runs as root, do something for them.
@Suite("Hostile targets", .serialized, .enabled(if: geteuid() == 0, "only root has rights to lose"))
struct HostileTargetTests {
    /// Runs a program as nobody.
    static func asNobody(_ program: String, _ arguments: [String] = []) throws -> DrivenProcess {
        try DrivenProcess(
            "/usr/bin/env",
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", program] + arguments)
    }

    @Test(
        "A descriptor that the target's accomplice swaps for a file of root's changes nothing in that file",
        .timeLimit(.minutes(2)))
    func swappedDescriptor() throws {
        let file = Fixtures.temporary.appendingPathComponent("root-only").path
        let secret = "nobody but root may write this"
        try secret.write(toFile: file, atomically: true, encoding: .utf8)
        chmod(file, 0o600)
        let target = try Self.asNobody(try Fixtures.target("swapper"), [file])
        var attached = 0
        for _ in 0..<12 {
            let run = try Fixtures.run(
                "/usr/bin/env",
                ["timeout", "-s", "KILL", "20", HardProgram.fsessionPath, "trace", "-q", "--duration", "0.1", "-p", "\(target.pid)", "exe:touch"])
            #expect(run.status == 0 || run.status == 1, "\(run.status): \(run.errors)")
            if run.status == 0 { attached += 1 }
            try #require(try String(contentsOfFile: file, encoding: .utf8) == secret)
            try #require(target.isRunning)
            try Leftovers.expectNone(in: target.pid)
        }
        // It has tried: the answer is how often.
        let swaps = try #require(Int(try target.ask("")))
        #expect(swaps > 0, "the accomplice never came to it; attached \(attached) times")
    }

    @Test(
        "Memory that is made to keep fsession busy, or to blame somebody else, does neither", .timeLimit(.minutes(4)),
        arguments: ["empty", "names", "huge", "vast", "nested", "stacks"])
    func forged(how: String) throws {
        // Somebody who has nothing to do with it.
        let other = try Running(["/bin/sleep", "1000"])
        defer { other.end() }
        let target = try Self.asNobody(try Fixtures.target("forged"), [how] + (how == "names" ? ["\(other.pid)"] : []))
        let log = Fixtures.temporary.appendingPathComponent("forged.trace").path
        let run = try Fixtures.run(
            "/usr/bin/env",
            ["timeout", "-s", "KILL", "60", HardProgram.fsessionPath, "trace", "-q", "--limit", "3", "-o", log, "-p", "\(target.pid)", "exe:touch"])
        // Stacks that take too long to look through are a reason to refuse, in time.
        if how == "stacks" {
            #expect(run.status == 0 || run.status == 1 && run.errors.contains("too large"), "\(run)")
        } else {
            #expect(run.status == 0, "\(run)")
            #expect(try String(contentsOfFile: log, encoding: .utf8).contains("touch("))
        }
        #expect(target.isRunning && other.isRunning)
    }
}
