import Foundation
import TestSupport
import Testing

/// A target in namespaces of its own.
@Suite("Containers")
struct ContainerTests {
    @Test("A process in its own user, mount and process-id namespaces is traced from outside, and from inside")
    func namespaces() throws {
        let unshare = ["unshare", "-Urpmf", "--mount-proc"]
        guard try Fixtures.run("/usr/bin/env", unshare + ["true"]).status == 0 else {
            Issue.record("unshare(1) does not work here")
            return
        }
        let program = try Fixtures.target("registers")
        // From outside: the namespace's first process has another id there.
        let outer = try DrivenProcess("/usr/bin/env", unshare + [program])
        let inner = try #require(Self.child(of: outer.pid))
        let log = Fixtures.temporary.appendingPathComponent("container.trace").path
        let run = try Fixtures.run(
            HardProgram.fsessionPath, ["trace", "--limit", "5", "-o", log, "-p", "\(inner)", "exe:touch"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(try String(contentsOfFile: log, encoding: .utf8).contains("touch("))
        try Leftovers.expectNone(in: inner)
        #expect(outer.isRunning)
        kill(inner, SIGTERM)
        #expect(outer.waitForEnd() == 0)

        // From inside: launched and attached to.
        let script = """
            "$1" trace -q -o "$3" exe:leaf -- "$4" > /dev/null
            [ $? = 6 ] || exit 1
            grep -q 'leaf(' "$3" || exit 2
            "$2" > /dev/null & running=$!
            "$1" trace -q --limit 5 -o "$3" -p $running exe:touch || exit 3
            grep -q 'touch(' "$3" || exit 4
            kill -TERM $running; wait $running || exit 5
            """
        let inside = try Fixtures.run(
            "/usr/bin/env", unshare + ["sh", "-c", script, "sh", HardProgram.fsessionPath, program, log, try Fixtures.target("stacks")])
        #expect(inside.status == 0, "\(inside.errors)")
    }

    /// The only child of a process, by the kernel's list.
    private static func child(of pid: Int32) -> Int32? {
        let path = "/proc/\(pid)/task/\(pid)/children"
        var found: Int32?
        _ = eventually {
            found = (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: " ").first.flatMap { Int32($0) }
            return found != nil
        }
        return found
    }
}
