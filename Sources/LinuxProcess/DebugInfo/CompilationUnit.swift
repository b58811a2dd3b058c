import CLibDW
import Search

/// A compilation unit (`DW_TAG_compile_unit`): its first entry, language and address ranges.
struct CompilationUnit {
    enum Language {
        case c
        case cPlusPlus
        case rust
        case swift
        case assembler
        case go
        case other

        /// `DW_LANG_…`, with the numbers that came after the header of this libdw.
        init(code: UInt64) {
            switch code {
            case 0x01, 0x02, 0x0c, 0x1d, 0x2c, 0x3e: self = .c
            case 0x04, 0x19, 0x1a, 0x21, 0x2a, 0x2b, 0x3a: self = .cPlusPlus
            case 0x1c: self = .rust
            case 0x1e: self = .swift
            case 0x31, 0x8001: self = .assembler
            case 0x16: self = .go
            default: self = .other
            }
        }
    }

    /// More ranges than any compiler writes for one unit.
    private static let maximumRanges = 1 << 20

    let entry: DebuggingEntry
    let language: Language
    let ranges: [Range<UInt64>]

    init(entry: DebuggingEntry, mostRanges: Int) {
        self.entry = entry
        language = Language(code: entry.unsigned(Int(DW_AT_language)) ?? 0)
        ranges = entry.ranges(limit: min(Self.maximumRanges, mostRanges))
    }

    /// Those of the `sorted` addresses that lie in this unit and are among those that are looked for. `steps`: how many
    /// addresses may still be looked at.
    func contained(of sorted: [UInt64], among wanted: Set<UInt64>, steps: inout Int) -> Set<UInt64> {
        var result: Set<UInt64> = []
        for range in ranges where steps > 0 {
            var index = sorted.partitioningIndex { $0 >= range.lowerBound }
            while index < sorted.count, sorted[index] < range.upperBound, steps > 0 {
                if wanted.contains(sorted[index]) { result.insert(sorted[index]) }
                steps -= 1
                index += 1
            }
        }
        return result
    }
}
