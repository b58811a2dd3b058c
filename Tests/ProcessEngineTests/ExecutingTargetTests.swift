import FSession
import Foundation
import Glibc
import TestSupport
import Testing

/// Attaching to a process that executes a program at that very moment.
@Suite("Targets that execute programs", .serialized)
struct ExecutingTargetTests {
    /// fsession, killed after half a minute: 137.
    private static func attach(_ pid: Int32) throws -> (status: Int32, error: String, seconds: TimeInterval) {
        let start = Date()
        let run = try Fixtures.run(
            "/usr/bin/env",
            ["timeout", "-s", "KILL", "30", HardProgram.fsessionPath, "trace", "-q", "--duration", "0.1", "-p", "\(pid)", "exe:touch"])
        return (run.status, run.errors, Date().timeIntervalSince(start))
    }

    private static func tracers(of pid: Int32) -> [String] {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return threads.compactMap { try? String(contentsOfFile: "/proc/\(pid)/task/\($0)/status", encoding: .utf8) }
            .flatMap { $0.split(separator: "\n").filter { $0.hasPrefix("TracerPid:") && !$0.hasSuffix("\t0") } }.map(String.init)
    }

    @Test("A process that executes a program while its threads are being stopped holds nobody up, and goes on", .timeLimit(.minutes(5)))
    func executesMeanwhile() throws {
        let target = try DrivenProcess(try Fixtures.target("executes"), ["800"])
        // Whether it comes to that is a matter of who runs when: as often as it takes to see it some times.
        var executed = 0
        for _ in 0..<60 where executed < 4 {
            let attached = try Self.attach(target.pid)
            try #require(attached.status == 0 || attached.status == 1, "\(attached)")
            #expect(target.isRunning)
            #expect(eventually { Self.tracers(of: target.pid).isEmpty })
            // It is there again: the threads of the new program have begun.
            if (try? target.readLine(patience: 2000)) == "ready" { executed += 1 }
        }
        #expect(executed > 0)
        #expect(target.isRunning)
    }

    @Test("A process that never gets done with executing a program is refused, within seconds", .timeLimit(.minutes(2)))
    func neverExecutes() throws {
        let target = try DrivenProcess(try Fixtures.target("executes"), ["stuck"])
        // Its main thread waits inside execve for the end of a thread that somebody else traces.
        #expect(
            eventually {
                (try? String(contentsOfFile: "/proc/\(target.pid)/stat", encoding: .utf8))?.contains(") D ") == true
            })
        let attached = try Self.attach(target.pid)
        #expect(attached.status == 1, "\(attached)")
        #expect(attached.error.contains("executes a program"), "\(attached)")
        #expect(attached.seconds < 25)
        #expect(target.isRunning)
    }
}
