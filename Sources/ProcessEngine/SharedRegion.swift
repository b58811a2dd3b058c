import CLinux
import Glibc
import LinuxProcess

/// Memory that the target and the controller share: maps, ring buffers, counters.
///
/// It is a memfd that the target makes through an injected system call and the controller opens through
/// /proc/PID/fd. A `fork` inherits it; an `exec` drops it. The target can write all of it, so whatever
/// is read from here is hostile input.
package final class SharedRegion: Sendable {
    /// Where it lies in the target.
    package let targetAddress: UInt64
    /// Bytes of address space, the second mappings of ring buffers included.
    package let size: Int
    /// Device and inode of the memfd: which processes hold this memory is read off /proc/PID/maps.
    package let identity: FileIdentity
    private let localAddress: UInt

    private init(targetAddress: UInt64, localAddress: UInt, size: Int, identity: FileIdentity) {
        self.targetAddress = targetAddress
        self.localAddress = localAddress
        self.size = size
        self.identity = identity
    }

    deinit {
        munmap(UnsafeMutableRawPointer(bitPattern: localAddress), size)
    }

    /// The controller's view of `count` bytes at `offset`.
    package func pointer(at offset: Int, count: Int) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && count >= 0 && offset + count <= size, "outside the shared region")
        guard let pointer = UnsafeMutableRawPointer(bitPattern: localAddress + UInt(offset)) else {
            preconditionFailure("a mapping is never at address 0")
        }
        return pointer
    }

    /// The target's address of the byte at `offset`.
    package func address(at offset: Int) -> UInt64 { targetAddress + UInt64(offset) }

    /// Makes the memory in `process` and maps it on both sides as `layout` says.
    static func make(
        in process: inout StoppedProcess, layout: SharedLayout, scratch: UInt64
    ) throws(EngineError) -> SharedRegion {
        let injected = InjectedCalls(pid: process.pid)
        let file = try injected.check("make shared memory") { () throws(ProcessError) in
            try process.systemCall(SystemCall.memfdCreate, scratch, 1 /* MFD_CLOEXEC */)
        }
        defer { _ = try? process.systemCall(SystemCall.close, file) }
        let path = "/proc/\(process.pid)/fd/\(file)"
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw .controller("open the target's memory at \(path)", errno: errno) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(layout.fileSize)) == 0 else {
            throw .controller("give the shared memory its \(layout.fileSize) bytes", errno: errno)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .controller("examine the shared memory", errno: errno) }
        let identity = FileIdentity(status)

        let base = try injected.check("reserve \(layout.size) bytes of address space") { () throws(ProcessError) in
            try process.systemCall(
                SystemCall.mmap, 0, UInt64(layout.size), UInt64(PROT_NONE),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), UInt64.max, 0)
        }
        do throws(EngineError) {
            for segment in layout.segments {
                _ = try injected.check("map the shared memory") { () throws(ProcessError) in
                    try process.systemCall(
                        SystemCall.mmap, base + UInt64(segment.offset), UInt64(segment.size),
                        UInt64(PROT_READ | PROT_WRITE),
                        UInt64(MAP_SHARED | MAP_FIXED | (segment.isPopulated ? MAP_POPULATE : 0)), file,
                        UInt64(segment.fileOffset))
                }
            }
            return try SharedRegion(layout, at: base, descriptor, identity)
        } catch {
            _ = try? process.systemCall(SystemCall.munmap, base, UInt64(layout.size))
            throw error
        }
    }

    /// Maps the controller's view.
    private convenience init(
        _ layout: SharedLayout, at base: UInt64, _ descriptor: Int32, _ identity: FileIdentity
    ) throws(EngineError) {
        let local = mmap(nil, layout.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let local, local != MAP_FAILED else {
            throw .controller("reserve \(layout.size) bytes of address space", errno: errno)
        }
        for segment in layout.segments {
            let mapped = mmap(
                local + segment.offset, segment.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                descriptor, off_t(segment.fileOffset))
            if mapped == MAP_FAILED {
                let error = errno
                munmap(local, layout.size)
                throw .controller("map the shared memory", errno: error)
            }
        }
        self.init(
            targetAddress: base, localAddress: UInt(bitPattern: local), size: layout.size, identity: identity)
    }
}

/// Which file a mapping belongs to.
package struct FileIdentity: Sendable, Hashable {
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    func isFile(of region: MemoryMap.Region) -> Bool {
        inode == region.inode && clinux_major(device) == region.deviceMajor && clinux_minor(device) == region.deviceMinor
    }
}

/// What lies where in a shared region. Ring buffers have their data mapped twice in a row, so address
/// space and file differ:
///
///     address space │ plain … │ ring pages │ data │ data │ ring pages │ data │ data │
///     file          │ plain … │ ring pages │ data │ ring pages │ data │
struct SharedLayout: Sendable {
    struct Segment: Sendable {
        var offset: Int
        var size: Int
        var fileOffset: Int
        /// Mapped page by page at once: a page fault costs as much as dozens of records.
        var isPopulated = false
    }

    private(set) var segments: [Segment] = []
    private(set) var size = 0
    private(set) var fileSize = 0

    static let page = 4096
    /// Rings of more data take their pages when they need them: the target waits meanwhile.
    private static let populatedLimit = 64 << 20

    /// Places `sizes` one after the other, each at a multiple of `alignment`, and gives their offsets.
    /// Must be called before any ring buffer is placed.
    mutating func placePlain(_ sizes: [Int], alignment: Int = 64) -> [Int] {
        precondition(segments.isEmpty, "plain memory is placed first")
        var offsets: [Int] = []
        for size in sizes {
            let offset = self.size.roundedUp(to: alignment)
            offsets.append(offset)
            self.size = offset + size
        }
        size = max(SharedLayout.page, size.roundedUp(to: SharedLayout.page))
        fileSize = size
        segments.append(Segment(offset: 0, size: size, fileOffset: 0))
        return offsets
    }

    /// Places a ring buffer of `head` bytes of pages and `data` bytes, and gives its offset.
    mutating func placeRing(head: Int, data: Int) -> Int {
        let offset = size
        let isPopulated = data <= SharedLayout.populatedLimit
        segments.append(
            Segment(offset: offset, size: head + data, fileOffset: fileSize, isPopulated: isPopulated))
        segments.append(
            Segment(
                offset: offset + head + data, size: data, fileOffset: fileSize + head, isPopulated: isPopulated))
        size += head + 2 * data
        fileSize += head + data
        return offset
    }
}

extension Int {
    func roundedUp(to alignment: Int) -> Int { (self + alignment - 1) / alignment * alignment }
}

/// System calls that the engine has the target make; the numbers of x86-64 (arm64 has its own table).
enum SystemCall {
    #if arch(x86_64)
    static let mmap = 9
    static let mprotect = 10
    static let munmap = 11
    static let close = 3
    static let madvise = 28
    static let memfdCreate = 319
    #elseif arch(arm64)
    static let mmap = 222
    static let mprotect = 226
    static let munmap = 215
    static let close = 57
    static let madvise = 233
    static let memfdCreate = 279
    #endif
}

/// Turns the result of an injected system call (-errno) into an error that says what was tried.
struct InjectedCalls {
    var pid: Int32

    func check(
        _ doing: String, _ call: () throws(ProcessError) -> Int64
    ) throws(EngineError) -> UInt64 {
        let result: Int64
        do throws(ProcessError) {
            result = try call()
        } catch {
            throw .target(pid: pid, doing: doing, because: "\(error)")
        }
        if result < 0, result >= -4095 {
            throw .target(pid: pid, doing: doing, because: String(cString: strerror(Int32(-result))))
        }
        return UInt64(bitPattern: result)
    }
}
