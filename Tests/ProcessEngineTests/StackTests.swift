import Foundation
import TestSupport
import Testing

/// Programs that leave functions in every way, and use stacks of every kind, under the command line: what they print
/// and how they end must be what it is without.
@Suite("Stacks")
struct StackTests {
    @Test(
        "Exceptions, noexcept, cancellation, longjmp, contexts, signal stacks and the smallest threads",
        arguments: ["unwinding.cpp", "stacks"], ["exe:*", "*"])
    func same(name: String, pattern: String) throws {
        let path = try Fixtures.target(name)
        let untraced = try Fixtures.run(path, [])
        let log = Fixtures.temporary.appendingPathComponent("\(name)-\(pattern.count).json").path
        let traced = try Fixtures.run(
            HardProgram.fsessionPath, ["trace", "--json", "-o", log, pattern, "--", path])
        #expect(traced.output == untraced.output)
        #expect(traced.status == untraced.status)
        let text = try String(contentsOfFile: log, encoding: .utf8)
        #expect(text.contains("\"main\""))
    }

    @Test("A traced call needs little more than a kibibyte of stack")
    func room() throws {
        let path = try Fixtures.target("stacks")
        func room(_ run: Finished) throws -> Int {
            let line = try #require(run.errors.split(separator: "\n").first { $0.hasPrefix("room ") })
            return try #require(Int(line.dropFirst(5)))
        }
        let without = try room(try Fixtures.run(path, []))
        let log = Fixtures.temporary.appendingPathComponent("room.trace").path
        let with = try room(
            try Fixtures.run(HardProgram.fsessionPath, ["trace", "-q", "-o", log, "exe:leaf", "--", path]))
        #expect(without <= 64)
        // docs/safety.md names this figure.
        #expect(with > without && with <= 1536, "\(with) bytes")
    }
}
