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

    /// All threads together may take so long to stop.
    private static let stopLimit: UInt64 = 30_000_000_000
    /// One of them, until it can be traced at all: a thread that executes a program is in the way.
    private static let seizeLimit: UInt32 = 5000

    /// Seizes and stops all threads that are not in `seized`. On an error nothing stays seized of all of them.
    static func seizeAll(of pid: pid_t, seized: [Tracee], patience: UInt64 = 3000) throws(ProcessError) -> [Tracee] {
        var stopped = seized
        // Seized, but not stopped yet.
        var started: [Tracee] = []
        let deadline = clinux_monotonic() + stopLimit
        do throws(ProcessError) {
            var known = Set(seized.map(\.id))
            // A listing can miss a thread when another one ends meanwhile: twice without news is the end.
            var quiet = 0
            while quiet < 2 {
                guard clinux_monotonic() < deadline else {
                    throw .threadDoesNotStop(pid: pid, thread: pid, detail: "its threads come and go too fast")
                }
                let ids: [pid_t]
                do { ids = try ThreadInfo.ids(of: pid) } catch { throw ProcessError.ended(pid: pid) }
                try seize(ids.filter { !known.contains($0) }, of: pid, held: stopped, into: &started)
                quiet = started.isEmpty ? quiet + 1 : 0
                while let tracee = started.last {
                    let held = (stopped + started).filter { $0.id != pid }
                    do throws(ProcessError) {
                        // A thread that executes a program waits until we have taken the end of each other one.
                        try tracee.waitUntilInterrupted(milliseconds: patience) { for other in held { clinux_take_end(other.id) } }
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
                guard quiet == 2 else { continue }
                // Where a thread has executed a program meanwhile, it is the main thread now, which was another one
                // that we had stopped: it may be traced by us and run, or not be traced.
                var isQuiet = true
                stopped.removeAll { tracee in
                    switch tracee.hold {
                    case .stopped: return false
                    case .ended: return true
                    case .running:
                        started.append(tracee)
                    case .lost: break
                    }
                    known.remove(tracee.id)
                    isQuiet = false
                    return true
                }
                for tracee in started { try? tracee.interrupt() }
                if !isQuiet { quiet = 0 }
            }
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

    /// Seizes and interrupts threads; those that have ended meanwhile are left out of `started`.
    private static func seize(
        _ ids: [pid_t], of pid: pid_t, held: [Tracee], into started: inout [Tracee]
    ) throws(ProcessError) {
        guard !ids.isEmpty else { return }
        let heldIDs = held.map(\.id)
        var errors = [Int32](repeating: 0, count: ids.count)
        let count = heldIDs.withUnsafeBufferPointer { held in
            ids.withUnsafeBufferPointer { threads in
                errors.withUnsafeMutableBufferPointer { errors in
                    var seizing = clinux_seizing(
                        process: pid, options: Tracee.optionSystemGood | Tracee.optionTraceExec, held: held.baseAddress,
                        held_count: held.count, threads: threads.baseAddress, count: threads.count,
                        errors: errors.baseAddress, milliseconds: seizeLimit)
                    return clinux_ptrace_seize_all(&seizing)
                }
            }
        }
        var failure: ProcessError?
        for (id, error) in zip(ids, errors).prefix(count) {
            let tracee = Tracee(id: id, process: pid)
            switch error {
            case 0: started.append(tracee)
            case ESRCH: break
            case ECHILD: tracee.letGo()
            case ETIMEDOUT:
                failure = .threadDoesNotStop(
                    pid: pid, thread: id, detail: "the process executes a program, and does not come to an end with that")
            default: do throws(ProcessError) { try refused(tracee, error) } catch { failure = error }
            }
        }
        if let failure { throw failure }
    }

    /// Why a thread could not be seized; nothing if it has ended meanwhile.
    private static func refused(_ tracee: Tracee, _ error: Int32) throws(ProcessError) {
        guard error == EPERM || error == EACCES else {
            throw .trace(operation: "SEIZE", thread: tracee.id, error: error)
        }
        // Threads that end are refused with EPERM too.
        guard let status = try? ProcessStatus(thread: tracee.id, of: tracee.process),
            status.state != .zombie, status.state != .dead
        else { return }
        if status.tracer != 0 { throw alreadyTraced(tracee.process, by: status.tracer) }
        throw .notPermitted(pid: tracee.process, detail: permissionDetail(tracee.process))
    }
}
