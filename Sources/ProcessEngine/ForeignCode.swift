import LinuxProcess
import Trampoline

/// Code regions of an fsession in a process, read from outside: this one's, another's, or one's that is gone.
package enum ForeignCode {
    /// A region's head.
    struct Head {
        var base: UInt64
        var controller: Int32
        var startTime: UInt64
        var used: UInt64

        /// Whether the controller that made the region still runs.
        var isAlive: Bool { ControllerIdentity.startTime(of: controller) == startTime }
    }

    /// The head of the region that holds `address`, nil if that is no code of an fsession.
    static func head(
        of address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> Head? {
        (try? MemoryMap(pid: pid))?.region(at: address).flatMap { head(in: $0, memory) }
    }

    private static func head(in region: MemoryMap.Region, _ memory: borrowing ProcessMemory) -> Head? {
        guard !region.permissions.contains(.write),
            let bytes = try? memory.read(at: region.range.lowerBound, count: CodeRegion.headSize)
        else { return nil }
        var reader = ByteReader(bytes[...])
        guard reader.u64() == CodeRegion.magic, reader.u32() == 1, let controller = reader.u32(),
            let startTime = reader.u64(), let used = reader.u64()
        else { return nil }
        return Head(
            base: region.range.lowerBound, controller: Int32(bitPattern: controller), startTime: startTime,
            used: min(used, UInt64(region.range.count)))
    }

    /// Where the code of fsessions lies in a process, and whose it is: ours as well.
    static func regions(in pid: Int32, _ memory: borrowing ProcessMemory) -> [(range: Range<UInt64>, controller: Int32)] {
        guard let map = try? MemoryMap(pid: pid) else { return [] }
        return map.regions.compactMap { region in
            guard region.permissions.contains(.execute), !region.permissions.contains(.write), region.inode == 0 else {
                return nil
            }
            return head(in: region, memory).map { (region.range, $0.controller) }
        }
    }

    /// The records of the region that holds `address`, each with its own address.
    static func records(
        around address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> [(address: UInt64, record: CodeRecord)] {
        guard let head = head(of: address, in: pid, memory),
            let bytes = try? memory.read(at: head.base, count: Int(head.used))
        else { return [] }
        var records: [(UInt64, CodeRecord)] = []
        var offset = CodeRegion.headSize
        while offset + CodeRecord.headSize <= bytes.count {
            var size = 0
            if let record = CodeRecord(decoding: bytes[offset...], size: &size) {
                records.append((head.base + UInt64(offset), record))
                offset += size.roundedUp(to: 64)
            } else {
                // Moved entries lie between the records.
                offset += 64
            }
        }
        return records
    }

    /// What the patches of all fsessions that are in place in a process overwrote, one's own included.
    static func overwritten(in pid: Int32, _ memory: borrowing ProcessMemory) -> [CodeRange] {
        guard let map = try? MemoryMap(pid: pid) else { return [] }
        var found: [CodeRange] = []
        for region in map.regions
        where region.permissions.contains(.execute) && !region.permissions.contains(.write) {
            let base = region.range.lowerBound
            guard head(of: base, in: pid, memory) != nil else { continue }
            for (_, record) in records(around: base, in: pid, memory)
            where record.kind == .trampoline && record.originalBytes.count == 5 {
                // Only where a jump into this region stands now.
                guard let now = try? memory.read(at: record.function, count: 5), now[0] == 0xE9 else { continue }
                let distance = now[1...4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                let target = record.function &+ 5 &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
                if region.range.contains(target) {
                    found.append(CodeRange(address: record.function, bytes: record.originalBytes))
                }
            }
        }
        return found
    }
}
