import CLinux
import Glibc

extension StoppedProcess {
    /// Starts a command and stops it where the dynamic linker has mapped and relocated all libraries and has not called their
    /// constructors yet; a program without a dynamic linker at its entry point. Until it is let go it dies with this process.
    /// The caller takes its exit status (`ProcessExit`).
    package static func launch(_ command: Command) throws(ProcessError) -> StoppedProcess {
        LateThreads.release()
        let (pid, go, failureDescriptor) = try command.fork()
        let main = Tracee(id: pid, process: pid)
        let error = clinux_ptrace_seize(
            pid, Tracee.optionSystemGood | Tracee.optionTraceExec | Tracee.optionExitKill)
        guard error >= 0 else {
            close(go)
            close(failureDescriptor)
            end(pid)
            throw .notPermitted(pid: pid, detail: "PTRACE_SEIZE of a command just started: \(errorText(-error))")
        }
        let sent = clinux_spawn_go(go)
        do throws(ProcessError) {
            guard sent >= 0 else {
                close(failureDescriptor)
                throw ProcessError.ended(pid: pid)
            }
            try reachExec(main, command, failureDescriptor)
            var reached = try reachStart(main, command)
            // What audits the dynamic linker may have started threads.
            reached = try seizeAll(of: pid, seized: reached)
            return StoppedProcess(pid: pid, tracees: reached, memory: try ProcessMemory(pid: pid))
        } catch {
            // Its exit status, and with it its id, may have been taken already.
            if case .endedBeforeEntry = error { throw error }
            end(pid)
            throw error
        }
    }

    /// Kills and reaps a child that failed to start.
    private static func end(_ pid: pid_t) {
        _ = Glibc.kill(pid, SIGKILL)
        var value: Int32 = 0
        // The main thread ends after the others, and those that are traced after their end has been taken.
        while clinux_wait_exit(pid, 0, &value) == 0 {
            LateThreads.release()
            usleep(1000)
        }
    }

    /// Runs to the PTRACE_EVENT_EXEC; an exec that fails is told by the child through `failure`.
    private static func reachExec(_ main: Tracee, _ command: Command, _ failure: Int32) throws(ProcessError) {
        var reading = true
        defer { if reading { close(failure) } }
        func explain() throws(ProcessError) -> Never {
            reading = false
            var reason = clinux_spawn_failure()
            guard clinux_spawn_failure_read(failure, &reason) == 1 else { throw .ended(pid: main.id) }
            throw command.error(reason)
        }
        while true {
            switch main.wait(milliseconds: 30_000) {
            case .event(Tracee.eventExec): return
            case .event: try main.resume()
            case .signal(let signal): try main.resume(signal: signal)
            case .interrupted(let signal): try main.passStop(signal)
            case .systemCall: try main.resume()
            case .ended: try explain()
            case .late: throw .cannotLaunch(operation: "exec", error: ETIMEDOUT)
            }
        }
    }

    /// From PTRACE_EVENT_EXEC to the place where the command waits.
    private static func reachStart(_ main: Tracee, _ command: Command) throws(ProcessError) -> [Tracee] {
        while true {
            try checkMachine(main.id, name: command.name)
            let memory = try ProcessMemory(pid: main.id)
            // The breakpoint's SIGTRAP must not be blocked, or the kernel would change its disposition.
            let mask = try main.signalMask()
            try main.setSignalMask(mask & ~(1 << UInt64(SIGTRAP - 1)))
            guard try runToStart(main, command, memory) else { continue }
            if mask & (1 << UInt64(SIGTRAP - 1)) != 0 {
                try main.setSignalMask(try main.signalMask() | 1 << UInt64(SIGTRAP - 1))
            }
            try main.settle()
            return [main]
        }
    }

    /// False when the program has been replaced by another one before it got there.
    private static func runToStart(
        _ main: Tracee, _ command: Command, _ memory: borrowing ProcessMemory
    ) throws(ProcessError) -> Bool {
        let vector = try AuxiliaryVector(pid: main.id)
        let entry = try Breakpoint(at: vector.entry, in: memory)
        // glibc calls `_dl_debug_state` when it begins to map libraries, too, and for an auditor's; musl only in the end.
        let linker = vector.interpreterBase.flatMap { DynamicLinker(at: $0, in: main.id) }
        guard let linker else {
            guard try runToBreakpoint(main, command, [entry]) != nil else { return false }
            try entry.remove(from: memory)
            return true
        }
        let notification = try Breakpoint(at: linker.notification, in: memory)
        while let place = try runToBreakpoint(main, command, [entry, notification]) {
            if place == entry.address || linker.isConsistent(in: memory) != false {
                try entry.remove(from: memory)
                try notification.remove(from: memory)
                return true
            }
            try notification.remove(from: memory)
            guard try stepOver(main, command) else { return false }
            try notification.insert(in: memory)
        }
        return false
    }

    /// Runs to one of the breakpoints, and stands in front of it then. Nil when the program has been replaced by another one.
    private static func runToBreakpoint(
        _ main: Tracee, _ command: Command, _ breakpoints: [Breakpoint]
    ) throws(ProcessError) -> UInt64? {
        try main.resume()
        while true {
            // The dynamic linker may take its time with many libraries on a slow disk.
            switch main.wait(milliseconds: 3_600_000) {
            case .event(Tracee.eventExec): return nil
            case .event, .systemCall: try main.resume()
            case .interrupted(let signal): try main.passStop(signal)
            case .signal(let signal):
                var registers = try main.registers()
                let place = registers.instructionPointer &- Registers.breakpointAdvance
                if signal == SIGTRAP, breakpoints.contains(where: { $0.address == place }) {
                    registers.instructionPointer = place
                    try main.setRegisters(registers)
                    return place
                }
                try main.resume(signal: signal)
            case .ended: throw endedEarly(main, command)
            case .late: throw .cannotLaunch(operation: "the program's start", error: ETIMEDOUT)
            }
        }
    }

    /// Executes one instruction, no signal handler before it. False when the program has been replaced by another one.
    private static func stepOver(_ main: Tracee, _ command: Command) throws(ProcessError) -> Bool {
        let mask = try main.signalMask()
        let start = try main.registers().instructionPointer
        try main.setSignalMask(~(1 << UInt64(SIGTRAP - 1)))
        try main.step()
        while true {
            switch main.wait(milliseconds: 30_000) {
            case .event(Tracee.eventExec): return false
            case .event, .systemCall: try main.step()
            case .interrupted(let signal): if signal == SIGTRAP { try main.step() } else { try main.listen() }
            case .signal(SIGTRAP):
                if try main.registers().instructionPointer == start {
                    try main.step()
                    continue
                }
                try main.setSignalMask(mask)
                return true
            case .signal(let signal): try main.step(signal: signal)
            case .ended: throw endedEarly(main, command)
            case .late: throw .cannotLaunch(operation: "the program's start", error: ETIMEDOUT)
            }
        }
    }

    private static func endedEarly(_ main: Tracee, _ command: Command) -> ProcessError {
        var value: Int32 = 0
        let kind = clinux_wait_exit(main.id, 1, &value)
        guard let status = ProcessExit(kind: kind, value: value) else { return .ended(pid: main.id) }
        return .endedBeforeEntry(path: command.name, status: status)
    }
}

/// A breakpoint instruction in a process that does not outlive us before it is gone again.
private struct Breakpoint {
    let address: UInt64
    private let original: [UInt8]

    init(at address: UInt64, in memory: borrowing ProcessMemory) throws(ProcessError) {
        self.address = address
        original = try memory.read(at: address, count: Registers.breakpointInstruction.count)
        try insert(in: memory)
    }

    func insert(in memory: borrowing ProcessMemory) throws(ProcessError) {
        try memory.write(Registers.breakpointInstruction, at: address)
    }

    func remove(from memory: borrowing ProcessMemory) throws(ProcessError) { try memory.write(original, at: address) }
}

extension Tracee {
    /// Goes on from a PTRACE_EVENT_STOP: a thread in a group stop stays in it until SIGCONT.
    func passStop(_ signal: Int32) throws(ProcessError) {
        if signal == SIGTRAP { try resume() } else { try listen() }
    }
}

/// /proc/PID/auxv: what the kernel told the program at its start.
package struct AuxiliaryVector: Sendable {
    private let values: [UInt64: UInt64]

    package init(pid: pid_t) throws(ProcessError) {
        let path = "/proc/\(pid)/auxv"
        let bytes = try WholeFile.bytes(path)
        var values: [UInt64: UInt64] = [:]
        bytes.withUnsafeBytes { bytes in
            for offset in stride(from: 0, through: bytes.count - 16, by: 16) {
                values[bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)] =
                    bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
            }
        }
        self.values = values
        guard let entry = values[9] else { throw .malformed(path: path, detail: "no AT_ENTRY") }
        self.entry = entry
    }

    /// AT_ENTRY: the program's entry point.
    package let entry: UInt64
    /// AT_BASE: where the dynamic linker is; nil in a static program.
    package var interpreterBase: UInt64? { values[7].flatMap { $0 == 0 ? nil : $0 } }
    /// AT_SYSINFO_EHDR: where the vdso is.
    package var vdso: UInt64? { values[33] }
    /// AT_PHDR: the program headers of the program.
    package var programHeaders: UInt64? { values[3] }
}
