import CLinux
import LinuxProcess
import MachineCode
import Trampoline

/// Code regions of an fsession in a process, read from outside: this one's, another's, or one's that is gone.
///
/// The process can make whatever it likes look like one: what is read here says nothing about who traces it
/// (`SessionClaim`), and is read up to a limit, because the process may be stopped meanwhile.
package enum ForeignCode {
    /// A region's head.
    struct Head {
        var base: UInt64
        var size: UInt64
        var controller: Int32
        var startTime: UInt64
        var used: UInt64

        /// Whether a process runs that has the id and the start of the controller that made the region.
        var names: Bool { controller > 0 && ControllerIdentity.startTime(of: controller) == startTime }
    }

    /// Bytes of all regions of a process that are read, what is in them, and for how long.
    private static let readLimit = 512 << 20
    private static let recordLimit = 1 << 20
    private static let timeLimit: UInt64 = 2_000_000_000

    /// The heads of all regions of fsessions in a process.
    static func heads(in map: MemoryMap, _ memory: borrowing ProcessMemory) -> [Head] {
        var pages = TouchedPages(of: memory.pid)
        return heads(in: map.regions, memory, &pages)
    }

    private static func heads(
        in mappings: [MemoryMap.Region], _ memory: borrowing ProcessMemory, _ pages: inout TouchedPages
    ) -> [Head] {
        var heads: [Head] = []
        for mapping in mappings
        where mapping.permissions.contains(.execute) && !mapping.permissions.contains(.write) && mapping.inode == 0 {
            // The kernel joins mappings that touch.
            var rest = mapping.range
            while let base = pages.first(in: rest) {
                let found = head(at: base, limit: rest.upperBound - base, memory)
                if let found { heads.append(found) }
                rest = (base + (found?.size ?? TouchedPages.size))..<rest.upperBound
                if rest.isEmpty { break }
            }
        }
        return heads
    }

    private static func head(at base: UInt64, limit: UInt64, _ memory: borrowing ProcessMemory) -> Head? {
        guard let bytes = try? memory.read(at: base, count: CodeRegion.headSize) else { return nil }
        var reader = ByteReader(bytes[...])
        guard reader.u64() == CodeRegion.magic, reader.u32() == 1, let controller = reader.u32(),
            let startTime = reader.u64(), let used = reader.u64(), let size = reader.u64(),
            size >= 4096, size & 4095 == 0, size <= limit
        else { return nil }
        return Head(
            base: base, size: size, controller: Int32(bitPattern: controller), startTime: startTime,
            used: min(used, size))
    }

    /// The head of the region that holds `address`, nil if that is no code of an fsession.
    private static func head(
        of address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> Head? {
        guard let mapping = (try? MemoryMap(pid: pid))?.region(at: address) else { return nil }
        var pages = TouchedPages(of: pid)
        return heads(in: [mapping], memory, &pages).first { $0.base <= address && address - $0.base < $0.size }
    }

    /// Where the code of fsessions lies in a process, and whose it is: ours as well.
    static func regions(in pid: Int32, _ memory: borrowing ProcessMemory) -> [(range: Range<UInt64>, controller: Int32)] {
        guard let map = try? MemoryMap(pid: pid) else { return [] }
        return heads(in: map, memory).map { ($0.base..<($0.base + $0.size), $0.controller) }
    }

    /// The records of the region that holds `address`, each with its own address.
    static func records(
        around address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> [(address: UInt64, record: CodeRecord)] {
        guard let head = head(of: address, in: pid, memory) else { return [] }
        var records: [(UInt64, CodeRecord)] = []
        forEachRecord(of: [head], memory) { _, address, record in records.append((address, record)) }
        return records
    }

    /// Visits the records of regions, up to the limit.
    private static func forEachRecord(
        of heads: [Head], _ memory: borrowing ProcessMemory, _ visit: (Head, UInt64, CodeRecord) -> Void
    ) {
        let deadline = clinux_monotonic() + timeLimit
        var bytesLeft = readLimit
        var recordsLeft = recordLimit
        for head in heads {
            guard head.used <= UInt64(bytesLeft) else { continue }
            bytesLeft -= Int(head.used)
            guard let bytes = try? memory.read(at: head.base, count: Int(head.used)) else { continue }
            var offset = CodeRegion.headSize
            while offset + CodeRecord.headSize <= bytes.count {
                var size = 0
                // Moved entries lie between the records.
                guard let record = CodeRecord(decoding: bytes[offset...], size: &size) else {
                    offset += 64
                    if offset % (1 << 20) == 0, clinux_monotonic() > deadline { return }
                    continue
                }
                recordsLeft -= 1
                guard recordsLeft > 0, clinux_monotonic() < deadline else { return }
                visit(head, head.base + UInt64(offset), record)
                offset += size.roundedUp(to: 64)
            }
        }
    }

    /// The patches of all fsessions that are in place in a process, one's own included.
    static func patches(in pid: Int32, _ memory: borrowing ProcessMemory) -> [LeftPatch] {
        guard let map = try? MemoryMap(pid: pid) else { return [] }
        var found: [LeftPatch] = []
        forEachRecord(of: heads(in: map, memory), memory) { head, _, record in
            guard record.kind == .trampoline, let patch = LeftPatch(at: record.function, original: record.originalBytes),
                let image = patch.image(read: { try? memory.read(at: record.function, count: $0) })
            else { return }
            // Only where it leads into this region now.
            if image >= head.base, image - head.base < head.size { found.append(patch) }
        }
        return found
    }
}
