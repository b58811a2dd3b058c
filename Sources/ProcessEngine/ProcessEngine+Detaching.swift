import CLinux
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
        let result = await beginEnd().value
        queue.finish()
        return try result.get()
    }

    /// Begins the end of the session, once. From here on every entry of the engine refuses to attach: what was asked for
    /// before, a library's coming for instance, may run while the end waits for the reader.
    func beginEnd() -> Task<Result<EngineSummary, EngineError>, Never> {
        if let ending { return ending }
        libraryWatch?.stop()
        let task = Task { await self.takeOut() }
        ending = task
        return task
    }

    private func takeOut() async -> Result<EngineSummary, EngineError> {
        killUntouched()
        leaveFindersAlone()
        let removal = removeEverywhere()
        // A command that was launched and has not been let go yet is not left stopped.
        try? resume()
        await reader.stop()
        var summary = summaryNow()
        summary.keptCode = removal.kept
        summary.overpatched = removal.overpatched
        finished = summary
        traced = [:]
        for module in standing.takeAwaited() {
            queue.append([.warning("\(module) was never loaded; nothing of it was traced")])
        }
        shared?.region.claim.giveUp()
        if let failure = removal.failure { return .failure(failure) }
        return .success(summary)
    }

    /// Takes the programs off the functions that unwinders find our frames by: these may have to stay patched.
    private func leaveFindersAlone() {
        guard isOurs else { return }
        for finder in functions.unwinders().hooks {
            for link in traced[finder.address]?.lists.links ?? [] where !link.isOf(.unwinding) {
                do throws(EngineError) {
                    try unlink(link.id)
                } catch {
                    queue.append([.warning("\(error)")])
                }
            }
        }
    }

    /// What taking everything out came to.
    struct Removal {
        /// The code had to be kept in one of the processes.
        var kept = false
        var overpatched: [FunctionInfo] = []
        /// One of them could not be cleaned.
        var failure: EngineError?
    }

    /// Takes everything out of all processes that hold our memory: the target, and what it forked.
    private func removeEverywhere() -> Removal {
        var removal = Removal()
        guard let identity = shared?.region.identity else { return removal }
        var done: Set<Int32> = []
        // Children may be forked while we are at it: until no new one is found.
        for _ in 0..<8 {
            var processes = MappedProcesses.all(identity).filter { $0 != getpid() && !done.contains($0) }
            // A target that has unmapped our memory has our jumps all the same.
            if !done.contains(processID), life.isRunning, !processes.contains(processID) { processes.append(processID) }
            if processes.isEmpty { break }
            for pid in processes {
                done.insert(pid)
                do throws(EngineError) {
                    switch try remove(from: pid) {
                    case .over: break
                    case .overpatched(let functions):
                        removal.kept = true
                        for function in functions where !removal.overpatched.contains(where: { $0.address == function.address }) {
                            removal.overpatched.append(function)
                        }
                    case .leaving, .waiting: removal.kept = true
                    }
                } catch {
                    // A process that ends while we are at it needs nothing undone, nor does one that has executed a
                    // program that is not ours to stop.
                    if let status = try? ProcessStatus(pid), status.state != .zombie, status.state != .dead,
                        pid != processID || life.isRunning && hasOurProgram
                    { removal.failure = error }
                }
            }
        }
        return removal
    }

    /// Whether the memory that was opened is still some process's: an exec gives it up.
    private var hasOurProgram: Bool { (try? memory.read(at: functions.executableRange.lowerBound, count: 1)) != nil }

    package func summary() -> EngineSummary { finished ?? summaryNow() }

    func summaryNow() -> EngineSummary {
        var summary = EngineSummary()
        summary.counts = retiredCounts + earlierForms.compactMap(\.count).filter { $0.entered > 0 }
        for function in traced.values {
            guard let counters = function.counters else { continue }
            let values = counters.values
            summary.counts.append(
                CallCount(
                    function: function.info, entered: values.entered, returned: values.returned,
                    seesReturns: function.image?.callsFunction ?? false))
        }
        summary.counts.sort { ($1.entered, $0.function.name) < ($0.entered, $1.function.name) }
        for case let ring as TargetRing in reader.sources where ring.map.dropped > 0 {
            summary.drops.append((ring.name, ring.map.dropped))
        }
        summary.abandoned = reader.lost.values.reduce(0, +)
        return summary
    }

    /// Takes everything out of one process.
    private func remove(from pid: Int32) throws(EngineError) -> CodeUse {
        let finders = Set(self.functions.unwinders().hooks.map(\.address))
        let all = retiredFunctions + traced.values
        let functions = RestoredFunctions(
            traced: Restoration(of: all.filter { !finders.contains($0.info.address) }),
            finders: Restoration(of: all.filter { finders.contains($0.info.address) }))
        // Threads inside our code leave it sooner or later; they are waited for a little, and longer while they
        // only wait for a processor.
        var use = CodeUse.leaving
        // Each look stops the process: one with absurd stacks is not looked at again and again.
        let deadline = clinux_monotonic() + 10_000_000_000
        for attempt in 0..<24 {
            use =
                if pid == processID, life.isAlive {
                    try withStopped { engine, process throws(EngineError) in
                        try engine.remove(functions, from: &process)
                    }
                } else {
                    try removeFromChild(pid, functions)
                }
            switch use {
            case .over: return use
            case .overpatched: break
            case .waiting where attempt >= 5: break
            case .waiting, .leaving:
                if clinux_monotonic() > deadline { break }
                usleep(10_000 << UInt32(min(attempt, 4)))
                continue
            }
            break
        }
        disown(in: pid)
        return use
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
        var traced: Restoration
        /// Those by which unwinders find our frames: they come last, when no call is inside any more. Where our code has to
        /// stay, because one is, they stay patched.
        var finders: Restoration
    }

    private func remove(
        _ functions: RestoredFunctions, from process: inout StoppedProcess
    ) throws(EngineError) -> CodeUse {
        guard let identity = shared?.region.identity else { return .over }
        let isTarget = process.pid == processID
        guard isTarget || MappedProcesses.holds(process.pid, identity) else { return .over }
        let traced = try restore(functions.traced, in: &process)
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: process.pid)
        } catch {
            throw .target(pid: process.pid, doing: "give its memory back", because: "\(error)")
        }
        // A child that was forked before a region was made has something else at its place, or nothing.
        let code = codeRegions.filter { isOurs($0, in: process.memory) }
        let shared = sharedRegions.filter { region in
            map.region(at: region.targetAddress).map { region.identity.isFile(of: $0) } ?? false
        }
        let isWhole = code.count == codeRegions.count && shared.count == sharedRegions.count
        if isTarget, !isWhole {
            // Nothing of ours is there, no jump either: it executes another program.
            if code.isEmpty, shared.isEmpty, traced.restored == 0 { return .over }
            sayUnmapped()
        }
        // Their code leads into ours, or will again when it takes its patch back.
        if !traced.overpatched.isEmpty { return .overpatched(traced.overpatched) }
        let use = code.isEmpty && !codeRegions.isEmpty ? .over : codeUse(by: &process)
        if case .over = use {} else if isWhole || !isTarget { return use }
        let finders = try restore(functions.finders, in: &process)
        if !finders.overpatched.isEmpty { return .overpatched(finders.overpatched) }
        // A call is inside what is left of our code, if there is any.
        if case .over = use {} else { return use }
        for region in code { _ = try? process.systemCall(clinux_sys_munmap, region.base, UInt64(region.size)) }
        if shared.contains(where: { $0 === self.shared?.region }) {
            _ = try? process.systemCall(clinux_sys_munmap, scratchPage, ProcessEngine.privateSize)
        }
        // The first region last: it is what tells that the process still holds our memory.
        for region in shared.reversed() {
            _ = try? process.systemCall(clinux_sys_munmap, region.targetAddress, UInt64(region.size))
        }
        return .over
    }

    /// Says, once, that the target has taken our memory away under our feet.
    private func sayUnmapped() {
        guard !saidUnmapped else { return }
        saidUnmapped = true
        queue.append([
            .warning(
                "the process has unmapped memory of fsession's: its functions got their bytes back, "
                    + "but a call that was inside cannot return")
        ])
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
        // Stacks that are too large to be looked through may hold anything.
        guard StackScan.words(of: &process, { thread, _, word in if isOurCode(word) { inside.insert(thread) } }) else {
            return .waiting
        }
        let isLeaving = inside.contains { index in
            (try? process.threads[index].registers()).map { !$0.isInterruptedSystemCall } ?? false
        }
        if isLeaving { return .leaving }
        if !inside.isEmpty { return .waiting }
        let hasOpenCalls = ((traced.values + earlierForms).map { ($0.counters, $0.image?.callsFunction ?? false) } + retiredCounters)
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
        /// Whoever calls these functions: their entries hold neither our jump nor their own bytes.
        case overpatched([FunctionInfo])
    }
}
