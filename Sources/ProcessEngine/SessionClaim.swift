import CLinux
import Glibc
import LinuxProcess
import Synchronization

/// What tells that a process is traced, and by whom: the controller holds a lock on the memory that they share.
///
/// The target can write into its code regions whatever it likes, another process's id for instance, which would then be
/// blamed. It cannot make another process hold a lock: /proc/locks has the owner from the kernel, and the lock goes
/// with its owner.
final class SessionClaim: Sendable {
    private let descriptor = Mutex<FileDescriptor?>(nil)

    /// - Parameter descriptor: of the shared memory. No other one of it may be closed as long as this one is open, or
    ///   the lock would be gone.
    func take(_ descriptor: consuming FileDescriptor) throws(EngineError) {
        let error = -clinux_lock_file(descriptor.rawValue)
        guard error <= 0 else { throw .controller("lock the shared memory", errno: error) }
        var taken: FileDescriptor? = consume descriptor
        self.descriptor.withLock { $0 = taken.take() }
    }

    /// The session is over.
    func giveUp() { descriptor.withLock { $0 = nil } }

    /// Which process traces another one now.
    enum Holder: Equatable {
        case nobody
        case process(Int32)
        /// The kernel shows no locks.
        case unknown
    }

    static func holder(of pid: Int32, _ map: MemoryMap) -> Holder {
        let files = Set(
            map.regions.filter { $0.permissions.contains(.shared) && $0.path == SharedRegion.mappingName }
                .map { [UInt64($0.deviceMajor), UInt64($0.deviceMinor), $0.inode] })
        if files.isEmpty { return .nobody }
        guard let text = try? WholeFile.text("/proc/locks") else { return .unknown }
        for line in text.split(separator: "\n") {
            // 1: POSIX  ADVISORY  WRITE 4711 00:01:4242 0 EOF
            let fields = line.split(separator: " ")
            guard fields.count >= 6, fields[1] == "POSIX", fields[3] == "WRITE", let owner = Int32(fields[4]), owner != pid
            else { continue }
            let file = fields[5].split(separator: ":")
            guard file.count == 3, let major = UInt64(file[0], radix: 16), let minor = UInt64(file[1], radix: 16),
                let inode = UInt64(file[2]), files.contains([major, minor, inode])
            else { continue }
            return .process(owner)
        }
        return .nobody
    }
}
