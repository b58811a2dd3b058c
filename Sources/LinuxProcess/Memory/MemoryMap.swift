import Glibc
import Search

/// A parsed /proc/PID/maps.
package struct MemoryMap: Sendable, Equatable {
    package struct Permissions: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let read = Permissions(rawValue: 1)
        package static let write = Permissions(rawValue: 2)
        package static let execute = Permissions(rawValue: 4)
        package static let shared = Permissions(rawValue: 8)
    }

    /// One line.
    package struct Region: Sendable, Equatable {
        package var range: Range<UInt64>
        package var permissions: Permissions
        /// Offset in the file.
        package var offset: UInt64
        package var deviceMajor: UInt32
        package var deviceMinor: UInt32
        package var inode: UInt64
        /// A file's path, or a name such as "[heap]"; empty for anonymous memory.
        package var path: String
        /// The file's name is gone (" (deleted)").
        package var isDeleted: Bool

        package init(
            range: Range<UInt64>, permissions: Permissions, offset: UInt64 = 0, deviceMajor: UInt32 = 0,
            deviceMinor: UInt32 = 0, inode: UInt64 = 0, path: String = "", isDeleted: Bool = false
        ) {
            self.range = range
            self.permissions = permissions
            self.offset = offset
            self.deviceMajor = deviceMajor
            self.deviceMinor = deviceMinor
            self.inode = inode
            self.path = path
            self.isDeleted = isDeleted
        }
    }

    /// By ascending address.
    package var regions: [Region]
    /// Where the heap (brk) starts, whether it has any memory yet or not; nil when it is not known.
    package var heapStart: UInt64?

    package init(regions: [Region], heapStart: UInt64? = nil) {
        self.regions = regions
        self.heapStart = heapStart
    }

    package init(pid: pid_t) throws(ProcessError) {
        do { self.init(parsing: try WholeFile.bytes("/proc/\(pid)/maps")) } catch {
            switch error {
            case .file(_, _, ENOENT), .file(_, _, ESRCH): throw .noSuchProcess(pid: pid)
            case .file(_, _, EACCES), .file(_, _, EPERM): throw .notPermitted(pid: pid, detail: permissionDetail(pid))
            default: throw error
            }
        }
        // start_brk is field 47 of stat; the fields after the name, which may hold anything, count from 3.
        if let stat = try? WholeFile.text("/proc/\(pid)/stat"), let end = stat.lastIndex(of: ")") {
            let fields = stat[stat.index(after: end)...].split(separator: " ")
            if fields.count > 44, let start = UInt64(fields[44]), start != 0 { heapStart = start }
        }
    }

    /// Parses the text of a maps file; a line that is not one is left out.
    package init(parsing bytes: [UInt8]) {
        regions = bytes.split(separator: UInt8(ascii: "\n")).compactMap { Region(parsing: $0) }
    }

    /// The region that holds an address.
    package func region(at address: UInt64) -> Region? {
        let index = regions.partitioningIndex { $0.range.upperBound > address }
        return index < regions.count && regions[index].range.contains(address) ? regions[index] : nil
    }
}

extension MemoryMap.Region {
    init?(parsing line: ArraySlice<UInt8>) {
        var position = line.startIndex
        func number(radix: UInt64, end: Character) -> UInt64? {
            var value: UInt64 = 0
            let start = position
            while position < line.endIndex, line[position] != end.asciiValue {
                let byte = line[position]
                let digit: UInt64
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
                case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = UInt64(byte - UInt8(ascii: "a")) + 10
                default: return nil
                }
                let (product, overflow) = value.multipliedReportingOverflow(by: radix)
                guard digit < radix, !overflow else { return nil }
                value = product &+ digit
                position += 1
            }
            guard position > start, position < line.endIndex else { return nil }
            position += 1
            return value
        }
        guard let start = number(radix: 16, end: "-"), let end = number(radix: 16, end: " "), start < end,
            line.endIndex - position >= 5
        else { return nil }
        range = start..<end
        let letters = line[position..<position + 4]
        permissions = []
        if letters.contains(UInt8(ascii: "r")) { permissions.insert(.read) }
        if letters.contains(UInt8(ascii: "w")) { permissions.insert(.write) }
        if letters.contains(UInt8(ascii: "x")) { permissions.insert(.execute) }
        if letters.last == UInt8(ascii: "s") { permissions.insert(.shared) }
        position += 5
        guard let offset = number(radix: 16, end: " "), let major = number(radix: 16, end: ":"),
            let minor = number(radix: 16, end: " "), let inode = number(radix: 10, end: " ")
        else { return nil }
        self.offset = offset
        deviceMajor = UInt32(truncatingIfNeeded: major)
        deviceMinor = UInt32(truncatingIfNeeded: minor)
        self.inode = inode
        var name = line[position...].drop { $0 == UInt8(ascii: " ") }
        let deleted = Array(" (deleted)".utf8)
        isDeleted = inode != 0 && name.count > deleted.count && name.suffix(deleted.count).elementsEqual(deleted)
        if isDeleted { name = name.dropLast(deleted.count) }
        path = name.contains(UInt8(ascii: "\\")) ? Self.unescaped(name) : String(decoding: name, as: UTF8.self)
    }

    /// The kernel writes a line feed in a path as \012.
    private static func unescaped(_ name: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = []
        var rest = name
        let escape = Array("\\012".utf8)
        while let first = rest.first {
            if rest.starts(with: escape) {
                bytes.append(UInt8(ascii: "\n"))
                rest = rest.dropFirst(escape.count)
            } else {
                bytes.append(first)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension MemoryMap {
    /// The end of the address space of a program with 47 address bits, without its last page.
    package static let highestAddress: UInt64 = 0x7fff_ffff_f000

    /// Free address space of `size` bytes, as near as it gets to `address`: every byte of it is at most
    /// `distance` away from `address`. Room for the heap and the stack to grow is left when there is enough.
    package func gap(
        near address: UInt64, size: UInt64, within distance: UInt64, granularity: UInt64 = 4096
    ) -> UInt64? {
        gap(near: address..<address + 1, size: size, within: distance, granularity: granularity)
    }

    /// Free address space that every byte of `code` can reach: for a module's trampolines.
    package func gap(
        near code: Range<UInt64>, size: UInt64, within distance: UInt64, granularity: UInt64 = 4096
    ) -> UInt64? {
        guard size > 0, !code.isEmpty else { return nil }
        return gap(near: code, size: size, within: distance, granularity: granularity, reserve: true)
            ?? gap(near: code, size: size, within: distance, granularity: granularity, reserve: false)
    }

    private func gap(
        near code: Range<UInt64>, size: UInt64, within distance: UInt64, granularity: UInt64, reserve: Bool
    ) -> UInt64? {
        let last = code.upperBound - 1
        let low = max(last >= distance ? last - distance : 0, Self.lowestAddress)
        let reach = code.lowerBound.addingReportingOverflow(distance)
        let high = min(reach.overflow ? .max : reach.partialValue, Self.highestAddress)
        guard low < high, high - low >= size else { return nil }

        var best: (address: UInt64, distance: UInt64)?
        func consider(_ free: Range<UInt64>) {
            let start = (max(free.lowerBound, low) + granularity - 1) / granularity * granularity
            let end = min(free.upperBound, high)
            guard end > start, end - start >= size else { return }
            let top = (end - size) / granularity * granularity
            guard top >= start else { return }
            // The end of the free range that lies nearest to the code.
            let candidate = end <= code.lowerBound ? top : start
            let away = candidate > code.lowerBound ? candidate - code.lowerBound : code.lowerBound - candidate
            if best == nil || away < (best?.distance ?? .max) { best = (candidate, away) }
        }
        var free = Self.lowestAddress
        var occupied = regions.map { ($0.range, $0.path) }
        if reserve, let heapStart, heapStart < Self.highestAddress - (2 << 30) {
            occupied.append((heapStart..<heapStart + (1 << 30), ""))
            occupied.sort { $0.0.lowerBound < $1.0.lowerBound }
        }
        for (range, path) in occupied where range.lowerBound < Self.highestAddress {
            var start = range.lowerBound
            var end = range.upperBound
            if path.hasPrefix("[stack") {
                // The stack's own guard gap is 1 MiB; the default limit of its size is 8 MiB.
                let room: UInt64 = reserve ? 64 << 20 : 1 << 20
                start = start > room ? start - room : 0
            } else if path == "[heap]", reserve {
                end += 1 << 30
            }
            if start > free { consider(free..<start) }
            free = max(free, end)
        }
        if free < Self.highestAddress { consider(free..<Self.highestAddress) }
        return best?.address
    }

    /// vm.mmap_min_addr, and never the first 64 KiB.
    private static let lowestAddress: UInt64 = {
        let text = (try? WholeFile.text("/proc/sys/vm/mmap_min_addr")) ?? ""
        let number = UInt64(text.prefix { $0.isNumber }) ?? 65536
        return max(65536, (number + 4095) / 4096 * 4096)
    }()
}
