import CLinux
import ELF
import Glibc

/// The files of a process as it sees them: the one way to open what a process names.
///
/// A process chooses what its paths lead to. So they are followed below its own root (`openat2` with `RESOLVE_IN_ROOT`), where
/// no symbolic link leads to a file of somebody else, and what is there is looked at (`O_PATH`) before it is opened:
/// regular files only, for opening a FIFO or a device may wait or do something. A kernel without `openat2` (before 5.6)
/// follows no symbolic link at all.
package struct TargetFiles: Sendable, Hashable {
    /// nil: the files as fsession sees them.
    private let pid: pid_t?
    /// What paths in /proc/PID/maps begin with where the process has another root in the same namespace (chroot): those
    /// are not written as the process sees them. Empty for /.
    private let prefix: String
    /// Whether the process has the same mounts as fsession, so that a path in /proc/PID/maps means the same here.
    private let sharesMounts: Bool

    /// fsession's own: for files that the user names, and for what is installed on this machine.
    package static let own = TargetFiles(pid: nil, prefix: "", sharesMounts: true)

    private init(pid: pid_t?, prefix: String, sharesMounts: Bool) {
        self.pid = pid
        self.prefix = prefix
        self.sharesMounts = sharesMounts
    }

    package init(pid: pid_t) {
        let root = (try? WholeFile.link("/proc/\(pid)/root")) ?? "/"
        let mounts = try? WholeFile.link("/proc/\(pid)/ns/mnt")
        self.init(pid: pid, prefix: root == "/" ? "" : root, sharesMounts: mounts != nil && mounts == (try? WholeFile.link("/proc/self/ns/mnt")))
    }

    /// The path by which the process itself would name a file of /proc/PID/maps; nil where its root has none for it.
    func path(ofMapped path: String) -> String? {
        guard path.hasPrefix("/") else { return nil }
        guard !prefix.isEmpty else { return path }
        return path.hasPrefix(prefix + "/") ? String(path.dropFirst(prefix.count)) : nil
    }

    /// What was mapped before the process went into another root is seen from here only.
    var outsideOfRoot: TargetFiles? { sharesMounts ? .own : nil }

    /// Opens a regular file for reading.
    func open(_ path: String) throws(ELFError) -> FileDescriptor {
        let descriptor: Int32
        if let pid {
            let root = clinux_open_folder("/proc/\(pid)/root")
            guard root >= 0 else { throw .cannotRead(path: path, errno: -root) }
            descriptor = clinux_open_regular_below(root, path)
            close(root)
        } else {
            descriptor = clinux_open_regular(path)
        }
        guard descriptor >= 0 else {
            throw descriptor == -ENOTSUP ? .notELF(name: path) : .cannotRead(path: path, errno: -descriptor)
        }
        return FileDescriptor(owning: descriptor)
    }

    /// Reads an ELF file.
    package func elf(_ path: String) throws(ELFError) -> ELFFile {
        let descriptor = try open(path)
        return try ELFFile(descriptor: descriptor.rawValue, name: path)
    }

    /// Whether there is a program at a path.
    package func hasProgram(_ path: String) -> Bool {
        guard let pid else { return access(path, X_OK) == 0 }
        let root = clinux_open_folder("/proc/\(pid)/root")
        guard root >= 0 else { return false }
        defer { close(root) }
        return clinux_is_executable_below(root, path) != 0
    }
}
