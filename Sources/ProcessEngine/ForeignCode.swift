import LinuxProcess
import Trampoline

/// Code regions of an fsession in a process, read from outside: this one's, another's, or one's that is gone.
package enum ForeignCode {
    /// A region's head.
    struct Head {
        var base: UInt64
        var size: UInt64
        var controller: Int32
        var startTime: UInt64
        var used: UInt64

        /// Whether the controller that made the region still runs.
        var isAlive: Bool { ControllerIdentity.startTime(of: controller) == startTime }
    }

    /// The heads of all regions of fsessions that lie in a mapping: the kernel joins mappings that touch.
    static func heads(in mapping: MemoryMap.Region, _ memory: borrowing ProcessMemory) -> [Head] {
        guard mapping.permissions.contains(.execute), !mapping.permissions.contains(.write), mapping.inode == 0 else {
            return []
        }
        var heads: [Head] = []
        var base = mapping.range.lowerBound
        while base < mapping.range.upperBound {
            if let head = head(at: base, limit: mapping.range.upperBound - base, memory) {
                heads.append(head)
                base += head.size
            } else {
                base += 4096
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
    static func head(
        of address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> Head? {
        guard let mapping = (try? MemoryMap(pid: pid))?.region(at: address) else { return nil }
        return heads(in: mapping, memory).first { $0.base <= address && address - $0.base < $0.size }
    }

    /// Where the code of fsessions lies in a process, and whose it is: ours as well.
    static func regions(in pid: Int32, _ memory: borrowing ProcessMemory) -> [(range: Range<UInt64>, controller: Int32)] {
        guard let map = try? MemoryMap(pid: pid) else { return [] }
        return map.regions.flatMap { heads(in: $0, memory) }.map { ($0.base..<($0.base + $0.size), $0.controller) }
    }

    /// The records of the region that holds `address`, each with its own address.
    static func records(
        around address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory
    ) -> [(address: UInt64, record: CodeRecord)] {
        head(of: address, in: pid, memory).map { records(of: $0, memory) } ?? []
    }

    private static func records(
        of head: Head, _ memory: borrowing ProcessMemory
    ) -> [(address: UInt64, record: CodeRecord)] {
        guard let bytes = try? memory.read(at: head.base, count: Int(head.used)) else { return [] }
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
        for head in map.regions.flatMap({ heads(in: $0, memory) }) {
            for (_, record) in records(of: head, memory)
            where record.kind == .trampoline && record.originalBytes.count >= 5 {
                // Only where a jump into this region stands now.
                guard let now = try? memory.read(at: record.function, count: 5), now[0] == 0xE9 else { continue }
                let distance = now[1...4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                let target = record.function &+ 5 &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
                if target >= head.base, target - head.base < head.size {
                    found.append(CodeRange(address: record.function, bytes: Array(record.originalBytes)))
                }
            }
        }
        return found
    }
}
