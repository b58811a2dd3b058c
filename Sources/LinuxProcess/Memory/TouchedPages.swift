import CLinux
import Glibc

/// Finds the pages of a process that hold something, by /proc/PID/pagemap, so that a terabyte of address space
/// without memory behind it is not read page by page.
///
/// The process makes its memory as it likes, and is stopped while it is looked at: so there is a limit to how much
/// of it is, in address space, in pages and in time. What lies beyond is not found.
package struct TouchedPages: ~Copyable {
    /// -1 where the kernel has no such file: then every page may hold something.
    private let descriptor: FileDescriptor
    /// Entries of the pages from `start` on, 8 bytes each.
    private var entries: [UInt64] = []
    private var start: UInt64 = 0

    private var spaceLeft: UInt64
    private var pagesLeft: Int
    private let deadline: UInt64

    package static let size: UInt64 = 4096
    private static let entriesAtOnce = 1 << 15

    package init(of pid: pid_t, space: UInt64 = 64 << 30, pages: Int = 1 << 18, milliseconds: UInt64 = 1000) {
        do { descriptor = try FileDescriptor(opening: "/proc/\(pid)/pagemap") } catch {
            descriptor = FileDescriptor(owning: -1)
        }
        spaceLeft = space
        pagesLeft = pages
        deadline = clinux_monotonic() + milliseconds * 1_000_000
    }

    /// The first page in a range that holds something; nil if there is none, or the limit is reached.
    package mutating func first(in range: Range<UInt64>) -> UInt64? {
        var page = range.lowerBound & ~(Self.size - 1)
        while page < range.upperBound {
            guard pagesLeft > 0, clinux_monotonic() < deadline else { return nil }
            guard page >= start, (page - start) / Self.size < UInt64(entries.count) else {
                guard fill(from: page, to: range.upperBound) else { return nil }
                continue
            }
            var index = Int((page - start) / Self.size)
            // Present, or swapped out.
            while index < entries.count, entries[index] >> 62 == 0 { index += 1 }
            page = start + UInt64(index) * Self.size
            if index < entries.count, page < range.upperBound {
                pagesLeft -= 1
                return page
            }
        }
        return nil
    }

    private mutating func fill(from page: UInt64, to end: UInt64) -> Bool {
        let count = min(UInt64(Self.entriesAtOnce), (end - page + Self.size - 1) / Self.size)
        guard spaceLeft >= count * Self.size else { return false }
        spaceLeft -= count * Self.size
        var read = [UInt64](repeating: .max, count: Int(count))
        let file = descriptor.rawValue
        if file >= 0 {
            let got = read.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, off_t(page / Self.size * 8)) }
            guard got >= 8 else { return false }
            read.removeLast(read.count - got / 8)
        }
        entries = read
        start = page
        return true
    }
}
