import CLinux
import Glibc

/// How a process ended.
package enum ProcessExit: Sendable, Equatable, CustomStringConvertible {
    /// WIFEXITED, WEXITSTATUS.
    case exited(Int32)
    /// WIFSIGNALED, WTERMSIG.
    case killed(signal: Int32)

    package var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .killed(let signal): "killed by signal \(signal)"
        }
    }

    /// What a shell makes of it: the exit code, or 128 + the signal.
    package var shellCode: Int32 {
        switch self {
        case .exited(let code): code
        case .killed(let signal): 128 + signal
        }
    }

    init?(kind: Int32, value: Int32) {
        switch kind {
        case 1: self = .exited(value)
        case 2: self = .killed(signal: value)
        default: return nil
        }
    }

    /// Takes the exit status of a child, waiting for its end. It never takes a ptrace stop away from
    /// the tracing thread, so that any thread may call it.
    package static func wait(for child: pid_t) throws(ProcessError) -> ProcessExit {
        var value: Int32 = 0
        let kind = clinux_wait_exit(child, 1, &value)
        guard let status = ProcessExit(kind: kind, value: value) else { throw .ended(pid: child) }
        return status
    }

    /// Takes the exit status of a child if it has ended; nil while it runs.
    package static func poll(_ child: pid_t) throws(ProcessError) -> ProcessExit? {
        var value: Int32 = 0
        let kind = clinux_wait_exit(child, 0, &value)
        guard kind >= 0 else { throw .ended(pid: child) }
        return ProcessExit(kind: kind, value: value)
    }
}

/// A pidfd: stands for one process even after its id has been given to another.
package struct ProcessDescriptor: ~Copyable, Sendable {
    package let pid: pid_t
    private let descriptor: FileDescriptor

    /// pidfd_open(2).
    package init(_ pid: pid_t) throws(ProcessError) {
        guard pid > 0 else { throw .noSuchProcess(pid: pid) }
        let raw = clinux_pidfd_open(pid)
        guard raw >= 0 else {
            throw -raw == ESRCH ? .noSuchProcess(pid: pid) : .file(operation: "open", path: "pidfd of \(pid)", error: -raw)
        }
        self.pid = pid
        descriptor = FileDescriptor(owning: raw)
    }

    /// The descriptor, for poll(2): readable once the process has ended.
    package var rawValue: Int32 { descriptor.rawValue }

    /// Waits for the end of the process; false when the time is over first. -1 waits forever.
    package borrowing func waitForEnd(milliseconds: Int32) -> Bool {
        let deadline = clinux_monotonic() + UInt64(max(milliseconds, 0)) * 1_000_000
        var left = milliseconds
        while true {
            var entry = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
            let count = Glibc.poll(&entry, 1, left)
            if count > 0 { return true }
            if count == 0 || errno != EINTR { return false }
            if milliseconds >= 0 {
                let now = clinux_monotonic()
                left = now >= deadline ? 0 : Int32((deadline - now + 999_999) / 1_000_000)
            }
        }
    }

    /// A descriptor of the process: the very one that it has, with the rights that it has there, not its file opened
    /// again with ours (pidfd_getfd(2)).
    package borrowing func descriptor(_ number: Int32) throws(ProcessError) -> FileDescriptor {
        let raw = clinux_pidfd_getfd(descriptor.rawValue, number)
        switch -raw {
        case ...0: return FileDescriptor(owning: raw)
        case ENOSYS: throw .noDescriptor(pid: pid, detail: "that takes Linux 5.6 or later")
        case EPERM:
            throw .noDescriptor(
                pid: pid,
                detail: "pidfd_getfd(2) is not permitted; a container's filter of system calls may be the reason, "
                    + "give the container CAP_SYS_PTRACE")
        default: throw .noDescriptor(pid: pid, detail: errorText(-raw))
        }
    }

    /// pidfd_send_signal(2).
    package borrowing func send(signal: Int32) throws(ProcessError) {
        let error = clinux_pidfd_send_signal(descriptor.rawValue, signal)
        guard error >= 0 else {
            throw -error == ESRCH ? .noSuchProcess(pid: pid) : .notPermitted(pid: pid, detail: errorText(-error))
        }
    }
}
