import CLinux
import Glibc

/// What /proc/PID/status says of a process or thread.
package struct ProcessStatus: Sendable, Equatable {
    /// The first letter of the State line.
    package enum State: Character, Sendable {
        case running = "R", sleeping = "S", uninterruptible = "D", stopped = "T", traced = "t"
        case zombie = "Z", dead = "X", idle = "I", parked = "P", unknown = "?"
    }

    package var id: pid_t
    /// The process of a thread; of a process its own id.
    package var threadGroup: pid_t
    package var parent: pid_t
    /// comm, at most 15 bytes.
    package var name: String
    package var state: State
    package var tracer: pid_t
    /// Real and effective user id.
    package var user: uid_t
    package var effectiveUser: uid_t
    /// Seccomp: 0 none, 1 strict, 2 filter.
    package var seccomp: Int
    package var threadCount: Int
    /// SigCgt: the signals that have a handler, the first one in bit 0.
    package var caughtSignals: UInt64
    package var isKernelThread: Bool

    /// Whether a signal has a handler.
    package func catches(_ signal: Int32) -> Bool { caughtSignals >> UInt64(signal - 1) & 1 != 0 }

    /// The status of a process (or of any thread by its id).
    package init(_ pid: pid_t) throws(ProcessError) {
        try self.init(pid: pid, path: "/proc/\(pid)/status")
    }

    /// The status of one thread of a process.
    package init(thread: pid_t, of pid: pid_t) throws(ProcessError) {
        try self.init(pid: pid, path: "/proc/\(pid)/task/\(thread)/status")
    }

    private init(pid: pid_t, path: String) throws(ProcessError) {
        guard pid > 0 else { throw .noSuchProcess(pid: pid) }
        let text: String
        do { text = try WholeFile.text(path) } catch {
            // ENOENT before the file was opened, ESRCH while it was read.
            if case .file(_, _, ENOENT) = error { throw .noSuchProcess(pid: pid) }
            if case .file(_, _, ESRCH) = error { throw .noSuchProcess(pid: pid) }
            throw error
        }
        self.init(parsing: text)
    }

    /// Parses the text of a status file; what is missing is 0.
    package init(parsing text: String) {
        var fields: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon]] = line[line.index(after: colon)...].drop { $0 == "\t" || $0 == " " }
        }
        func number(_ key: Substring, _ column: Int = 0) -> Int {
            guard let words = fields[key]?.split(whereSeparator: { $0 == "\t" || $0 == " " }),
                column < words.count
            else { return 0 }
            return Int(words[column]) ?? 0
        }
        id = pid_t(truncatingIfNeeded: number("Pid"))
        threadGroup = pid_t(truncatingIfNeeded: number("Tgid"))
        parent = pid_t(truncatingIfNeeded: number("PPid"))
        name = String(fields["Name"] ?? "")
        state = fields["State"]?.first.flatMap(State.init) ?? .unknown
        tracer = pid_t(truncatingIfNeeded: number("TracerPid"))
        user = uid_t(truncatingIfNeeded: number("Uid", 0))
        effectiveUser = uid_t(truncatingIfNeeded: number("Uid", 1))
        seccomp = number("Seccomp")
        threadCount = number("Threads")
        caughtSignals = fields["SigCgt"].flatMap { UInt64($0, radix: 16) } ?? 0
        // "Kthread:" since Linux 6.10; before that, kernel threads are those without memory.
        isKernelThread =
            fields["Kthread"].map { $0.hasPrefix("1") }
            ?? (fields["VmSize"] == nil && state != .zombie && state != .dead)
    }
}

/// A thread of a process and its name.
package struct ThreadInfo: Sendable, Equatable, Identifiable {
    package var id: pid_t
    /// comm, at most 15 bytes.
    package var name: String

    package init(id: pid_t, name: String) {
        self.id = id
        self.name = name
    }

    /// All threads of a process, by ascending id.
    package static func threads(of pid: pid_t) throws(ProcessError) -> [ThreadInfo] {
        try ids(of: pid).map { ThreadInfo(id: $0, name: name(of: $0, in: pid) ?? "") }
    }

    /// The name of one thread; nil when it is gone.
    package static func name(of thread: pid_t, in pid: pid_t) -> String? {
        guard var text = try? WholeFile.text("/proc/\(pid)/task/\(thread)/comm") else { return nil }
        if text.hasSuffix("\n") { text.removeLast() }
        return text
    }

    /// The ids of all threads of a process, ascending.
    package static func ids(of pid: pid_t) throws(ProcessError) -> [pid_t] {
        guard let ids = numberedEntries("/proc/\(pid)/task"), !ids.isEmpty else { throw .noSuchProcess(pid: pid) }
        return ids
    }
}

/// Looks for processes.
package enum ProcessList {
    /// The ids of all processes that /proc shows, ascending.
    package static func all() -> [pid_t] { numberedEntries("/proc") ?? [] }

    /// The children of a process: of all its threads.
    package static func children(of pid: pid_t) -> [pid_t] {
        guard let threads = try? ThreadInfo.ids(of: pid) else { return [] }
        var children: [pid_t] = []
        for thread in threads {
            guard let text = try? WholeFile.text("/proc/\(pid)/task/\(thread)/children") else { continue }
            children += text.split(separator: " ").compactMap { pid_t($0) }
        }
        return children.sorted()
    }

    /// The parents of a process, nearest first.
    package static func ancestors(of pid: pid_t) -> [pid_t] {
        var found: [pid_t] = []
        var current = pid
        while let parent = try? ProcessStatus(current).parent, parent > 0, !found.contains(parent) {
            found.append(parent)
            current = parent
        }
        return found
    }

    /// All processes that map a file, such as a memfd, given by st_dev and st_ino. Processes of other
    /// users, which cannot be looked into, are left out.
    package static func findProcesses(mappingDevice device: UInt64, inode: UInt64) -> [pid_t] {
        func hexadecimal(_ number: UInt32) -> String {
            let text = String(number, radix: 16)
            return text.count < 2 ? "0" + text : text
        }
        let wanted = Array(
            " \(hexadecimal(clinux_major(device))):\(hexadecimal(clinux_minor(device))) \(inode) ".utf8)
        return all().filter { pid in
            guard let bytes = try? WholeFile.bytes("/proc/\(pid)/maps") else { return false }
            return clinux_find(bytes, bytes.count, wanted, wanted.count) >= 0
        }
    }

    /// All processes that map the file behind an open descriptor.
    package static func findProcesses(mapping descriptor: Int32) throws(ProcessError) -> [pid_t] {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else {
            throw .file(operation: "look at", path: "descriptor \(descriptor)", error: errno)
        }
        return findProcesses(mappingDevice: UInt64(information.st_dev), inode: UInt64(information.st_ino))
    }
}

/// The entries of a folder whose names are numbers, ascending; nil when it cannot be read.
func numberedEntries(_ path: String) -> [pid_t]? {
    guard let folder = opendir(path) else { return nil }
    defer { closedir(folder) }
    var numbers: [pid_t] = []
    while let entry = readdir(folder) {
        let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 19
        let name = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        if let number = pid_t(String(cString: name)) { numbers.append(number) }
    }
    return numbers.sorted()
}
