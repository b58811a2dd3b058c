import CLinux
import Glibc

/// A process whose threads are all stopped under ptrace. At the end of its life every thread is let go, as it
/// was: nothing is left traced. All of it on one thread (`TracerThread`).
package struct StoppedProcess: ~Copyable {
    package let pid: pid_t
    /// The threads that were alive when the process stopped, the main thread first.
    package let threads: [Thread]
    package let memory: ProcessMemory
    /// Address of a system call instruction in the target's code, looked for once.
    var systemCallAddress: UInt64?
    /// The way back for a thread that we leave alone in a system call, looked for once.
    var returnFrame: ReturnFrame??

    /// Whether the main thread makes the system calls, if it can: descriptors are its own, or its process's, as seen
    /// from outside.
    package var prefersMainThread = false

    /// One stopped thread; of use only while the process is stopped.
    package struct Thread: Sendable, Identifiable {
        let tracee: Tracee
        package var id: pid_t { tracee.id }

        /// PTRACE_GETREGSET.
        package func registers() throws(ProcessError) -> Registers { try tracee.registers() }

        /// PTRACE_SETREGSET. A thread whose registers say `isInterruptedSystemCall` starts its system call
        /// again at the instruction before `instructionPointer`: whoever moves it must move that too.
        package func setRegisters(_ registers: Registers) throws(ProcessError) { try tracee.setRegisters(registers) }

        /// Whether its system calls are dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH).
        package var dispatchesSystemCalls: Bool { ((try? tracee.dispatch()) ?? nil) != nil }

        /// False once the thread has been killed.
        package var isAlive: Bool { !tracee.hasEnded }
    }

    init(pid: pid_t, tracees: [Tracee], memory: consuming ProcessMemory) {
        self.pid = pid
        threads = tracees.map(Thread.init)
        self.memory = memory
    }

    /// Lets all threads go on (PTRACE_DETACH). A process that was stopped by a signal stays stopped.
    package consuming func resume() {}

    /// Kills the process (SIGKILL) instead of letting it go on.
    package consuming func kill() { _ = Glibc.kill(pid, SIGKILL) }

    deinit { Self.detach(threads.map(\.tracee)) }

    static func detach(_ tracees: [Tracee]) {
        // The first to go on may end the process, which kills the others in their stop.
        for tracee in tracees.filter({ clinux_ptrace_detach($0.id, 0) < 0 }) { tracee.letGo() }
    }
}
