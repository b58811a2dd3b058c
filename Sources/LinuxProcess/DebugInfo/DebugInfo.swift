import CLibDW
import ELF
import Glibc
import Search

/// The DWARF of one ELF file, or of the separate debug file that belongs to one; read as far as it is asked for.
///
/// Addresses are those in the file. Units in separate `.dwo` files are not read: what they describe is not found, and
/// `separateFiles` names them. libdw opens no file: it gets the memory of those that `TargetFiles` has opened.
/// One thread at a time: libdw keeps its state here.
package final class DebugInfo {
    private let main: LibraryHandle
    /// What `.gnu_debugaltlink` names (by dwz), or nothing in its place.
    private let alternative: LibraryHandle?
    private let abi: MachineABI?
    /// Bytes that describe functions and types: no more entries can be there.
    private let mostEntries: Int
    private var loadedUnits: [CompilationUnit]?
    private var loadedRanges: [UnitRange]?
    private var skeletons: [CompilationUnit] = []
    /// The files that hold what is known of functions that were asked for (`-gsplit-dwarf`), and are not read.
    package private(set) var separateFiles: Set<String> = []
    /// Whether something was left out, because the entries contradict each other.
    package private(set) var isIncomplete = false

    var dwarf: OpaquePointer { main.dwarf }

    /// Reads a file that the user names.
    package convenience init(path: String) throws(DebugInfoError) {
        let file: ELFFile
        do throws(ELFError) {
            file = try ELFFile(path: path)
        } catch {
            switch error {
            case .cannotRead(_, EISDIR), .notELF: throw .notELF(path: path)
            case .cannotRead(_, let number): throw .cannotOpen(path: path, errno: number)
            default: throw .unreadable(path: path, reason: "\(error)")
            }
        }
        try self.init(file, at: DebugFile.Place(path))
    }

    /// - Parameter place: where the file is, for one that it refers to.
    package init(_ file: ELFFile, at place: DebugFile.Place?) throws(DebugInfoError) {
        main = try LibraryHandle(file)
        if let link = AlternativeDebugFile.Link(file) {
            // Without any, libdw would look for it itself, and open whatever has its name.
            var found: LibraryHandle?
            if let file = link.find(place) { found = try? LibraryHandle(file) }
            if found == nil { found = try LibraryHandle(AlternativeDebugFile.empty) }
            alternative = found
            dwarf_setalt(main.dwarf, alternative?.dwarf)
        } else {
            alternative = nil
        }
        abi = MachineABI(file.machine)
        mostEntries = file.sections.reduce(0) {
            $0 + ($1.name == ".debug_info" || $1.name == ".zdebug_info" ? CompressedSections.size(of: $1, in: file) : 0)
        }
    }

    // MARK: Units

    /// One address range of a unit.
    struct UnitRange {
        var start: UInt64
        var end: UInt64
        var unit: Int
    }

    /// Several times those of the largest programs.
    private static let mostRanges = 1 << 22

    /// All compilation units with code or without ranges; only their first entries have been read.
    var units: [CompilationUnit] {
        if let loadedUnits { return loadedUnits }
        var units: [CompilationUnit] = []
        // Units may share a list of ranges.
        var rangesLeft = Self.mostRanges
        var current: OpaquePointer?
        while true {
            var next: OpaquePointer?
            var version: Dwarf_Half = 0
            var kind: UInt8 = 0
            var die = Dwarf_Die()
            // No room for a sub-entry is given, so that libdw does not open the .dwo file of a skeleton unit.
            guard dwarf_get_units(dwarf, current, &next, &version, &kind, &die, nil) == 0 else { break }
            current = next
            guard Int(kind) == Int(DW_UT_compile) || Int(kind) == Int(DW_UT_skeleton) else { continue }
            let unit = CompilationUnit(entry: DebuggingEntry(raw: die), mostRanges: rangesLeft)
            rangesLeft -= unit.ranges.count
            if rangesLeft <= 0 { isIncomplete = true }
            if Int(kind) == Int(DW_UT_compile) { units.append(unit) } else { skeletons.append(unit) }
        }
        loadedUnits = units
        return units
    }

    private var unitRanges: [UnitRange] {
        if let loadedRanges { return loadedRanges }
        var result: [UnitRange] = []
        for (index, unit) in units.enumerated() {
            for range in unit.ranges {
                result.append(UnitRange(start: range.lowerBound, end: range.upperBound, unit: index))
            }
        }
        result.sort { $0.start < $1.start }
        loadedRanges = result
        return result
    }

    // MARK: Questions

    /// Whether it tells of no code at all.
    package var isEmpty: Bool { units.isEmpty && skeletons.isEmpty }

    /// The prototypes of the functions that start at `fileAddresses`. Only units that contain one are read.
    package func prototypes(for fileAddresses: some Sequence<UInt64>) -> [UInt64: FunctionPrototype] {
        let sorted = fileAddresses.sorted()
        var left = Set(sorted)
        var result: [UInt64: FunctionPrototype] = [:]
        // In what a compiler writes each address lies in one unit, and each entry is seen twice at most.
        var stepsLeft = 4 * sorted.count + (1 << 16)
        var entriesLeft = 2 * mostEntries + 1024
        for unit in units where !left.isEmpty {
            guard stepsLeft > 0, entriesLeft > 0 else {
                isIncomplete = true
                break
            }
            // Functions without any description of their arguments.
            if unit.language == .assembler { continue }
            var wanted: Set<UInt64>
            if unit.ranges.isEmpty {
                // It does not say where it lies. All are handed over and back, not copied.
                wanted = left
                left = []
            } else {
                wanted = unit.contained(of: sorted, among: left, steps: &stepsLeft)
                guard !wanted.isEmpty else { continue }
                left.subtract(wanted)
            }
            var reader = UnitReader(unit: unit, wanted: wanted, abi: abi, entriesLeft: entriesLeft)
            wanted = []
            let found = reader.prototypes()
            entriesLeft = reader.entriesLeft
            if left.isEmpty { left = reader.takeNotFound() } else { left.formUnion(reader.takeNotFound()) }
            result.merge(found) { first, _ in first }
        }
        for unit in skeletons where !left.isEmpty && stepsLeft > 0 {
            guard unit.ranges.isEmpty || !unit.contained(of: sorted, among: left, steps: &stepsLeft).isEmpty,
                let name = unit.entry.string(Int(DW_AT_dwo_name)) ?? unit.entry.string(Int(DW_AT_GNU_dwo_name))
            else { continue }
            separateFiles.insert(name)
        }
        return result
    }

    /// The source line of the instruction at `fileAddress`.
    package func sourceLocation(of fileAddress: UInt64) -> (file: String, line: Int)? {
        let ranges = unitRanges
        let end = ranges.partitioningIndex { $0.start > fileAddress }
        // Ranges of different units should not overlap; where they do, the nearest few are tried.
        for range in ranges[max(0, end - 8)..<end].reversed() where fileAddress < range.end {
            var die = units[range.unit].entry.raw
            guard let line = dwarf_getsrc_die(&die, fileAddress) else { continue }
            var number: Int32 = 0
            guard dwarf_lineno(line, &number) == 0, number > 0,
                let file = dwarf_linesrc(line, nil, nil)
            else { continue }
            return (String(cString: file), Int(number))
        }
        return nil
    }
}
