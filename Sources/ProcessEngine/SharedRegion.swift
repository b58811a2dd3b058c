import CLinux
import Glibc
import LinuxProcess

/// Memory that the target and the controller share, where the target has it: maps, ring buffers, counters.
///
/// It is a memfd that the target makes through an injected system call, and whose very descriptor the controller
/// takes. A process that shares the target's descriptors is not stopped, and may put another one in its place at any
/// time: so nothing is opened by the path of a descriptor, which would be done with the controller's rights; what was
/// taken is used only if it is an empty memory file, and sealed at its size first, so that no access of ours can fault;
/// and what the target has mapped then must be the same file. A `fork` inherits the memory; an `exec` drops it. The
/// target can write all of it, so whatever is read from here is hostile input.
package final class SharedRegion: Sendable {
    /// The file, which other processes of the session may have mapped, too.
    let memory: SharedMemory
    /// Where it lies in the target.
    package let targetAddress: UInt64
    let claim = SessionClaim()

    /// Bytes of address space, the second mappings of ring buffers included.
    package var size: Int { memory.layout.size }
    /// Device and inode of the memfd: which processes hold this memory is read off /proc/PID/maps.
    package var identity: FileIdentity { memory.identity }

    /// What it is called in /proc/PID/maps.
    static let mappingName = "/memfd:fsession"

    private init(_ memory: SharedMemory, at targetAddress: UInt64) {
        self.memory = memory
        self.targetAddress = targetAddress
    }

    /// The controller's view of `count` bytes at `offset`.
    package func pointer(at offset: Int, count: Int) -> UnsafeMutableRawPointer { memory.pointer(at: offset, count: count) }

    /// The target's address of the byte at `offset`.
    package func address(at offset: Int) -> UInt64 { targetAddress + UInt64(offset) }

    /// Makes the memory in `process` and maps it on both sides as `layout` says.
    static func make(
        in process: inout StoppedProcess, layout: SharedLayout, scratch: UInt64, for use: SharedMemory.Use = .process
    ) throws(EngineError) -> SharedRegion {
        let injected = InjectedCalls(pid: process.pid)
        process.prefersMainThread = true
        defer { process.prefersMainThread = false }
        let file = try injected.check("make shared memory") { () throws(ProcessError) in
            try process.systemCall(clinux_sys_memfd_create, scratch, 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */)
        }
        defer { _ = try? process.systemCall(clinux_sys_close, file) }
        let descriptor = try take(file, of: process.pid, size: layout.fileSize)
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw .controller("examine the shared memory", errno: errno) }
        let identity = FileIdentity(status)

        let base = try map(file, layout, identity, in: &process)
        do throws(EngineError) {
            let rights = use == .objects ? ProcessRights(process.pid) : nil
            let region = SharedRegion(try SharedMemory(layout, descriptor, identity, of: rights), at: base)
            if use == .session { try region.claim.take(descriptor) }
            return region
        } catch {
            _ = try? process.systemCall(clinux_sys_munmap, base, UInt64(layout.size))
            throw error
        }
    }

    /// Maps memory that another process of the session has in `process`, too, which is handed the descriptor.
    /// - Parameter lent: bytes of the process that may be written to as long as it is stopped.
    /// - Throws: where one of the processes could do to the other by this memory what it may not otherwise.
    static func map(_ memory: SharedMemory, in process: inout StoppedProcess, lent: UInt64) throws(EngineError) -> SharedRegion {
        guard let rights = memory.rights, ProcessRights(process.pid) == rights else {
            throw .target(
                pid: process.pid, doing: "share maps with the other processes of the session",
                because:
                    "its user, groups, capabilities, label or namespaces are others than theirs, or it may not be traced by its own user: they could change under it what its programs "
                    + "work with; open a session of its own for it")
        }
        process.prefersMainThread = true
        defer { process.prefersMainThread = false }
        let file = try memory.hand(to: &process, lent: lent)
        defer { _ = try? process.systemCall(clinux_sys_close, file) }
        return SharedRegion(memory, at: try map(file, memory.layout, memory.identity, in: &process))
    }

    /// Maps a descriptor of the process there, and looks whether it was the file that is meant.
    private static func map(
        _ file: UInt64, _ layout: SharedLayout, _ identity: FileIdentity, in process: inout StoppedProcess
    ) throws(EngineError) -> UInt64 {
        let injected = InjectedCalls(pid: process.pid)
        let base = try injected.check("reserve \(layout.size) bytes of address space") { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_mmap, 0, UInt64(layout.size), UInt64(PROT_NONE),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), UInt64.max, 0)
        }
        do throws(EngineError) {
            for segment in layout.segments {
                _ = try injected.check("map the shared memory") { () throws(ProcessError) in
                    try process.systemCall(
                        clinux_sys_mmap, base + UInt64(segment.offset), UInt64(segment.size),
                        UInt64(PROT_READ | PROT_WRITE),
                        UInt64(MAP_SHARED | MAP_FIXED | (segment.isPopulated ? MAP_POPULATE : 0)), file,
                        UInt64(segment.fileOffset))
                }
            }
            guard let map = try? MemoryMap(pid: process.pid),
                layout.segments.allSatisfy({ map.maps(identity, $0, from: base) })
            else { throw .target(pid: process.pid, doing: "share memory", because: replaced) }
            return base
        } catch {
            _ = try? process.systemCall(clinux_sys_munmap, base, UInt64(layout.size))
            throw error
        }
    }

    private static let replaced = """
        another process that shares its file descriptors (CLONE_FILES) has put something else in the place of the memory's; \
        end that process, or trace it instead
        """

    /// Takes the memory file that the target has just made, and gives it its size for good.
    private static func take(_ file: UInt64, of pid: Int32, size: Int) throws(EngineError) -> FileDescriptor {
        let descriptor: FileDescriptor
        do throws(ProcessError) {
            descriptor = try ProcessDescriptor(pid).descriptor(Int32(truncatingIfNeeded: file))
        } catch {
            throw .target(pid: pid, doing: "share memory", because: "\(error)")
        }
        switch -clinux_memfd_claim(descriptor.rawValue, UInt64(size)) {
        case 0: return descriptor
        case ENOTUNIQ: throw .target(pid: pid, doing: "share memory", because: replaced)
        case let error: throw .controller("give the shared memory its \(size) bytes", errno: error)
        }
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

extension MemoryMap {
    /// Whether a part of a shared region is mapped as it is meant to be, all of it from that file.
    fileprivate func maps(_ file: FileIdentity, _ segment: SharedLayout.Segment, from base: UInt64) -> Bool {
        var address = base + UInt64(segment.offset)
        let end = address + UInt64(segment.size)
        var offset = UInt64(segment.fileOffset)
        while address < end {
            guard let region = region(at: address), file.isFile(of: region),
                region.permissions.isSuperset(of: [.read, .write, .shared]),
                region.offset &+ (address - region.range.lowerBound) == offset
            else { return false }
            offset += region.range.upperBound - address
            address = region.range.upperBound
        }
        return true
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
