import CLinux

/// Why something could not be done with a process: what was tried, why not, what to do.
package enum ProcessError: Error, Equatable, Sendable {
    /// A file could not be opened or read; `operation` says which of the two.
    case file(operation: String, path: String, error: Int32)

    // Launching
    /// No file of that name in any folder of PATH.
    case commandNotFound(name: String)
    /// The file is there, but exec refused it.
    case cannotExecute(path: String, error: Int32, detail: String)
    /// The working directory of the command.
    case workingDirectory(path: String, error: Int32)
    /// fork, a pipe or a redirection.
    case cannotLaunch(operation: String, error: Int32)
    /// The program ended before its entry point, in the dynamic linker for instance.
    case endedBeforeEntry(path: String, status: ProcessExit)

    // Attaching
    case noSuchProcess(pid: pid_t)
    case notAProcess(thread: pid_t, process: pid_t)
    case ownProcess
    case zombie(pid: pid_t, name: String)
    case kernelThread(pid: pid_t, name: String)
    case notPermitted(pid: pid_t, detail: String)
    case alreadyTraced(pid: pid_t, tracer: pid_t, tracerName: String)
    case unsupportedMachine(pid: pid_t, name: String, detail: String)
    case threadDoesNotStop(pid: pid_t, thread: pid_t, detail: String)
    case ended(pid: pid_t)

    // Working with a stopped process
    case trace(operation: String, thread: pid_t, error: Int32)
    case seccomp(pid: pid_t, mode: Int)
    /// PR_SET_SYSCALL_USER_DISPATCH.
    case dispatches(pid: pid_t, thread: pid_t)
    case noSystemCallInstruction(pid: pid_t)
    case systemCallDoesNotReturn(pid: pid_t, number: Int)
    /// pidfd_getfd(2).
    case noDescriptor(pid: pid_t, detail: String)
    case memoryRead(pid: pid_t, address: UInt64, count: Int, error: Int32)
    case memoryWrite(pid: pid_t, address: UInt64, count: Int, error: Int32)
    /// All of it.
    case memoryGone(pid: pid_t)

    // Files of the process
    case malformed(path: String, detail: String)
    case moduleFile(path: String, detail: String)
}

extension ProcessError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .file(let operation, let path, let error):
            "cannot \(operation) \(path): \(errorText(error))"
        case .commandNotFound(let name):
            "\(name): command not found in PATH; give its path, or check the spelling"
        case .cannotExecute(let path, let error, let detail):
            "cannot execute \(path): \(detail.isEmpty ? errorText(error) : detail)"
        case .workingDirectory(let path, let error):
            "cannot change to the working directory \(path): \(errorText(error))"
        case .cannotLaunch(let operation, let error):
            "cannot launch the command: \(operation): \(errorText(error))"
        case .endedBeforeEntry(let path, let status):
            "\(path) ended before its first instruction (\(status)); nothing was traced"
        case .noSuchProcess(let pid):
            "no process \(pid): it has ended, or the number is wrong; 'pgrep -l NAME' shows what runs"
        case .notAProcess(let thread, let process):
            "\(thread) is a thread of process \(process); use \(process)"
        case .ownProcess:
            "fsession cannot trace itself"
        case .zombie(let pid, let name):
            "process \(pid) (\(name)) has ended already and only waits for its parent"
        case .kernelThread(let pid, let name):
            "\(pid) (\(name)) is a kernel thread, not a process with user code"
        case .notPermitted(let pid, let detail):
            "no permission to trace process \(pid): \(detail)"
        case .alreadyTraced(let pid, let tracer, let tracerName):
            "process \(pid) is traced by \(tracerName) (\(tracer)) already; end that first"
        case .unsupportedMachine(let pid, let name, let detail):
            "process \(pid) (\(name)) cannot be traced: \(detail)"
        case .threadDoesNotStop(let pid, let thread, let detail):
            "thread \(thread) of process \(pid) does not stop (\(detail)); try again later"
        case .ended(let pid):
            "process \(pid) has ended"
        case .trace(let operation, let thread, let error):
            "ptrace \(operation) of thread \(thread) failed: \(errorText(error))"
        case .seccomp(let pid, let mode):
            "process \(pid) restricts its system calls by seccomp (\(mode == 1 ? "strict" : "a filter")), "
                + "so that no memory can be made in it; trace it without its sandbox"
        case .dispatches(let pid, let thread):
            "thread \(thread) of process \(pid) may dispatch its system calls to itself (PR_SET_SYSCALL_USER_DISPATCH, as Wine "
                + "does), and this kernel cannot turn that off for a moment; it takes Linux 6.4 or later"
        case .noSystemCallInstruction(let pid):
            "process \(pid) has no system call instruction in its code"
        case .systemCallDoesNotReturn(let pid, let number):
            "system call \(number) made in process \(pid) does not return"
        case .noDescriptor(let pid, let detail):
            "cannot share a file descriptor with process \(pid): \(detail)"
        case .memoryRead(let pid, let address, let count, let error):
            "cannot read \(count) bytes at \(hexadecimal(address)) of process \(pid): \(errorText(error))"
        case .memoryWrite(let pid, let address, let count, let error):
            "cannot write \(count) bytes at \(hexadecimal(address)) of process \(pid): \(errorText(error))"
        case .memoryGone(let pid):
            "the memory of process \(pid) is gone: it has ended, or executes another program"
        case .malformed(let path, let detail):
            "\(path) is not as expected: \(detail)"
        case .moduleFile(let path, let detail):
            "cannot read the module \(path): \(detail)"
        }
    }
}

/// strerror(3), for every thread.
package func errorText(_ error: Int32) -> String {
    String(cString: clinux_error_text(error))
}

func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
