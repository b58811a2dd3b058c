import Foundation
import Testing

/// `Targets/entries.S`: functions that are hard to trace, or only look traceable. Each is refused with the reason,
/// or traced without a difference; nothing in between.
@Suite("Hard entries")
struct HardEntryTests {
    /// A line of the program's output: the function, what `list` must say of it, what its calls gave.
    private struct Entry: Equatable {
        var name: String
        var verdict: String
        var results: String

        init?(_ line: Substring) {
            let fields = line.split(separator: "|", omittingEmptySubsequences: false)
            guard fields.count == 3 else { return nil }
            name = String(fields[0])
            verdict = String(fields[1])
            results = String(fields[2])
        }
    }

    @Test("Odd entries are refused with the reason, or give what they give untraced")
    func entries() throws {
        let program = try Fixtures.target("entries", [Fixtures.folder.path + "/Targets/entries.S"])
        let untraced = try Fixtures.run(program, [])
        let entries = untraced.output.split(separator: "\n").compactMap(Entry.init)
        try #require(untraced.status == 0 && entries.count > 50)

        let list = try Fixtures.run(HardProgram.fsessionPath, ["list", "--json", "exe:*", program])
        var verdicts: [String: String] = [:]
        for line in list.output.split(separator: "\n") {
            let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let name = try #require(object["function"] as? String)
            verdicts[name] = object["reason"] as? String ?? "traced"
        }
        for entry in entries {
            let verdict = try #require(verdicts[entry.name], "\(entry.name) is not listed")
            #expect(verdict.contains(entry.verdict), "\(entry.name): \(verdict)")
        }

        let file = Fixtures.temporary.appendingPathComponent("entries.json").path
        let traced = try Fixtures.run(HardProgram.fsessionPath, ["trace", "--json", "-o", file, "exe:e_*", "exe:own_*", "--", program])
        #expect(traced.status == 0, "\(traced.errors)")
        for (entry, now) in zip(entries, traced.output.split(separator: "\n").compactMap(Entry.init)) {
            #expect(entry == now)
        }
        #expect(traced.output.count == untraced.output.count)

        let text = try String(contentsOfFile: file, encoding: .utf8)
        // What a function that takes its caller's words returns is seen, too: its caller adds one to it.
        func results(_ name: String) -> [Int] {
            text.split(separator: "\n").compactMap { line in
                guard line.contains("\"function\": \"\(name)\""), line.contains("\"type\": \"call\"") else { return nil }
                return line.firstMatch(of: #/"return": (-?[0-9]+)/#).flatMap { Int($0.1) }
            }
        }
        #expect(results("own_pops_argument").count == 4)
        #expect(results("own_pops_argument").map { $0 &+ 1 } == results("e_calls_popper"))
        #expect(results("own_pops_by_register") == results("e_calls_register_popper"))
        #expect(results("own_loses_rbp") == results("e_calls_rbp_loser"))

        let last = try #require(text.split(separator: "\n").last)
        let summary = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
        let functions = try #require(summary["functions"] as? [[String: Any]])
        for entry in entries {
            let counts = functions.first { $0["function"] as? String == entry.name }
            let calls = counts?["calls"] as? Int ?? 0
            // Called in four rounds, some also by others; each call was seen, and seen to return.
            #expect(entry.verdict == "traced" ? calls >= 4 : calls == 0, "\(entry.name)")
            #expect(counts?["returned"] as? Int ?? 0 == calls, "\(entry.name)")
        }
    }
}
