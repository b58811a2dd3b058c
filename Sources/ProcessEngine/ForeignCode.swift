import LinuxProcess

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
        guard let region = (try? MemoryMap(pid: pid))?.region(at: address), !region.permissions.contains(.write),
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

    /// The process id of the fsession whose code `address` is in.
    static func controller(of address: UInt64, in pid: Int32, _ memory: borrowing ProcessMemory) -> Int32? {
        head(of: address, in: pid, memory)?.controller
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
}
