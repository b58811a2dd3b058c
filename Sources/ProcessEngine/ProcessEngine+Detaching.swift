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
        if let summary = teardown.summary { return summary }
        let result = await beginEnd().value
        queue.finish()
        return try result.get()
    }

    /// Begins the end of the session, once. From here on every entry of the engine refuses to attach: what was asked for
    /// before, a library's coming for instance, may run while the end waits for the reader.
    func beginEnd() -> Task<Result<EngineSummary, EngineError>, Never> {
        switch teardown {
        case .ending(let task): return task
        case .ended(let summary): return Task { .success(summary) }
        case .running: break
        }
        hooks.libraries?.stop()
        let task = Task { await self.takeOut() }
        teardown = .ending(task)
        return task
    }

    private func takeOut() async -> Result<EngineSummary, EngineError> {
        killUntouched()
        leaveFindersAlone()
        let removal = removeEverywhere()
        // A command that was launched and has not been let go yet is not left stopped.
        try? resume()
        await reader.read(sources, thenForget: true)
        await reader.read(sharedSources, thenForget: false)
        if let tick { reader.removeTick(tick) }
        var summary = summaryNow()
        summary.keptCode = removal.keptCode
        summary.overpatched = removal.overpatched
        teardown = .ended(summary)
        traced.removeAll()
        for module in standing.takeAwaited() {
            queue.warn("\(module) was never loaded; nothing of it was traced")
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
                    queue.warn("\(error)")
                }
            }
        }
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
                    let use = try remove(from: pid, &removal)
                    removal.add(use)
                } catch {
                    // A process that ends while we are at it needs nothing undone, nor does one that has executed a
                    // program that is not ours to stop.
                    if let status = try? ProcessStatus(pid), status.state != .zombie, status.state != .dead,
                        pid != processID || life.isRunning && hasOurProgram
                    {
                        removal.failure = error
                    }
                }
            }
        }
        return removal
    }

    /// Whether the memory that was opened is still some process's: an exec gives it up.
    private var hasOurProgram: Bool { (try? memory.read(1, at: functions.executableRange.lowerBound)) != nil }

    package func summary() -> EngineSummary { teardown.summary ?? summaryNow() }

    func summaryNow() -> EngineSummary {
        var summary = EngineSummary()
        summary.counts = traced.counts.sorted { ($1.entered, $0.function.name) < ($0.entered, $1.function.name) }
        for ring in sources where ring.dropped > 0 { summary.drops.append((ring.name, ring.dropped)) }
        summary.abandoned = sources.reduce(0) { $0 &+ reader.lost(of: $1) }
        return summary
    }

    /// Takes everything out of one process.
    private func remove(from pid: Int32, _ removal: inout Removal) throws(EngineError) -> CodeUse {
        let functions = RestoredFunctions(traced.restorable, finders: Set(self.functions.unwinders().hooks.map(\.address)))
        // Threads inside our code leave it sooner or later; they are waited for a little, and longer while they
        // only wait for a processor.
        var use = CodeUse.leaving
        // Each look stops the process: one with absurd stacks is not looked at again and again.
        let deadline = clinux_monotonic() + 10_000_000_000
        for attempt in 0..<24 {
            use =
                if pid == processID, life.isAlive {
                    try withStopped { engine, process throws(EngineError) in
                        try engine.remove(functions, from: &process, &removal)
                    }
                } else {
                    try removeFromChild(pid, functions, &removal)
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
        memory.disown(in: pid)
        return use
    }

    private func removeFromChild(
        _ pid: Int32, _ functions: RestoredFunctions, _ removal: inout Removal
    ) throws(EngineError) -> CodeUse {
        var process: StoppedProcess
        do throws(ProcessError) {
            process = try StoppedProcess.attach(pid)
        } catch {
            throw EngineError.opening(pid, error)
        }
        return try remove(functions, from: &process, &removal)
    }

    private func remove(
        _ functions: RestoredFunctions, from process: inout StoppedProcess, _ removal: inout Removal
    ) throws(EngineError) -> CodeUse {
        guard let identity = shared?.region.identity else { return .over }
        let isTarget = process.pid == processID
        guard isTarget || MappedProcesses.holds(process.pid, identity) else { return .over }
        let traced = try functions.traced.apply(to: &process, isOurs: isOurCode)
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: process.pid)
        } catch {
            throw .target(pid: process.pid, doing: "give its memory back", because: "\(error)")
        }
        let part = memory.part(in: process, map)
        if isTarget, !part.isWhole {
            // Nothing of ours is there, no jump either: it executes another program.
            if part.isEmpty, traced.restored == 0 { return .over }
            tellOfUnmapping(&removal)
        }
        // Their code leads into ours, or will again when it takes its patch back.
        if !traced.overpatched.isEmpty { return .overpatched(traced.overpatched) }
        let use = part.hasNoCode ? .over : codeUse(by: &process)
        if case .over = use {} else if part.isWhole || !isTarget { return use }
        let finders = try functions.finders.apply(to: &process, isOurs: isOurCode)
        if !finders.overpatched.isEmpty { return .overpatched(finders.overpatched) }
        // A call is inside what is left of our code, if there is any.
        if case .over = use {} else { return use }
        memory.unmap(part, in: &process)
        return .over
    }

    /// Says, once, that the target has taken our memory away under our feet.
    private func tellOfUnmapping(_ removal: inout Removal) {
        guard !removal.hasToldOfUnmapping else { return }
        removal.hasToldOfUnmapping = true
        queue.warn(
            "the process has unmapped memory of fsession's: its functions got their bytes back, "
                + "but a call that was inside cannot return")
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
        return traced.haveOpenCalls ? .waiting : .over
    }
}
