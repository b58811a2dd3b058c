import FSession
import TestSupport
import Testing

/// The trampolines count without locks; the counts are exact nevertheless, whoever calls.
@Suite("Counting calls")
struct CountingTests {
    @Test(
        "Every call is counted once, at its entry and at its exit",
        arguments: [
            // Threads at the same time: fewer than there are lanes, and more.
            "threads 2 300000", "threads 30 20000", "threads 300 2000",
            // Threads that end, and others that take their stacks; stacks that are never seen again.
            "threads 16 1000, threads 16 1000, threads 16 1000, threads 16 1000", "stacks 400 1000",
            // Children that share the counters with their parent and run beside it.
            "forks 6 50000", "raw-forks 6 50000", "vforks 20 1000",
            // Children that share the counters and their parent's thread block, and run beside it.
            "clones 6 100000",
            // Handlers between any two instructions of a trampoline, on the same stack and on one of their own.
            "signals 300 5", "alternate 300 5",
        ])
    func exact(commands: String) async throws {
        let target = try DrivenProcess(try Fixtures.target("counted"))
        let session = try await Session(.process(target.pid))
        try await session.load(try Fixtures.object("counted"))
        #expect(try await session.attach().links.count == 1)
        var calls: UInt64 = 0
        for command in commands.split(separator: ",") {
            calls += try #require(UInt64(try target.ask(String(command.trimmingPrefix(" ")))))
        }
        let count = try #require(await session.summary().counts.first)
        #expect(try session.number("entries") == calls)
        #expect(try session.number("exits") == calls)
        #expect(count.entered == calls)
        #expect(count.returned == calls)
        // Nobody is inside, and the counts say so.
        #expect(try await session.detach().keptCode == false)
        #expect(try target.ask("threads 1 10") == "10")
    }
}
