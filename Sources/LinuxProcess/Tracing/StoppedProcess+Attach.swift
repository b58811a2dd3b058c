import CLinux
import Glibc

extension StoppedProcess {
    /// Stops a running process: PTRACE_SEIZE and PTRACE_INTERRUPT for every thread, until there is no new one.
    package static func attach(_ pid: pid_t) throws(ProcessError) -> StoppedProcess {
        // Threads of an earlier stop that are still to be let go would look like another tracer's.
        let deadline = clinux_monotonic() + 10_000_000_000
        while LateThreads.release(of: pid), clinux_monotonic() < deadline { usleep(1000) }
        try checkTraceable(pid)
        let tracees = try seizeAll(of: pid, seized: [])
        do {
            let memory = try ProcessMemory(pid: pid)
            return StoppedProcess(pid: pid, tracees: tracees, memory: memory)
        } catch {
            detach(tracees)
            throw error
        }
    }

    /// Says early and clearly why a process cannot be traced.
    package static func checkTraceable(_ pid: pid_t) throws(ProcessError) {
        let status = try ProcessStatus(pid)
        if status.threadGroup != pid { throw .notAProcess(thread: pid, process: status.threadGroup) }
        if pid == getpid() { throw .ownProcess }
        if status.state == .zombie || status.state == .dead { throw .zombie(pid: pid, name: status.name) }
        if status.isKernelThread { throw .kernelThread(pid: pid, name: status.name) }
        if status.tracer != 0 { throw alreadyTraced(pid, by: status.tracer) }
        try checkMachine(pid, name: status.name)
    }

    private static func alreadyTraced(_ pid: pid_t, by tracer: pid_t) -> ProcessError {
        // TracerPid is a thread's id.
        let process = (try? ProcessStatus(tracer))?.threadGroup ?? tracer
        return .alreadyTraced(
            pid: pid, tracer: process, tracerName: (try? ProcessStatus(process).name) ?? "another process")
    }

    /// Looks at the ELF header of the program.
    static func checkMachine(_ pid: pid_t, name: String) throws(ProcessError) {
        let header: [UInt8]
        do { header = try elfHeader("/proc/\(pid)/exe") } catch {
            switch error {
            case .file(_, _, EACCES), .file(_, _, EPERM): throw .notPermitted(pid: pid, detail: permissionDetail(pid))
            case .file(_, _, ENOENT), .file(_, _, ESRCH):
                // No longer there, or it ended while we looked.
                guard let status = try? ProcessStatus(pid), status.state != .zombie, status.state != .dead else {
                    throw .ended(pid: pid)
                }
                throw .kernelThread(pid: pid, name: name)
            default: throw error
            }
        }
        guard header.count == 20, header[..<4].elementsEqual([0x7f, 0x45, 0x4c, 0x46]) else {
            throw .unsupportedMachine(pid: pid, name: name, detail: "its program is not an ELF file")
        }
        guard header[4] == 2 else {
            throw .unsupportedMachine(pid: pid, name: name, detail: "it is a 32-bit program; only 64-bit ones can be traced")
        }
        let machine = UInt16(header[18]) | UInt16(header[19]) << 8
        guard machine == Registers.machine else {
            throw .unsupportedMachine(
                pid: pid, name: name, detail: "it is a program for another machine (ELF machine \(machine)), run by an emulator")
        }
    }

    private static func elfHeader(_ path: String) throws(ProcessError) -> [UInt8] {
        let file = try FileDescriptor(opening: path)
        var header = [UInt8](repeating: 0, count: 20)
        let count = header.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, $0.count, 0) }
        return Array(header.prefix(max(0, count)))
    }

    /// Seizes and stops all threads that are not in `seized`. On an error nothing stays seized of all of them.
    static func seizeAll(of pid: pid_t, seized: [Tracee], patience: UInt64 = 3000) throws(ProcessError) -> [Tracee] {
        var stopped = seized
        // Seized, but not stopped yet.
        var started: [Tracee] = []
        do throws(ProcessError) {
            var known = Set(seized.map(\.id))
            // A listing can miss a thread when another one ends meanwhile: twice without news is the end.
            var quiet = 0
            while quiet < 2 {
                let ids: [pid_t]
                do { ids = try ThreadInfo.ids(of: pid) } catch { throw ProcessError.ended(pid: pid) }
                for id in ids where !known.contains(id) {
                    let tracee = Tracee(id: id, process: pid)
                    if try seize(tracee) { started.append(tracee) }
                }
                quiet = started.isEmpty ? quiet + 1 : 0
                while let tracee = started.last {
                    do throws(ProcessError) {
                        try tracee.waitUntilInterrupted(milliseconds: patience)
                        try tracee.continueSystemCall()
                        stopped.append(tracee)
                        known.insert(tracee.id)
                    } catch {
                        // A thread may end while the others are being stopped.
                        guard case .ended = error else { throw error }
                        tracee.letGo()
                    }
                    started.removeLast()
                }
            }
            stopped.removeAll { $0.hasEnded }
            guard !stopped.isEmpty else { throw .ended(pid: pid) }
            // A main thread that has ended leaves /proc/PID without memory.
            guard stopped.contains(where: { $0.id == pid }) else {
                throw ProcessError.zombie(pid: pid, name: (try? ProcessStatus(pid).name) ?? "?")
            }
            return stopped.sorted { $0.id == pid && $1.id != pid }
        } catch {
            // Those that have not stopped are let go as soon as they do.
            for tracee in started { LateThreads.add(tracee) }
            LateThreads.release()
            detach(stopped)
            throw error
        }
    }

    /// False when the thread has ended meanwhile.
    private static func seize(_ tracee: Tracee) throws(ProcessError) -> Bool {
        let error = clinux_ptrace_seize(tracee.id, Tracee.optionSystemGood | Tracee.optionTraceExec)
        switch -error {
        case ...0: break
        case ESRCH: return false
        case EPERM, EACCES:
            // Threads that end are refused with EPERM too.
            guard let status = try? ProcessStatus(thread: tracee.id, of: tracee.process),
                status.state != .zombie, status.state != .dead
            else { return false }
            if status.tracer != 0 { throw alreadyTraced(tracee.process, by: status.tracer) }
            throw .notPermitted(pid: tracee.process, detail: permissionDetail(tracee.process))
        default: throw .trace(operation: "SEIZE", thread: tracee.id, error: -error)
        }
        do { try tracee.interrupt() } catch {
            if case .ended = error {
                tracee.letGo()
                return false
            }
            LateThreads.add(tracee)
            throw error
        }
        return true
    }
}
