import CLinux
import Glibc

extension StoppedProcess {
    /// Makes a system call in the process and returns its result, -errno for an error. One thread makes it at
    /// a system call instruction that is in the process already, with all its signals blocked; then it is
    /// as it was, a system call that was interrupted included: also if we are killed meanwhile (`ReturnFrame`).
    package mutating func systemCall(_ number: Int, _ arguments: UInt64...) throws(ProcessError) -> Int64 {
        try systemCall(number, arguments: arguments)
    }

    package mutating func systemCall(_ number: Int, arguments: [UInt64]) throws(ProcessError) -> Int64 {
        let frame = try findReturnFrame()
        let address = if let frame { frame.call } else { try systemCallInstruction() }
        var restricted = 0
        var failure: ProcessError?
        for tracee in try candidates() {
            let status: ProcessStatus
            do { status = try ProcessStatus(thread: tracee.id, of: pid) } catch { continue }
            if status.seccomp != 0 {
                restricted = max(restricted, status.seccomp)
                continue
            }
            do throws(ProcessError) {
                return try tracee.withoutDispatch { () throws(ProcessError) in
                    try Self.call(tracee, number, arguments, at: address, frame, memory: memory)
                }
            } catch {
                // This thread has been killed; another one may still live.
                guard case .ended = error else { throw error }
                failure = error
            }
        }
        if restricted != 0 { throw .seccomp(pid: pid, mode: restricted) }
        throw failure ?? .ended(pid: pid)
    }

    private mutating func findReturnFrame() throws(ProcessError) -> ReturnFrame? {
        if let returnFrame { return returnFrame }
        let found = ReturnFrame(self, try MemoryMap(pid: pid))
        returnFrame = .some(found)
        return found
    }

    /// Threads that can make the call, the best first: one that waits in a system call cannot be inside a
    /// restartable sequence. Unless it is to be the main thread's.
    private borrowing func candidates() throws(ProcessError) -> [Tracee] {
        var waiting: [Tracee] = []
        var others: [Tracee] = []
        for thread in threads {
            let registers: Registers
            do { registers = try thread.registers() } catch {
                if case .ended = error { continue }
                throw error
            }
            guard registers.is64Bit else { continue }
            if registers.isInterruptedSystemCall { waiting.append(thread.tracee) } else { others.append(thread.tracee) }
        }
        let all = waiting + others
        return prefersMainThread ? all.filter { $0.id == pid } + all.filter { $0.id != pid } : all
    }

    /// Bytes of code that are searched.
    private static let searchLimit = 256 << 20

    /// A system call instruction in the vdso, or in any other code.
    private mutating func systemCallInstruction() throws(ProcessError) -> UInt64 {
        let wanted = Registers.systemCallInstruction
        if let systemCallAddress,
            let bytes = try? memory.read(at: systemCallAddress, count: wanted.count), bytes == wanted
        {
            return systemCallAddress
        }
        let map = try MemoryMap(pid: pid)
        let code = map.regions.filter { $0.permissions.contains(.execute) && $0.path != "[vsyscall]" }
        var searched = 0
        for region in code.filter({ $0.path == "[vdso]" }) + code.filter({ $0.path != "[vdso]" }) {
            var position = region.range.lowerBound
            while position < region.range.upperBound {
                // All of it may be a terabyte of nothing.
                searched += 1 << 16
                guard searched <= Self.searchLimit else { throw .noSystemCallInstruction(pid: pid) }
                // Chunks overlap, for an instruction across their border.
                let size = min(region.range.upperBound - position, 1 << 16)
                let bytes = (try? memory.read(at: position, count: Int(size))) ?? []
                let found = clinux_find(bytes, bytes.count, wanted, wanted.count)
                if found >= 0 {
                    systemCallAddress = position + UInt64(found)
                    return position + UInt64(found)
                }
                if position + size >= region.range.upperBound { break }
                position += size - UInt64(wanted.count - 1)
            }
        }
        throw .noSystemCallInstruction(pid: pid)
    }

    private static func call(
        _ tracee: Tracee, _ number: Int, _ arguments: [UInt64], at address: UInt64, _ frame: ReturnFrame?,
        memory: borrowing ProcessMemory
    ) throws(ProcessError) -> Int64 {
        let registers = try tracee.registers()
        let mask = try tracee.signalMask()
        // A restartable sequence (rseq(2)) that the thread is inside of: the kernel forgets it as soon as the
        // instruction pointer is elsewhere, and must be told again or it would not abort the sequence.
        let rseq = clinux_ptrace_rseq_address(tracee.id)
        let sequence = rseq == 0 ? 0 : (try? memory.load(UInt64.self, at: rseq + 8)) ?? 0

        var calling = registers.calling(number: number, arguments: arguments, at: address)
        if let frame {
            try frame.write(tracee, registers, signalMask: mask, to: memory)
            calling.stackPointer = frame.address
        }
        var result: Int64 = 0
        do {
            var rounds = 0
            repeat {
                // The registers before the mask, and the other way round at the end: from the first moment to the
                // last the thread finds its way back, to its own mask.
                try tracee.setRegisters(calling)
                if rounds == 0 { try tracee.setSignalMask(.max) }
                try runToSystemCallStop(tracee, number)
                try runToSystemCallStop(tracee, number)
                result = try tracee.registers().systemCallResult
                rounds += 1
            } while RestartCode.contains(result) && rounds < 100
            // Only from an interrupt stop does the kernel restart the system call that the thread was in.
            try tracee.settle()
        } catch {
            // Whatever has happened, the thread gets back what it had.
            try? tracee.setSignalMask(mask)
            try? tracee.setRegisters(registers)
            throw error
        }
        try tracee.setSignalMask(mask)
        try tracee.setRegisters(registers)
        if sequence != 0 { try memory.store(sequence, at: rseq + 8) }
        return result
    }

    /// Runs to the next entry or exit of a system call. Only SIGSTOP can come between, and is delivered.
    private static func runToSystemCallStop(_ tracee: Tracee, _ number: Int) throws(ProcessError) {
        try tracee.runToSystemCall()
        while true {
            switch tracee.wait(milliseconds: 30_000) {
            case .systemCall: return
            case .interrupted, .event: try tracee.runToSystemCall()
            case .signal(let signal): try tracee.runToSystemCall(signal: signal)
            case .ended: throw .ended(pid: tracee.process)
            case .late: throw .systemCallDoesNotReturn(pid: tracee.process, number: number)
            }
        }
    }
}
