import CLinux
import Glibc
import LinuxProcess

/// A program that was to run with more rights than whoever starts it (set-uid, set-gid, file capabilities), and does not:
/// Linux gives none to a program that is traced from its start, unless the tracer has them anyway.
enum LostPrivileges {
    /// What to tell of a process that was just launched; nil if it has all that its file would give it.
    static func text(of pid: Int32) -> String? {
        let path = "/proc/\(pid)/exe"
        var file = stat()
        var system = statvfs()
        guard stat(path, &file) == 0, let status = Status(pid), !status.mayNotGain else { return nil }
        // Such a file system gives no rights to anybody.
        if statvfs(path, &system) == 0, system.f_flag & noPrivileges != 0 { return nil }
        let what: String
        if file.st_mode & S_ISUID != 0, file.st_uid != status.user {
            what = "a set-uid program of user \(file.st_uid)"
        } else if file.st_mode & S_ISGID != 0, file.st_mode & S_IXGRP != 0, file.st_gid != status.group {
            what = "a set-gid program of group \(file.st_gid)"
        } else if capabilities(of: path) & status.mostCapabilities & ~status.capabilities != 0 {
            what = "a program with capabilities"
        } else {
            return nil
        }
        let name = (try? WholeFile.link(path)).map(ModuleName.last) ?? "it"
        return "\(name) is \(what), but Linux lets it run without these rights when it is started under a tracer; "
            + "start it by itself, and attach to it as root with -p PID"
    }

    /// `ST_NOSUID`
    private static let noPrivileges: UInt = 2

    /// The capabilities that a file permits: `struct vfs_cap_data` in its extended attribute.
    private static func capabilities(of path: String) -> UInt64 {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = clinux_get_attribute(path, "security.capability", &bytes, bytes.count)
        guard count >= 12 else { return 0 }
        func word(_ offset: Int) -> UInt64 {
            offset + 4 <= count ? (0..<4).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) } : 0
        }
        // The first version has 32 bits; the others have the upper half behind the first half's inheritable ones.
        return word(4) | (count >= 20 ? word(12) << 32 : 0)
    }

    /// What /proc/PID/status says of rights.
    private struct Status {
        var user: UInt32 = 0
        var group: UInt32 = 0
        var capabilities: UInt64 = 0
        var mostCapabilities: UInt64 = 0
        var mayNotGain = false

        init?(_ pid: Int32) {
            guard let text = try? WholeFile.text("/proc/\(pid)/status") else { return nil }
            for line in text.split(separator: "\n") {
                let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
                guard words.count > 1 else { continue }
                switch words[0] {
                case "Uid:": user = words.count > 2 ? UInt32(words[2]) ?? 0 : 0
                case "Gid:": group = words.count > 2 ? UInt32(words[2]) ?? 0 : 0
                case "CapPrm:": capabilities = UInt64(words[1], radix: 16) ?? 0
                case "CapBnd:": mostCapabilities = UInt64(words[1], radix: 16) ?? 0
                case "NoNewPrivs:": mayNotGain = words[1] == "1"
                default: break
                }
            }
        }
    }
}
