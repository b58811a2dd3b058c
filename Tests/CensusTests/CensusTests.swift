import Foundation
import TestSupport
import Testing

/// `make census` of some of the machine's files: no byte that would be overwritten is reached otherwise than through its
/// function's entry, as a second reader of the code sees it.
@Suite("Census")
struct CensusTests {
    private func run(_ arguments: [String]) throws -> (status: Int32, lines: [Substring]) {
        let result = try runBlocking([Repository.product("census")] + arguments)
        return (result.status, result.output.split(separator: "\n"))
    }

    @Test("200 files: no byte is overwritten that is reached otherwise than through its function's entry", .timeLimit(.minutes(10)))
    func sample() throws {
        let (status, lines) = try run(["--sample", "200", "--largest", "4000000"])
        for line in lines { print(line) }
        #expect(status == 0 && lines.last == "0 violations")
        let counts = try #require(lines.compactMap { $0.firstMatch(of: #/^([0-9]+) files, ([0-9]+) functions: ([0-9]+) can be patched/#) }.first)
        #expect(try #require(Int(counts.1)) > 100 && #require(Int(counts.2)) > 5_000)
        #expect(try #require(Int(counts.3)) * 10 > #require(Int(counts.2)) * 9)
    }

    @Test("the C library with all variants that any processor could choose", .timeLimit(.minutes(10)))
    func libc() throws {
        let (status, lines) = try run(["/lib/x86_64-linux-gnu/libc.so.6"])
        #expect(status == 0 && lines.last == "0 violations", "\(lines)")
    }

    @Test("What would be overwritten a byte too far on is found", .timeLimit(.minutes(5)))
    func planted() throws {
        let (status, lines) = try run(["--shift", "1", "/lib/x86_64-linux-gnu/libc.so.6"])
        let count = try #require(lines.last?.firstMatch(of: #/^([0-9]+) violations$/#).flatMap { Int($0.1) })
        #expect(status == 1 && count > 1000)
        // In the padding, too: there a NOP would be cut.
        #expect(lines.contains { $0.contains("is inside the instruction at") || $0.contains("in the padding") })
    }
}
