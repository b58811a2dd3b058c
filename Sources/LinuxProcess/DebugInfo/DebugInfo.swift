import CLibDW
import Glibc

/// The DWARF of one ELF file, or of the separate debug file that belongs to one; read as far as it is asked for.
///
/// Addresses are those in the file. Units in separate `.dwo` files are not read: what they describe is not found.
/// One thread at a time: libdw keeps its state here.
package final class DebugInfo {
    let dwarf: OpaquePointer
    private let elf: OpaquePointer
    private let descriptor: Int32
    private let isX86_64: Bool
    private var loadedUnits: [CompilationUnit]?
    private var loadedRanges: [UnitRange]?

    package init(path: String) throws(DebugInfoError) {
        // O_NONBLOCK: a path that turns out to be a FIFO must not block.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .cannotOpen(path: path, errno: errno) }
        do throws(DebugInfoError) {
            (elf, dwarf) = try Self.start(descriptor, path: path)
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        var header = GElf_Ehdr()
        isX86_64 = gelf_getehdr(elf, &header) != nil && header.e_machine == UInt16(EM_X86_64)
    }

    deinit {
        dwarf_end(dwarf)
        elf_end(elf)
        close(descriptor)
    }

    private static func start(
        _ descriptor: Int32, path: String
    ) throws(DebugInfoError) -> (elf: OpaquePointer, dwarf: OpaquePointer) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotOpen(path: path, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notELF(path: path) }
        _ = elf_version(UInt32(EV_CURRENT))
        guard let elf = elf_begin(descriptor, ELF_C_READ_MMAP, nil) else { throw .notELF(path: path) }
        do throws(DebugInfoError) {
            guard elf_kind(elf) == ELF_K_ELF else { throw .notELF(path: path) }
            var header = GElf_Ehdr()
            guard gelf_getehdr(elf, &header) != nil else {
                throw .unreadable(path: path, reason: String(cString: elf_errmsg(-1)))
            }
            guard header.e_type != UInt16(ET_REL) else { throw .notLinked(path: path) }
            guard let dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nil) else {
                let code = dwarf_errno()
                // libdw has no name for the code that says "no DWARF information".
                let reason = dwarf_errmsg(code).map { String(cString: $0) } ?? "unknown error"
                throw reason.hasPrefix("no DWARF")
                    ? .noDebugInformation(path: path) : .unreadable(path: path, reason: reason)
            }
            return (elf, dwarf)
        } catch {
            elf_end(elf)
            throw error
        }
    }

    // MARK: Units

    /// One address range of a unit.
    struct UnitRange {
        var start: UInt64
        var end: UInt64
        var unit: Int
    }

    /// All compilation units with code or without ranges; only their first entries have been read.
    var units: [CompilationUnit] {
        if let loadedUnits { return loadedUnits }
        var units: [CompilationUnit] = []
        var current: OpaquePointer?
        while true {
            var next: OpaquePointer?
            var version: Dwarf_Half = 0
            var kind: UInt8 = 0
            var die = Dwarf_Die()
            // No room for a sub-entry is given, so that libdw does not open the .dwo file of a skeleton unit.
            guard dwarf_get_units(dwarf, current, &next, &version, &kind, &die, nil) == 0 else { break }
            current = next
            if Int(kind) == Int(DW_UT_compile) {
                units.append(CompilationUnit(entry: DebuggingEntry(raw: die)))
            }
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
    package var isEmpty: Bool { units.isEmpty }

    /// The prototypes of the functions that start at `fileAddresses`. Only units that contain one are read.
    package func prototypes(for fileAddresses: some Sequence<UInt64>) -> [UInt64: FunctionPrototype] {
        let sorted = fileAddresses.sorted()
        var result: [UInt64: FunctionPrototype] = [:]
        for unit in units {
            var wanted = unit.contained(of: sorted)
            if !result.isEmpty { wanted = wanted.filter { result[$0] == nil } }
            guard !wanted.isEmpty else { continue }
            var reader = UnitReader(unit: unit, wanted: wanted, isX86_64: isX86_64)
            result.merge(reader.prototypes()) { first, _ in first }
        }
        return result
    }

    /// The source line of the instruction at `fileAddress`.
    package func sourceLocation(of fileAddress: UInt64) -> (file: String, line: Int)? {
        let ranges = unitRanges
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].start <= fileAddress { low = middle + 1 } else { high = middle }
        }
        // Ranges of different units should not overlap; where they do, the nearest few are tried.
        for range in ranges[max(0, low - 8)..<low].reversed() where fileAddress < range.end {
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
