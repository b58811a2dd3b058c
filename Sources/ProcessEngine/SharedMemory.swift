import CLinux
import Glibc
import LinuxProcess
import Synchronization

/// A memory file that the controller shares with one process or several, each of which has it mapped somewhere else.
final class SharedMemory: Sendable {
    let layout: SharedLayout
    let identity: FileIdentity
    /// Of the processes that it is shared by; nil where it is one process's alone.
    let rights: ProcessRights?
    private let localAddress: UInt
    /// What other processes are handed.
    private let descriptor = Mutex<FileDescriptor?>(nil)

    /// What it is for.
    enum Use {
        /// It tells that a process is traced, and by whom (`SessionClaim`).
        case session
        /// One process's own.
        case process
        /// Maps of an object, which all processes of the session have.
        case objects
    }

    /// Maps the controller's view.
    init(
        _ layout: SharedLayout, _ file: borrowing FileDescriptor, _ identity: FileIdentity, of rights: ProcessRights?
    ) throws(EngineError) {
        let local = mmap(nil, layout.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let local, local != MAP_FAILED else {
            throw .controller("reserve \(layout.size) bytes of address space", errno: errno)
        }
        for segment in layout.segments {
            let mapped = mmap(
                local + segment.offset, segment.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                file.rawValue, off_t(segment.fileOffset))
            if mapped == MAP_FAILED {
                let error = errno
                munmap(local, layout.size)
                throw .controller("map the shared memory", errno: error)
            }
        }
        self.layout = layout
        self.identity = identity
        self.rights = rights
        localAddress = UInt(bitPattern: local)
        if rights == nil { return }
        let copy = fcntl(file.rawValue, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .controller("keep the shared memory open", errno: errno) }
        descriptor.withLock { $0 = FileDescriptor(owning: copy) }
    }

    deinit {
        munmap(UnsafeMutableRawPointer(bitPattern: localAddress), layout.size)
    }

    /// The controller's view of `count` bytes at `offset`.
    func pointer(at offset: Int, count: Int) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && count >= 0 && offset + count <= layout.size, "outside the shared region")
        guard let pointer = UnsafeMutableRawPointer(bitPattern: localAddress + UInt(offset)) else {
            preconditionFailure("a mapping is never at address 0")
        }
        return pointer
    }

    /// So many bytes of a process are written to when it is given a descriptor.
    static let lentBytes = HandedDescriptor.size

    /// Gives a stopped process a descriptor of the file, and returns its number there.
    ///
    /// Nothing is opened by a path, which another user, another root or another namespace of processes would not reach: the
    /// process makes a pair of sockets, the controller takes one of them and sends the descriptor, the process receives it.
    /// - Parameter lent: `lentBytes` bytes of the process that may be written to.
    func hand(to process: inout StoppedProcess, lent: UInt64) throws(EngineError) -> UInt64 {
        let injected = InjectedCalls(pid: process.pid)
        let doing = "share memory with the other processes of the session"
        do throws(ProcessError) {
            try process.memory.write([UInt8](repeating: 0, count: HandedDescriptor.size), at: lent)
        } catch {
            throw .target(pid: process.pid, doing: doing, because: "\(error)")
        }
        _ = try injected.check(doing) { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_socketpair, UInt64(AF_UNIX), UInt64(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
                lent + HandedDescriptor.sockets)
        }
        let sockets = try word(process, lent + HandedDescriptor.sockets, doing)
        let (here, there) = (sockets & 0xffff_ffff, sockets >> 32)
        defer {
            _ = try? process.systemCall(clinux_sys_close, here)
            _ = try? process.systemCall(clinux_sys_close, there)
        }
        do throws(ProcessError) {
            let socket = try ProcessDescriptor(process.pid).descriptor(Int32(truncatingIfNeeded: there))
            let error = descriptor.withLock { file -> Int32 in
                guard let number = file?.rawValue else { return EBADF }
                return -clinux_send_descriptor(socket.rawValue, number)
            }
            if error != 0 { throw ProcessError.noDescriptor(pid: process.pid, detail: String(cString: strerror(error))) }
            try process.memory.write(HandedDescriptor.message(at: lent), at: lent)
        } catch {
            throw .target(pid: process.pid, doing: doing, because: "\(error)")
        }
        _ = try injected.check(doing) { () throws(ProcessError) in
            try process.systemCall(clinux_sys_recvmsg, here, lent, UInt64(MSG_CMSG_CLOEXEC | MSG_DONTWAIT))
        }
        let control = try word(process, lent + HandedDescriptor.control + 16, doing)
        return control & 0xffff_ffff
    }

    private func word(_ process: borrowing StoppedProcess, _ address: UInt64, _ doing: String) throws(EngineError) -> UInt64 {
        do throws(ProcessError) {
            return try process.memory.read(at: address, count: 8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        } catch {
            throw .target(pid: process.pid, doing: doing, because: "\(error)")
        }
    }
}

/// What recvmsg(2) is given in a process to take a descriptor, in a few bytes of its memory:
///
///     0    struct msghdr: no name, one vector, the control data
///     56   struct iovec: the one byte that comes along
///     72   that byte
///     80   control data: struct cmsghdr, the descriptor
///     104  the pair of sockets
private enum HandedDescriptor {
    static let size = 112
    static let control: UInt64 = 80
    static let sockets: UInt64 = 104
    private static let controlSize: UInt64 = 24

    static func message(at address: UInt64) -> [UInt8] {
        // msghdr: name, its length, vectors, how many, control data, its length, flags; iovec: address, length.
        [0, 0, address + 56, 1, address + control, controlSize, 0, address + 72, 1]
            .flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } }
    }
}
