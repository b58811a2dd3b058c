import CLinux
import LinuxProcess

/// Finds threads that are, or will return, to where they must not be when code changes.
struct StackScan {
    /// Bytes of each stack that are looked at, from the stack pointer up.
    private static let limit: UInt64 = 64 << 20
    /// The threads are stopped meanwhile, and may point anywhere: 100,000 stack pointers to 64 MiB each would take hours.
    private static let timeLimit: UInt64 = 5_000_000_000
    private static let chunk = 1 << 20

    /// A part of memory that is a thread's stack.
    private struct Span {
        var thread: Int
        var start: UInt64
        var end: UInt64
    }

    /// Calls `visit` for what may be an address that a thread goes on at: its instruction pointer, the registers that its
    /// architecture returns by, and every word on its stack, without what signs it: return addresses, and instruction pointers
    /// that signal frames keep. More than there are: any word may look like one.
    /// - Returns: false if that takes too long; then not all words were visited.
    static func words(
        of process: inout StoppedProcess, _ visit: (_ thread: Int, _ isInstructionPointer: Bool, UInt64) -> Void
    ) -> Bool {
        let map = (try? MemoryMap(pid: process.pid)) ?? MemoryMap(regions: [])
        for (index, thread) in process.threads.enumerated() {
            guard let registers = try? thread.registers() else { continue }
            visit(index, true, registers.instructionPointer)
            for word in registers.returnAddresses { visit(index, false, Registers.returnAddress(word)) }
        }
        return words(of: process, map) { span, _, word in visit(span.thread, false, Registers.returnAddress(word)) }
    }

    /// Gives threads that stand at one of these addresses, or will return there from a signal, another one to go on at.
    static func redirect(_ places: [UInt64: UInt64], in process: inout StoppedProcess) throws(ProcessError) {
        guard !places.isEmpty else { return }
        let map = try MemoryMap(pid: process.pid)
        for thread in process.threads {
            guard var registers = try? thread.registers(), let place = places[registers.instructionPointer] else { continue }
            registers.instructionPointer = place
            try thread.setRegisters(registers)
        }
        // Nobody returns to such a place: what may be there is an instruction pointer, as it is.
        var found: [(address: UInt64, place: UInt64)] = []
        let isComplete = words(of: process, map) { _, address, word in
            if let place = places[word] { found.append((address, place)) }
        }
        for (address, place) in found {
            try process.memory.write(withUnsafeBytes(of: place, Array.init), at: address)
        }
        guard isComplete else {
            throw .threadDoesNotStop(
                pid: process.pid, thread: process.pid,
                detail: "its threads' stacks are too large to be looked through while they are stopped")
        }
    }

    private static func words(
        of process: borrowing StoppedProcess, _ map: MemoryMap, _ visit: (Span, UInt64, UInt64) -> Void
    ) -> Bool {
        let deadline = clinux_monotonic() + timeLimit
        var stack = [UInt64](repeating: 0, count: chunk / 8)
        for span in spans(of: process, map) {
            var address = span.start
            while address < span.end {
                guard clinux_monotonic() < deadline else { return false }
                let wanted = min(Int(span.end - address), chunk)
                let got = stack.withUnsafeMutableBytes {
                    process.memory.readAvailable(at: address, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<wanted]))
                }
                for index in 0..<(got / 8) where stack[index] > 0xffff {
                    visit(span, address + UInt64(index) * 8, stack[index])
                }
                if got < wanted { break }
                address += UInt64(wanted)
            }
        }
        return true
    }

    /// The stacks, none of them twice: where several threads point into one mapping, each has what lies up to the next.
    private static func spans(of process: borrowing StoppedProcess, _ map: MemoryMap) -> [Span] {
        var pointers: [(thread: Int, pointer: UInt64)] = []
        for index in process.threads.indices {
            guard let registers = try? process.threads[index].registers() else { continue }
            pointers.append((index, registers.stackPointer & ~7))
        }
        pointers.sort { $0.pointer < $1.pointer }
        var spans: [Span] = []
        var next = UInt64.max
        for (thread, pointer) in pointers.reversed() {
            defer { next = pointer }
            guard let region = map.region(at: pointer) else { continue }
            let end = min(region.range.upperBound, pointer.addingReportingOverflow(limit).partialValue, next) & ~7
            if pointer < end { spans.append(Span(thread: thread, start: pointer, end: end)) }
        }
        return spans
    }
}
