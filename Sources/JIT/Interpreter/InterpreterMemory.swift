import BPF

/// A range of host memory that a program may touch. The addresses are real: what the program reads and writes is
/// what the host has there, so whoever makes a region keeps its memory alive while the program runs.
package struct MemoryRegion: Hashable, Sendable {
    package let address: UInt64
    package let byteCount: Int
    package let isWritable: Bool

    package init(address: UInt64, byteCount: Int, isWritable: Bool = true) {
        self.address = address
        self.byteCount = max(0, byteCount)
        self.isWritable = isWritable
    }

    package init(_ buffer: UnsafeMutableRawBufferPointer) {
        let address = buffer.baseAddress.map { UInt64(UInt(bitPattern: $0)) } ?? 0
        self.init(address: address, byteCount: buffer.count, isWritable: true)
    }

    package init(_ buffer: UnsafeRawBufferPointer) {
        let address = buffer.baseAddress.map { UInt64(UInt(bitPattern: $0)) } ?? 0
        self.init(address: address, byteCount: buffer.count, isWritable: false)
    }

    /// All of the access lies in the region, which allows it.
    @inline(__always)
    package func permits(address accessed: UInt64, byteCount accessedCount: Int, isWrite: Bool) -> Bool {
        let distance = accessed &- address
        return distance <= UInt64(byteCount) && UInt64(byteCount) - distance >= UInt64(accessedCount)
            && (isWritable || !isWrite)
    }
}

/// The regions of one run, the most recently used one tried first.
struct RegionList {
    private var regions: [MemoryRegion]
    private var recent: Int

    init(_ regions: [MemoryRegion]) {
        self.regions = regions
        recent = 0
    }

    mutating func add(_ region: MemoryRegion) { regions.append(region) }

    mutating func remove(_ region: MemoryRegion) {
        if let index = regions.lastIndex(of: region) { regions.remove(at: index) }
    }

    @inline(__always)
    mutating func permits(address: UInt64, byteCount: Int, isWrite: Bool) -> Bool {
        if recent < regions.count, regions[recent].permits(address: address, byteCount: byteCount, isWrite: isWrite) {
            return true
        }
        return search(address: address, byteCount: byteCount, isWrite: isWrite)
    }

    @inline(never)
    private mutating func search(address: UInt64, byteCount: Int, isWrite: Bool) -> Bool {
        for (index, region) in regions.enumerated()
        where region.permits(address: address, byteCount: byteCount, isWrite: isWrite) {
            recent = index
            return true
        }
        return false
    }
}
