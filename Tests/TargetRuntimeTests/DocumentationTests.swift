import Foundation
import TargetRuntime
import Testing

/// docs/helpers.md names what there is, no more and no less.
@Suite struct DocumentationTests {
    /// The rows `| number | `name` | … |` below a heading.
    private static func rows(below heading: String) throws -> [UInt32: String] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/helpers.md"), encoding: .utf8)
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
        #expect(there.count > 40)
        #expect(documented == there)
    }

    @Test("docs/helpers.md lists the map types that can be made")
    func maps() throws {
        let documented = try Self.rows(below: "Maps")
        let there = (0..<64 as Range<UInt32>).filter { type in
            // Keys, values and entries as one or the other type wants them.
            let shapes: [(key: UInt32, value: UInt32, entries: UInt32)] = [(4, 8, 4), (4, 4, 4), (0, 8, 4), (0, 0, 4096)]
            return shapes.contains { shape in
                var spec = fs_map_spec(
                    type: type, key_size: shape.key, value_size: shape.value, max_entries: shape.entries, flags: 0)
                return fs_map_size(&spec, nil) > 0
            }
        }
        #expect(there.count > 10)
        #expect(documented.keys.sorted() == there)
        let names: [(type: fs_map_type, name: String)] = [
            (FS_MAP_HASH, "HASH"), (FS_MAP_ARRAY, "ARRAY"), (FS_MAP_PROG_ARRAY, "PROG_ARRAY"),
            (FS_MAP_PERF_EVENT_ARRAY, "PERF_EVENT_ARRAY"), (FS_MAP_PERCPU_HASH, "PERCPU_HASH"),
            (FS_MAP_PERCPU_ARRAY, "PERCPU_ARRAY"), (FS_MAP_STACK_TRACE, "STACK_TRACE"), (FS_MAP_LRU_HASH, "LRU_HASH"),
            (FS_MAP_LRU_PERCPU_HASH, "LRU_PERCPU_HASH"), (FS_MAP_QUEUE, "QUEUE"), (FS_MAP_STACK, "STACK"),
            (FS_MAP_RINGBUF, "RINGBUF"),
        ]
        for (type, name) in names { #expect(documented[type.rawValue] == name) }
    }
}
