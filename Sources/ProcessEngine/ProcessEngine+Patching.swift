import LinuxProcess
import Trampoline

/// The moments in which the target is stopped: its functions' entries begin to jump to their images, or no
/// longer do.
extension ProcessEngine {
    // MARK: - Patching

    /// What a stop of the target needs, worked out before it.
    private struct PreparedPatch: Sendable {
        /// A function of the batch, by its index there.
        struct Function: Sendable {
            var index: Int
            var function: TracedFunction
        }

        /// Functions that were not patched before, and what is behind the first byte of each jump: nobody may
        /// go on there.
        var new: [Function] = []
        var interiors: RangeIndex
        var patches: CodePatches
    }

    /// Stops the target for a moment and lets the functions' entries jump to their new images. The unwinder knows these
    /// before any call can enter them.
    func publish(_ batch: inout LinkBatch, tellsUnwinder: Bool = true) throws(EngineError) {
        if batch.changes.isEmpty { return }
        if tellsUnwinder { try tellUnwinder(of: batch) }
        let prepared = prepare(batch)
        let busy = try withStopped { engine, process throws(EngineError) -> [Int: String] in
            guard engine.isOurs else {
                throw .target(
                    pid: engine.processID, doing: "patch its functions",
                    because: engine.life.isRunning
                        ? "it has unmapped fsession's memory, or executes another program now"
                        : "it executes another program now")
            }
            return try engine.patch(prepared, in: &process)
        }
        for (index, reason) in busy { batch.refuse(index, reason) }
        batch.dropRefused()
        traced.reserveCapacity(traced.count + batch.changes.count)
        for index in batch.changes.indices {
            guard let function = batch.changes[index].function else { continue }
            traced[function.info.address] = function
        }
    }

    private func prepare(_ batch: LinkBatch) -> PreparedPatch {
        var new: [PreparedPatch.Function] = []
        var patches: [CodePatches.Patch] = []
        patches.reserveCapacity(batch.changes.count)
        for index in batch.changes.indices {
            guard let function = batch.changes[index].function, let jump = function.jump else { continue }
            let isNew = batch.changes[index].isNew
            if isNew { new.append(.init(index: index, function: function)) }
            patches.append(
                .init(
                    address: function.patch.address, owner: index,
                    expected: isNew ? function.patch.original : traced[function.info.address]?.jump ?? [],
                    new: jump))
        }
        return PreparedPatch(
            new: new,
            interiors: RangeIndex(
                new.map(\.function.patch.interior)),
            patches: CodePatches(patches))
    }

    /// Returns the functions that could not be patched now, by their index in the batch, with the reason.
    private func patch(
        _ prepared: PreparedPatch, in process: inout StoppedProcess
    ) throws(EngineError) -> [Int: String] {
        var busy: [Int: String] = [:]
        var moves: [(thread: Int, to: UInt64)] = []
        let isComplete = StackScan.words(of: &process) { thread, isInstructionPointer, word in
            guard let index = prepared.interiors.index(of: word) else { return }
            let new = prepared.new[index]
            if isInstructionPointer, let moved = new.function.patch.placeWhenPatched(word) {
                moves.append((thread, moved))
            } else {
                busy[new.index] = "a thread was interrupted in its first instructions; try again"
            }
        }
        guard isComplete || prepared.new.isEmpty else {
            throw .target(
                pid: processID, doing: "patch its functions",
                because: "its threads' stacks are too large to be looked through while they are stopped")
        }
        var patches = prepared.patches
        if !busy.isEmpty { patches = CodePatches(patches.patches.filter { busy[$0.owner] == nil }) }
        do throws(ProcessError) {
            // A thread goes on in the moved entry whether or not its function is patched in the end: it is the same code.
            for move in moves {
                var registers = try process.threads[move.thread].registers()
                registers.instructionPointer = move.to
                try process.threads[move.thread].setRegisters(registers)
            }
        } catch {
            throw .target(pid: processID, doing: "move a thread", because: "\(error)")
        }
        do throws(ProcessError) {
            for refusal in try patches.apply(to: memory) { busy[refusal.patch.owner] = "its code has changed meanwhile" }
        } catch {
            throw .target(pid: processID, doing: "patch its functions", because: "\(error)")
        }
        return busy
    }

    // MARK: - Unlinking

    /// Takes one link off its function; the function gets its own bytes back with the last of them.
    package func unlink(_ id: Int) throws(EngineError) {
        guard let address = traced.first(where: { $0.value.lists.links.contains { $0.id == id } })?.key,
            let function = traced[address]
        else {
            throw .request("link \(id) is not attached")
        }
        var lists = function.lists
        lists.unlink(id: id)
        if lists.isEmpty {
            if let unwind = function.displaced.unwind { retiredUnwinding.append(unwind) }
            let restoration = Restoration(of: [function])
            try withStopped { engine, process throws(EngineError) in
                _ = try engine.restore(restoration, in: &process)
            }
            retire(function)
            traced[address] = nil
            return
        }
        if let old = function.image, old.callsFunction { retiredUnwinding.append(old.unwind) }
        let image = try makeImages(of: [.init(function: function, lists: lists, counters: function.counters)]).first
        let changed = function.with(lists, function.counters, image)
        // The unwinder knows the new image before any call can enter it; but nothing unwinds through what it asks itself.
        let isFinder = functions.unwinders().hooks.contains { $0.address == address }
        if !isFinder { try updateUnwinding(with: [changed]) }
        let jump = changed.jump ?? []
        try withStopped { engine, _ throws(EngineError) in
            if let before = function.jump, try engine.read(jump.count, at: function.patch.address) == Array(before) {
                try engine.write(Array(jump), at: function.patch.address)
            }
        }
        traced[address] = changed
    }

    /// Keeps what must be known of a function that is no longer traced.
    func retire(_ function: TracedFunction) {
        retiredFunctions.append(function)
        if let image = function.image, image.callsFunction { retiredUnwinding.append(image.unwind) }
        retiredCounters.append((function.counters, function.image?.callsFunction ?? false))
        if let count = function.count, count.entered > 0 { retiredCounts.append(count) }
    }
}
