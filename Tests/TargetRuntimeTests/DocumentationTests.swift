import BPF
import Foundation
import TargetRuntime
import TestSupport
import Testing

/// docs/helpers.md names what there is, no more and no less.
@Suite struct DocumentationTests {
    /// The rows `| number | `name` | … |` below a heading.
    private static func rows(below heading: String) throws -> [UInt32: String] {
        let text = try Repository.text("docs/helpers.md")
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix(heading + "\n") })
        var rows: [UInt32: String] = [:]
        for line in section.split(separator: "\n") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard line.hasPrefix("|"), let first = cells.first, let number = UInt32(first) else { continue }
            #expect(rows[number] == nil, "\(number) is there twice")
            rows[number] = cells[1].trimmingCharacters(in: ["`"])
        }
        return rows
    }

    @Test("docs/helpers.md lists the runtime's helpers, with their numbers and names")
    func helpers() throws {
        let documented = try Self.rows(below: "Helpers")
        var there: [UInt32: String] = [:]
        for number in 0..<1000 as Range<UInt32> {
            if let name = fs_runtime_helper_name(number) { there[number] = String(cString: name) }
        }
        #expect(!there.isEmpty)
        #expect(documented == there)
    }

    @Test("docs/helpers.md lists the map types that processes have, with their numbers and names")
    func maps() throws {
        let there = MapType.allCases.filter { $0.traits.contains(.inProcess) }
        #expect(
            try Self.rows(below: "Maps")
                == Dictionary(uniqueKeysWithValues: there.map { ($0.rawValue, $0.kernelName.uppercased()) }))
    }
}
