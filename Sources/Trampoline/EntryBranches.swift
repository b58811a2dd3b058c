import MachineCode
import Search

/// The long branches of a module that matter to the entries of its functions, found in one pass over its text.
///
/// Every byte of the text has a bit in two bitmaps: whether it lies among those that some function's jump would
/// overwrite, and whether a function starts there. So the pass costs the same for one function and for all.
package struct EntryBranches: Sendable {
    /// A function: where it starts, the bytes behind the first of its jump, where it ends, and the bytes before it that may
    /// become a jump.
    package struct Entry: Sendable {
        package var address: UInt64
        package var interior: Range<UInt64>
        package var end: UInt64
        package var padding: Range<UInt64>

        package init(address: UInt64, interior: Range<UInt64>, end: UInt64, padding: Range<UInt64>) {
            self.address = address
            self.interior = interior
            self.end = end
            self.padding = padding
        }

        /// Where the jump is made.
        var patchAddress: UInt64 { interior.lowerBound - 1 }
    }

    /// Addresses among the bytes that a function's jump would overwrite, or in the padding before it, which are branched to
    /// or pointed to, by function.
    package private(set) var entered: [UInt64: [UInt64]] = [:]
    /// Where a function jumps back to its own entry, by function.
    package private(set) var loops: [UInt64: UInt64] = [:]

    /// An address among those bytes that code refers to other than by a branch, by function.
    package private(set) var referenced: [UInt64: UInt64] = [:]

    /// A call whose caller looks at the flags that the function leaves, by function: no compiler makes such.
    package private(set) var flagsRead: [UInt64: UInt64] = [:]

    package init() {}

    /// Adds the branches of `text`, which starts at `base`.
    /// - `entries`: all functions of the module, by ascending address.
    package mutating func add(_ text: UnsafeRawBufferPointer, base: UInt64, entries: [Entry]) {
        guard let first = entries.first, let last = entries.last else { return }
        // Targets may lie in another range of the module's code.
        let low = first.address
        guard last.interior.upperBound > low, last.interior.upperBound - low < 1 << 34 else { return }
        let count = Int(last.interior.upperBound - low)
        var interiors = Bitmap(count: count)
        var starts = Bitmap(count: count)
        for entry in entries {
            starts.insert(Int(entry.address - low))
            if entry.interior.lowerBound - 1 > entry.address { starts.insert(Int(entry.interior.lowerBound - 1 - low)) }
            for address in entry.interior { interiors.insert(Int(address - low)) }
            for address in entry.padding where address >= low { interiors.insert(Int(address - low)) }
        }
        let found = Self.scan(text, base: base, Targets(low: low, count: count, interiors: interiors, starts: starts))
        for reference in found.references {
            // The address of the first byte is a pointer to the function; a load of it reads what a jump overwrites.
            if let owner = Self.owner(of: reference.target, in: entries), reference.target < owner.interior.upperBound,
                reference.target >= owner.interior.lowerBound - (reference.isLoad ? 1 : 0)
            {
                referenced[owner.address] = reference.target
            }
            enterPadding(reference.target, entries)
        }
        for call in Architecture.plausible(found.flagged, in: text, base: base) { flagsRead[call.target] = call.address }
        for branch in Architecture.plausible(found.hits, in: text, base: base) {
            enter(branch.target, entries)
        }
        // Most are calls at the end of another function.
        let own = found.jumps.filter { jump in
            guard let owner = Self.owner(of: jump.target, in: entries) else { return false }
            return jump.address >= owner.address && jump.address < owner.end
        }
        for jump in Architecture.plausible(own, in: text, base: base) {
            if let owner = Self.owner(of: jump.target, in: entries) { loops[owner.address] = jump.address }
        }
    }

    /// Adds where the jump tables of functions lead, in their own first bytes.
    /// - `read`: a number of so many bytes that the module has at an address.
    package mutating func addTables(
        _ text: UnsafeRawBufferPointer, base: UInt64, entries: [Entry], read: (_ address: UInt64, _ count: Int) -> UInt64?
    ) {
        let users = Self.tableUsers(text, base: base, entries: entries)
        let tables = Set(users.lazy.flatMap(\.tables).map(\.address))
        for (owner, jump, own) in users {
            for table in own {
                Self.forEachEntry(of: table, into: owner.address..<owner.end, others: tables, read: read) { target in
                    if owner.interior.contains(target) {
                        entered[owner.address, default: []].append(target)
                    } else if target == owner.address || target == owner.patchAddress {
                        loops[owner.address] = jump
                    }
                }
            }
        }
    }

    /// A function that jumps through a table, as far as can be seen, and the tables that it may jump through.
    private typealias TableUser = (owner: Entry, jump: UInt64, tables: [JumpTable])

    private static func tableUsers(_ text: UnsafeRawBufferPointer, base: UInt64, entries: [Entry]) -> [TableUser] {
        // Read only, for as long as this call.
        nonisolated(unsafe) let text = text
        let parts = Parallel.map(0..<(text.count + bytesAtOnce - 1) / bytesAtOnce, chunk: 1) { part -> [TableUser] in
            let start = part * bytesAtOnce
            // A jump may lie across the end of a part.
            let end = min(text.count, start + bytesAtOnce + 1)
            let jumps = Architecture.tableJumps(in: UnsafeRawBufferPointer(rebasing: text[start..<end]), base: base + UInt64(start))
            var users: [TableUser] = []
            for jump in jumps {
                guard let owner = owner(of: jump, in: entries), jump < owner.end, users.last?.owner.address != owner.address else {
                    continue
                }
                users.append((owner, jump, Architecture.tables(in: text, base: base, of: owner.address..<owner.end)))
            }
            return users
        }
        return parts.flatMap { $0 }
    }

    private static let mostTableEntries = 1 << 12

    /// Calls `visit` for each entry of a table, as far as they lead into the function and no other table begins.
    private static func forEachEntry(
        of table: JumpTable, into function: Range<UInt64>, others: Set<UInt64>, read: (_ address: UInt64, _ count: Int) -> UInt64?,
        _ visit: (UInt64) -> Void
    ) {
        let size = table.entrySize
        for index in 0..<mostTableEntries {
            let place = table.address &+ UInt64(index * size)
            guard index == 0 || !others.contains(place), let entry = read(place, size) else { return }
            let target = table.isAbsolute ? entry : table.address &+ UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: entry)))
            guard function.contains(target) else { return }
            visit(target)
        }
    }

    /// Adds an address that is entered: the target of a branch, a label, what a pointer points to.
    package mutating func enter(_ target: UInt64, _ entries: [Entry]) {
        if let owner = Self.owner(of: target, in: entries), owner.interior.contains(target) {
            entered[owner.address, default: []].append(target)
        }
        enterPadding(target, entries)
    }

    /// Whose padding an address lies in: the next function's.
    private mutating func enterPadding(_ target: UInt64, _ entries: [Entry]) {
        let next = Self.index(above: target, in: entries)
        guard next < entries.count, entries[next].padding.contains(target) else { return }
        entered[entries[next].address, default: []].append(target)
    }

    /// Where branches are looked for, as offsets from `low`.
    private struct Targets: Sendable {
        var low: UInt64
        var count: Int
        var interiors: Bitmap
        var starts: Bitmap
    }

    /// What may be branches to entries and references to their bytes.
    private struct Found: Sendable {
        var hits: [CodeBranch] = []
        var jumps: [CodeBranch] = []
        var flagged: [CodeBranch] = []
        var references: [CodeReference] = []
    }

    private static let bytesAtOnce = 1 << 20

    /// Looks at every byte, on all processors.
    private static func scan(_ text: UnsafeRawBufferPointer, base: UInt64, _ targets: Targets) -> Found {
        // Read only, for as long as this call.
        nonisolated(unsafe) let text = text
        let parts = Parallel.map(0..<(text.count + bytesAtOnce - 1) / bytesAtOnce, chunk: 1) { part in
            let start = part * bytesAtOnce
            return scan(text, base: base, in: start..<min(text.count, start + bytesAtOnce), targets)
        }
        return parts.reduce(into: Found()) { all, part in
            all.hits += part.hits
            all.jumps += part.jumps
            all.flagged += part.flagged
            all.references += part.references
        }
    }

    private static func scan(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ targets: Targets
    ) -> Found {
        var found = Found()
        let (low, count) = (targets.low, UInt64(targets.count))
        targets.interiors.withUnsafeBits { interiors in
            targets.starts.withUnsafeBits { starts in
                Architecture.forEachBranch(text, base: base, in: offsets) { branch in
                    let offset = branch.target &- low
                    guard offset < count else { return }
                    if interiors.contains(Int(offset)) {
                        found.hits.append(branch)
                    } else if !branch.isCall, starts.contains(Int(offset)) {
                        found.jumps.append(branch)
                    } else if branch.isCall, starts.contains(Int(offset)),
                        Architecture.readsFlags(text, behind: branch, base: base)
                    {
                        found.flagged.append(branch)
                    }
                }
                Architecture.forEachReference(text, base: base, in: offsets) { reference in
                    let offset = reference.target &- low
                    guard offset < count else { return }
                    if interiors.contains(Int(offset)) || reference.isLoad && starts.contains(Int(offset)) {
                        found.references.append(reference)
                    }
                }
            }
        }
        return found
    }

    /// The last function that starts at or before an address.
    private static func owner(of address: UInt64, in entries: [Entry]) -> Entry? {
        let next = index(above: address, in: entries)
        return next > 0 ? entries[next - 1] : nil
    }

    /// The first function that starts behind an address.
    private static func index(above address: UInt64, in entries: [Entry]) -> Int {
        entries.partitioningIndex { $0.address > address }
    }
}

/// A bit for each of `count` numbers.
private struct Bitmap: Sendable {
    private var words: [UInt64]

    init(count: Int) { words = Array(repeating: 0, count: count / 64 + 1) }

    mutating func insert(_ number: Int) { words[number >> 6] |= 1 << UInt64(number & 63) }

    /// The bits, for tests without a bounds check; numbers must be below `count`.
    func withUnsafeBits<Result>(_ body: (Bits) -> Result) -> Result {
        words.withUnsafeBufferPointer { body(Bits(words: $0)) }
    }

    struct Bits {
        let words: UnsafeBufferPointer<UInt64>
        @inline(__always)
        func contains(_ number: Int) -> Bool { words[number >> 6] & 1 << UInt64(number & 63) != 0 }
    }
}
