import Glibc
import LinuxProcess
import Trampoline

extension ProcessEngine {
    /// Takes everything out of the target and of the children that it forked, and ends the events.
    ///
    /// A command that never ran is ended. A process whose threads are still inside our code keeps that code:
    /// it runs on, and finds its own bytes at every function's entry.
    package func detach() async throws(EngineError) -> EngineSummary {
        if let finished { return finished }
        libraryWatch?.stop()
        if isHeld, isChild, traced.isEmpty { killHeld() }
        leaveFindersAlone()
        let (kept, failure) = removeEverywhere()
        await reader.stop()
        if let finished { return finished }
        var summary = summaryNow()
        summary.keptCode = kept
        finished = summary
        traced = [:]
        queue.finish()
        if let failure { throw failure }
        return summary
    }

    /// Takes the programs off the functions that unwinders find our frames by: these may have to stay patched.
    private func leaveFindersAlone() {
        guard isOurs else { return }
        for finder in functions.unwinders().hooks {
            for link in traced[finder.address]?.lists.links ?? [] where link.id != OwnLink.unwinding {
                do throws(EngineError) {
                    try unlink(link.id)
                } catch {
                    queue.append([.warning("\(error)")])
                }
            }
        }
    }

    /// Takes everything out of all processes that hold our memory: the target, and what it forked. The code had
    /// to be kept in one of them, or one of them could not be cleaned: then both are told.
    func removeEverywhere() -> (kept: Bool, failure: EngineError?) {
        guard let identity = shared?.region.identity else { return (false, nil) }
        var kept = false
        var failure: EngineError?
        var done: Set<Int32> = []
        // Children may be forked while we are at it: until no new one is found.
        for _ in 0..<8 {
            let processes = MappedProcesses.all(identity).filter { $0 != getpid() && !done.contains($0) }
            if processes.isEmpty { break }
            for pid in processes {
                done.insert(pid)
                do throws(EngineError) {
                    if try remove(from: pid) == false { kept = true }
                } catch {
                    // A process that ends while we are at it needs nothing undone.
                    if let status = try? ProcessStatus(pid), status.state != .zombie, status.state != .dead {
                        failure = error
                    }
                }
            }
        }
        return (kept, failure)
    }

    package func summary() -> EngineSummary { finished ?? summaryNow() }

    func summaryNow() -> EngineSummary {
        var summary = EngineSummary()
        summary.counts = retiredCounts
        for function in traced.values {
            guard let counters = function.counters else { continue }
            let values = counters.values
            summary.counts.append(
                CallCount(
                    function: function.info, entered: values.entered, returned: values.returned,
                    seesReturns: function.image?.callsFunction ?? false))
        }
        summary.counts.sort { ($1.entered, $0.function.name) < ($0.entered, $1.function.name) }
        for source in reader.rings where source.map.dropped > 0 {
            summary.drops.append((source.map.name, source.map.dropped))
        }
        summary.abandoned = reader.abandoned
        return summary
    }

    /// Takes everything out of one process; false if its code had to stay mapped.
    private func remove(from pid: Int32) throws(EngineError) -> Bool {
        let finders = Set(self.functions.unwinders().hooks.map(\.address))
        var functions = RestoredFunctions()
        for function in retiredFunctions + traced.values {
            functions.add(function.displaced, function.jump ?? [], isFinder: finders.contains(function.info.address))
        }
        // Threads inside our code leave it sooner or later; they are waited for a little, and longer while they
        // only wait for a processor.
        for attempt in 0..<24 {
            let use =
                if pid == processID, life.isAlive {
                    try withStopped { engine, process throws(EngineError) in
                        try engine.remove(functions, from: &process)
                    }
                } else {
                    try removeFromChild(pid, functions)
                }
            if use == .over { return true }
            if use == .waiting, attempt >= 5 { break }
            usleep(10_000 << UInt32(min(attempt, 4)))
        }
        disown(in: pid)
        return false
    }

    /// Code that has to stay is nobody's from now on: nothing jumps to it, and a later session need not mind it.
    private func disown(in pid: Int32) {
        guard let memory = try? ProcessMemory(pid: pid) else { return }
        for region in codeRegions where isOurs(region, in: memory) {
            try? memory.write(CodeRegion.nobody, at: region.base + CodeRegion.controllerOffset)
        }
    }

    private func removeFromChild(
        _ pid: Int32, _ functions: RestoredFunctions
    ) throws(EngineError) -> CodeUse {
        var process: StoppedProcess
        do throws(ProcessError) {
            process = try StoppedProcess.attach(pid)
        } catch {
            throw EngineError.opening(pid, error)
        }
        return try remove(functions, from: &process)
    }

    /// Functions that get their own bytes again.
    private struct RestoredFunctions: Sendable {
        struct List: Sendable {
            var displaced: [DisplacedEntry] = []
            var jumps: [ShortBytes] = []
        }

        var traced = List()
        /// Those by which unwinders find our frames: they come last, when no call is inside any more. Where our code has to
        /// stay, because one is, they stay patched.
        var finders = List()

        mutating func add(_ displaced: DisplacedEntry, _ jump: ShortBytes, isFinder: Bool) {
            let list = isFinder ? \RestoredFunctions.finders : \.traced
            self[keyPath: list].displaced.append(displaced)
            self[keyPath: list].jumps.append(jump)
        }
    }

    private func remove(
        _ functions: RestoredFunctions, from process: inout StoppedProcess
    ) throws(EngineError) -> CodeUse {
        guard let identity = shared?.region.identity, MappedProcesses.holds(process.pid, identity) else { return .over }
        try restore(functions.traced.displaced, jumps: functions.traced.jumps, in: &process)
        let use = codeUse(by: &process)
        if use != .over { return use }
        try restore(functions.finders.displaced, jumps: functions.finders.jumps, in: &process)
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: process.pid)
        } catch {
            throw .target(pid: process.pid, doing: "give its memory back", because: "\(error)")
        }
        // A child that was forked before a region was made has something else at its place, or nothing.
        for region in codeRegions where isOurs(region, in: process.memory) {
            _ = try? process.systemCall(SystemCall.munmap, region.base, UInt64(region.size))
        }
        let shared = sharedRegions.filter { region in
            map.region(at: region.targetAddress).map { region.identity.isFile(of: $0) } ?? false
        }
        if process.pid == processID || shared.contains(where: { $0 === self.shared?.region }) {
            _ = try? process.systemCall(SystemCall.munmap, scratchPage, ProcessEngine.privateSize)
        }
        // The first region last: it is what tells that the process still holds our memory.
        for region in shared.reversed() {
            _ = try? process.systemCall(SystemCall.munmap, region.targetAddress, UInt64(region.size))
        }
        return .over
    }

    private func isOurs(_ region: CodeRegion, in memory: borrowing ProcessMemory) -> Bool {
        let head = region.head(controller: getpid(), startTime: ControllerIdentity.startTime)
        // Magic, version, controller, start time.
        return (try? memory.read(at: region.base, count: 24)) == Array(head.prefix(24))
    }

    /// Whether a call of a traced function may still return into our code: on a thread's stack, or, where a
    /// call has not returned, on one that no thread runs on now (a coroutine's, one left by a signal handler).
    private func codeUse(by process: inout StoppedProcess) -> CodeUse {
        var inside: Set<Int> = []
        StackScan.words(of: &process) { thread, _, word in if isOurCode(word) { inside.insert(thread) } }
        let isLeaving = inside.contains { index in
            (try? process.threads[index].registers()).map { !$0.isInterruptedSystemCall } ?? false
        }
        if isLeaving { return .leaving }
        if !inside.isEmpty { return .waiting }
        let hasOpenCalls = (traced.values.map { ($0.counters, $0.image?.callsFunction ?? false) } + retiredCounters)
            .contains {
                guard let counters = $0, $1 else { return false }
                let values = counters.values
                return values.entered != values.returned
            }
        return hasOpenCalls ? .waiting : .over
    }

    /// Whether somebody is inside our code.
    private enum CodeUse {
        case over
        /// A thread that runs: it will be outside as soon as it has a processor.
        case leaving
        /// A thread that waits in a system call, or a call that no thread is in now.
        case waiting
    }

    /// Whether bytes are a jump of ours, though to another image: a child that was forked before a program came or went has
    /// the jumps of then.
    private func isJumpToOurs(_ bytes: ShortBytes, _ patch: CodePatches.Patch) -> Bool {
        guard bytes.count == patch.expected.count, bytes.count >= Architecture.jumpSize, bytes[0] == patch.expected[0],
            bytes.dropFirst(Architecture.jumpSize).elementsEqual(patch.expected.dropFirst(Architecture.jumpSize)),
            let target = Architecture.jumpTarget(of: bytes, at: patch.address)
        else { return false }
        return isOurCode(target)
    }

    /// Gives functions their own bytes back, where they still hold our jump, and moves threads out of the
    /// copies of their first instructions.
    /// - Parameter jumps: of each function; empty where there is none.
    func restore(
        _ functions: [DisplacedEntry], jumps: [ShortBytes], in process: inout StoppedProcess
    ) throws(EngineError) {
        do throws(ProcessError) {
            // A thread between the two jumps of an entry stands in what is padding again.
            var padded: [UInt64: UInt64] = [:]
            for (displaced, jump) in zip(functions, jumps) where displaced.patchAddress < displaced.address && !jump.isEmpty {
                padded[displaced.patchAddress] = displaced.address
            }
            try StackScan.redirect(padded, in: &process)
            // Where something else stands: a library that this process has unloaded, or a child never loaded.
            _ = try CodePatches(
                zip(functions, jumps).compactMap { displaced, jump in
                    jump.isEmpty
                        ? nil : .init(address: displaced.patchAddress, expected: jump, new: displaced.originalBytes)
                }
            ).apply(to: process.memory, accepts: isJumpToOurs)
            for thread in process.threads {
                guard var registers = try? thread.registers(), isOurCode(registers.instructionPointer) else { continue }
                for displaced in functions {
                    if let original = displaced.original(of: registers.instructionPointer) {
                        registers.instructionPointer = original
                        try thread.setRegisters(registers)
                        break
                    }
                }
            }
        } catch {
            throw .target(pid: process.pid, doing: "give its functions their bytes back", because: "\(error)")
        }
    }
}
