import ELF
import Glibc
import Search

/// Code that a program has copied to other memory at the same addresses: onto huge pages (`node --use-largepages=on`,
/// iodlr). It belongs to no file any more, and is still the file's code.
enum MovedCode {
    /// Four times the code of the largest programs.
    private static let largest = 1 << 30

    /// Linkers leave at most a huge page between code and data.
    private static let distance: UInt64 = 2 << 20

    /// Memory that such code may be in: anonymous, or that of the kernel's own file system for huge pages.
    static func mayBe(_ region: MemoryMap.Region) -> Bool {
        guard region.permissions.contains([.execute, .read]) else { return false }
        return region.inode == 0
            ? region.path.isEmpty || region.path.hasPrefix("[anon")
            : region.path == "/anon_hugepage" || region.path == "/dev/zero"
    }

    /// Those of `movable` that lie between the first and the last region of a file, or close before or right behind them.
    /// Both lists ascend.
    static func beside(_ regions: [MemoryMap.Region], among movable: [MemoryMap.Region]) -> [MemoryMap.Region] {
        guard let first = regions.first, let last = regions.last, !movable.isEmpty else { return [] }
        let start = movable.partitioningIndex { $0.range.upperBound &+ distance >= first.range.lowerBound }
        let found = Array(movable[start...].prefix { $0.range.lowerBound <= last.range.upperBound })
        // All of it is compared with the file.
        return found.reduce(0) { $0 &+ $1.range.count } <= largest ? found : []
    }

    /// By a region that holds the start of a segment.
    static func loadBias(_ file: ELFFile, _ regions: [MemoryMap.Region]) -> UInt64? {
        for region in regions {
            let segment = file.segments.first {
                $0.type == .load && !$0.flags.contains(.execute) && region.offset == $0.offset & ~0xfff
            }
            if let segment { return region.range.lowerBound &- (segment.address & ~0xfff) }
        }
        return nil
    }

    /// The part of a region where code of the file belongs; nil where none does.
    static func place(of region: MemoryMap.Region, in file: ELFFile, loadBias: UInt64) -> Range<UInt64>? {
        for segment in file.segments where segment.type == .load && segment.flags.contains(.execute) {
            let start = segment.address &+ loadBias
            let (end, overflow) = start.addingReportingOverflow(segment.fileSize)
            guard !overflow, end < 1 << 47, region.range.lowerBound >= start & ~0xfff, region.range.lowerBound < end,
                region.range.upperBound > start,
                // A huge page may reach beyond the end.
                region.range.upperBound <= (end + (2 << 20) - 1) & ~((2 << 20) - 1)
            else { continue }
            return max(region.range.lowerBound, start)..<min(region.range.upperBound, end)
        }
        return nil
    }

    /// Whether memory holds what the file has there. What is traced, by us or another, differs in a few bytes of each
    /// function.
    static func isCode(of file: ELFFile, loadBias: UInt64, _ region: MemoryMap.Region, pid: pid_t) -> Bool {
        guard let place = place(of: region, in: file, loadBias: loadBias), let memory = try? ProcessMemory(pid: pid) else {
            return false
        }
        return agrees(place, file, loadBias, memory)
    }

    private static func agrees(
        _ range: Range<UInt64>, _ file: ELFFile, _ loadBias: UInt64, _ memory: borrowing ProcessMemory
    ) -> Bool {
        var equal = 0
        var at = range.lowerBound
        while at < range.upperBound {
            let count = min(1 << 20, range.upperBound - at)
            guard let offset = file.offset(ofAddress: at &- loadBias), let own = file.bytes.slice(at: offset, count: count),
                let bytes = try? memory.readBulk(at: at, count: Int(count)), bytes.count == Int(count)
            else { return false }
            own.withUnsafeBytes { own in
                for index in 0..<Int(count) where own[index] == bytes[index] { equal += 1 }
            }
            at += count
        }
        return equal / 3 >= range.count / 4
    }
}
