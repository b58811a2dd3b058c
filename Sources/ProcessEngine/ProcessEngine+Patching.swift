import LinuxProcess
import Trampoline

/// The moments in which the target is stopped: its functions' entries begin to jump to their images, or no
/// longer do.
extension ProcessEngine {
    // MARK: - Patching

    /// What a stop of the target needs, worked out before it.
    private struct PreparedPatch: Sendable {
        /// Functions that were not patched before, and what is behind the first byte of each jump: nobody may
        /// go on there.
        var new: [TracedFunction] = []
        var interiors: RangeIndex
        var patches: CodePatches
        /// The functions by where their jumps are.
        var functionAt: [UInt64: UInt64]
    }

    /// Stops the target for a moment and lets the functions' entries jump to their new images.
    func publish(_ batch: inout LinkBatch, updatesUnwinding: Bool = true) throws(EngineError) {
        if batch.order.isEmpty { return }
        let prepared = prepare(batch)
        let busy = try withStopped { engine, process throws(EngineError) -> [UInt64: String] in
            guard engine.isOurs else {
                throw .target(
                    pid: engine.processID, doing: "patch its functions", because: "it executes another program now")
            }
            return try engine.patch(prepared, in: &process)
        }
        for (address, reason) in busy {
            if let info = batch.infos[address] { refuse(info, reason, in: &batch) }
        }
        batch.dropRefused()
        traced.reserveCapacity(traced.count + batch.order.count)
        for address in batch.order { traced[address] = batch.functions[address] }
        guard updatesUnwinding else { return }
        do throws(EngineError) {
            try updateUnwinding()
        } catch {
            queue.append([.warning("C++ exceptions that cross traced functions may end the process: \(error)")])
        }
    }

    private func prepare(_ batch: LinkBatch) -> PreparedPatch {
        let new = batch.order.filter { traced[$0] == nil }.compactMap { batch.functions[$0] }
        var functionAt: [UInt64: UInt64] = [:]
        functionAt.reserveCapacity(batch.order.count)
        var patches: [CodePatches.Patch] = []
        patches.reserveCapacity(batch.order.count)
        for address in batch.order {
            guard let function = batch.functions[address], let jump = function.jump else { continue }
            functionAt[function.patchAddress] = address
            patches.append(
                .init(
                    address: function.patchAddress,
                    expected: traced[address]?.jump ?? function.displaced.originalBytes, new: jump))
        }
        return PreparedPatch(
            new: new, interiors: RangeIndex(new.map { ($0.displaced.overwritten.lowerBound + 1)..<$0.displaced.overwritten.upperBound }),
            patches: CodePatches(patches), functionAt: functionAt)
    }

    /// Returns the functions that could not be patched now, with the reason.
    private func patch(
        _ prepared: PreparedPatch, in process: inout StoppedProcess
    ) throws(EngineError) -> [UInt64: String] {
        var busy: [UInt64: String] = [:]
        var moves: [(thread: Int, to: UInt64)] = []
        StackScan.words(of: &process) { thread, isInstructionPointer, word in
            guard let index = prepared.interiors.index(of: word) else { return }
            if isInstructionPointer, let moved = prepared.new[index].displaced.moved(word) {
                moves.append((thread, moved))
            } else {
                busy[prepared.new[index].info.address] = "a thread was interrupted in its first instructions; try again"
            }
        }
        var patches = prepared.patches
        if !busy.isEmpty {
            patches = CodePatches(
                patches.patches.filter { patch in
                    prepared.functionAt[patch.address].map { busy[$0] == nil } ?? false
                })
        }
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
            for address in try patches.apply(to: memory) {
                if let function = prepared.functionAt[address] { busy[function] = "its code has changed meanwhile" }
            }
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
        let before = function.jump
        var lists = function.lists
        lists.unlink(id: id)
        if lists.isEmpty {
            let displaced = function.displaced
            if let unwind = displaced.unwind { retiredUnwinding.append(unwind) }
            try withStopped { engine, process throws(EngineError) in
                try engine.restore([displaced], jumps: [displaced.patchAddress: before ?? []], in: &process)
            }
            retire(function)
            traced[address] = nil
            return
        }
        if let old = function.image, old.callsFunction { retiredUnwinding.append(old.unwind) }
        let relinked = function.with(lists)
        // The unwinder knows the new image before any call can enter it; until then the old one counts as retired.
        let changed = relinked.with(try makeImages(of: [relinked]).first)
        traced[address] = changed
        try updateUnwinding()
        let jump = changed.jump ?? []
        try withStopped { engine, _ throws(EngineError) in
            if try engine.read(jump.count, at: function.patchAddress) == before {
                try engine.write(jump, at: function.patchAddress)
            }
        }
    }

    /// Keeps what must be known of a function that is no longer traced.
    func retire(_ function: TracedFunction) {
        if let image = function.image, image.callsFunction { retiredUnwinding.append(image.unwind) }
        retiredCounters.append((function.counters, function.image?.callsFunction ?? false))
        if let count = function.count, count.entered > 0 { retiredCounts.append(count) }
    }
}
