import CLinux
import Glibc

/// One traced thread, and the ptrace requests on it.
struct Tracee {
    let id: pid_t
    let process: pid_t

    enum Stop: Equatable {
        /// PTRACE_EVENT_STOP: after an interrupt (SIGTRAP), or in a group stop (the stopping signal).
        case interrupted(signal: Int32)
        /// A signal is about to be delivered.
        case signal(Int32)
        /// Entry or exit of a system call (PTRACE_O_TRACESYSGOOD).
        case systemCall
        /// Another ptrace event, such as PTRACE_EVENT_EXEC.
        case event(Int32)
        /// The thread has ended.
        case ended
        /// Time is over.
        case late
    }

    static let optionSystemGood = 1
    static let optionTraceExec = 0x10
    static let optionExitKill = 0x10_0000
    static let eventExec: Int32 = 4
    static let eventStop: Int32 = 128

    /// Waits until the thread stops.
    func wait(milliseconds: UInt64) -> Stop {
        let deadline = clinux_monotonic() + milliseconds * 1_000_000
        var round = 0
        while true {
            var status: Int32 = 0
            switch clinux_wait_stop(id, &status) {
            case 0: break
            case 1:
                let signal = status & 0xff
                let event = status >> 8
                if event == Self.eventStop { return .interrupted(signal: signal) }
                if event != 0 { return .event(event) }
                return signal == SIGTRAP | 0x80 ? .systemCall : .signal(signal)
            default:
                reap()
                return .ended
            }
            // A leader that ended before its other threads never reports; its state says it.
            if round % 64 == 63 {
                if hasEnded { return .ended }
                if clinux_monotonic() > deadline { return .late }
            }
            round += 1
            if round < 32 { sched_yield() } else { usleep(round < 256 ? 50 : 1000) }
        }
    }

    /// The thread is gone or a zombie.
    var hasEnded: Bool {
        guard let status = try? ProcessStatus(thread: id, of: process) else { return true }
        return status.state == .zombie || status.state == .dead
    }

    /// What has become of a thread that was seized and stopped.
    enum Hold {
        case stopped
        /// Ours, but it runs.
        case running
        case ended
        /// A thread of that id is there, which we do not trace.
        case lost
    }

    var hold: Hold {
        guard let status = try? ProcessStatus(thread: id, of: process) else { return .ended }
        switch status.state {
        case .zombie, .dead: return .ended
        case _ where status.tracer != clinux_thread_id(): return .lost
        case .traced: return .stopped
        default: return .running
        }
    }

    /// Takes the end of a traced thread, so that it does not stay a zombie. The end of our own child is
    /// left to whoever waits for its exit status.
    func reap() {
        if isOwnChild { return }
        var value: Int32 = 0
        _ = clinux_wait_exit(id, 0, &value)
    }

    /// Lets go a thread that may be about to die: its end must be taken, or its process would wait for that
    /// forever.
    func letGo() {
        for _ in 0..<100 {
            let stop = wait(milliseconds: 1000)
            var signal: Int32 = 0
            switch stop {
            case .ended:
                // Of a main thread only after all other threads.
                if id == process { LateThreads.add(self) }
                return
            case .late: return LateThreads.add(self)
            case .signal(let pending): signal = pending
            case .interrupted, .systemCall, .event: break
            }
            if clinux_ptrace_detach(id, signal) >= 0 { return }
        }
        LateThreads.add(self)
    }

    private var isOwnChild: Bool {
        id == process && (try? ProcessStatus(process))?.parent == getpid()
    }

    func check(_ error: Int32, _ operation: String) throws(ProcessError) {
        guard error < 0 else { return }
        if -error == ESRCH { throw .ended(pid: process) }
        throw .trace(operation: operation, thread: id, error: -error)
    }

    func interrupt() throws(ProcessError) { try check(clinux_ptrace_interrupt(id), "INTERRUPT") }
    func resume(signal: Int32 = 0) throws(ProcessError) { try check(clinux_ptrace_continue(id, signal), "CONT") }
    func runToSystemCall(signal: Int32 = 0) throws(ProcessError) {
        try check(clinux_ptrace_system_call(id, signal), "SYSCALL")
    }
    func step(signal: Int32 = 0) throws(ProcessError) { try check(clinux_ptrace_step(id, signal), "SINGLESTEP") }
    func listen() throws(ProcessError) { try check(clinux_ptrace_listen(id), "LISTEN") }

    func registers() throws(ProcessError) -> Registers {
        var words = [UInt64](repeating: 0, count: Registers.wordCount)
        let got = words.withUnsafeMutableBytes { clinux_ptrace_get_registers(id, 1, $0.baseAddress, $0.count) }
        try check(Int32(truncatingIfNeeded: min(got, 0)), "GETREGSET")
        guard got == Registers.wordCount * 8 else {
            throw .unsupportedMachine(pid: process, name: "thread \(id)", detail: "it is a 32-bit program; only 64-bit ones can be traced")
        }
        return Registers(words: words)
    }

    /// NT_X86_XSTATE; empty where there is no such thing.
    func vectorRegisters() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 15)
        let got = bytes.withUnsafeMutableBytes { clinux_ptrace_get_registers(id, 0x202, $0.baseAddress, $0.count) }
        return Array(bytes.prefix(max(0, Int(got))))
    }

    func setRegisters(_ registers: Registers) throws(ProcessError) {
        let error = registers.words.withUnsafeBytes { clinux_ptrace_set_registers(id, 1, $0.baseAddress, $0.count) }
        try check(error, "SETREGSET")
    }

    /// Some system calls fail with EINTR when we stop their thread, where others are started again. These are, too,
    /// then: as far as the kernel can tell they are calls that it starts again if no signal handler runs.
    func continueSystemCall() throws(ProcessError) {
        var registers = try registers()
        guard registers.failedWhenStopped else { return }
        registers.systemCallResult = RestartCode.noHandler
        try setRegisters(registers)
    }

    /// How a thread wants its system calls dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH): Wine does. A call of ours
    /// would end in its handler, or end the process. Nil: not at all.
    func dispatch() throws(ProcessError) -> clinux_dispatch? {
        var dispatch = clinux_dispatch()
        let error = -clinux_ptrace_get_dispatch(id, &dispatch)
        if error == EIO {
            // Linux 5.11 to 6.3 have it and do not tell. It is of no use without a handler for SIGSYS.
            if let status = try? ProcessStatus(thread: id, of: process), status.seccomp == 0, status.catches(SIGSYS) {
                throw .dispatches(pid: process, thread: id)
            }
            return nil
        }
        try check(-error, "GET_SYSCALL_USER_DISPATCH_CONFIG")
        return dispatch.mode == 0 ? nil : dispatch
    }

    /// Runs `body` while the thread's system calls are not dispatched to itself.
    func withoutDispatch<Value>(_ body: () throws(ProcessError) -> Value) throws(ProcessError) -> Value {
        guard var dispatch = try dispatch() else { return try body() }
        // What is there can be set: then it can be given back.
        guard clinux_ptrace_set_dispatch(id, &dispatch) >= 0, clinux_ptrace_set_dispatch(id, nil) >= 0 else {
            throw .dispatches(pid: process, thread: id)
        }
        defer { _ = clinux_ptrace_set_dispatch(id, &dispatch) }
        return try body()
    }

    func signalMask() throws(ProcessError) -> UInt64 {
        var mask: UInt64 = 0
        try check(clinux_ptrace_get_signal_mask(id, &mask), "GETSIGMASK")
        return mask
    }

    func setSignalMask(_ mask: UInt64) throws(ProcessError) {
        try check(clinux_ptrace_set_signal_mask(id, mask), "SETSIGMASK")
    }

    /// From any stop to a PTRACE_EVENT_STOP, in which the kernel looks at the registers again before the
    /// thread goes on: an interrupted system call is started again from there, and from nowhere else.
    /// Signals that come are delivered. `pending` is the signal of the present stop.
    func settle(pending: Int32 = 0, milliseconds: UInt64 = 10_000) throws(ProcessError) {
        try interrupt()
        try resume(signal: pending)
        try waitUntilInterrupted(milliseconds: milliseconds)
    }

    /// Waits for the PTRACE_EVENT_STOP of an interrupt; delivers the signals that come before it. A thread that
    /// waits uninterruptibly is given so much time, one that only finds no processor more of it.
    /// - Parameter meanwhile: is called now and then.
    func waitUntilInterrupted(milliseconds: UInt64, _ meanwhile: () -> Void = {}) throws(ProcessError) {
        var extensions = 4
        var deadline = clinux_monotonic() + milliseconds * 1_000_000
        while true {
            switch wait(milliseconds: min(milliseconds, 100)) {
            case .interrupted: return
            case .signal(let signal): try resume(signal: signal)
            case .systemCall: try resume()
            case .event:
                try interrupt()
                try resume()
            case .ended: throw .ended(pid: process)
            case .late:
                meanwhile()
                guard clinux_monotonic() > deadline else { continue }
                extensions -= 1
                deadline = clinux_monotonic() + milliseconds * 1_000_000
                if extensions > 0, isRunnable || hold == .stopped { continue }
                throw .threadDoesNotStop(pid: process, thread: id, detail: waitDetail)
            }
        }
    }

    /// Whether it would run if it had a processor.
    private var isRunnable: Bool { (try? ProcessStatus(thread: id, of: process))?.state == .running }

    /// Where in the kernel the thread waits.
    var waitDetail: String {
        let state = (try? ProcessStatus(thread: id, of: process).state) ?? .unknown
        let place = (try? WholeFile.text("/proc/\(process)/task/\(id)/wchan")) ?? ""
        let inside = place.isEmpty || place == "0" ? "" : ", in the kernel's \(place)"
        return state == .uninterruptible ? "uninterruptible sleep\(inside)" : "state \(state.rawValue)\(inside)"
    }
}
