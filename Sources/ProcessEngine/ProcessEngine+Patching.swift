import LinuxProcess
import Trampoline

/// The moments in which the target is stopped: its functions' entries begin to jump to their images, or no
/// longer do.
extension ProcessEngine {
    // MARK: - Patching

    /// Stops the target for a moment and lets the functions' entries jump to their new images. The unwinder knows these
    /// before any call can enter them.
    func publish(_ batch: inout PreparedBatch) throws(EngineError) {
        if batch.changes.isEmpty { return }
        if batch.stage == .functions { try tellUnwinder(of: batch) }
        let patcher = Patcher(batch.changes)
        let busy = try withStopped { engine, process throws(EngineError) in
            guard engine.isOurs else {
                throw .target(
                    pid: engine.processID, doing: "patch its functions",
                    because: engine.life.isRunning
                        ? "it has unmapped fsession's memory, or executes another program now"
                        : "it executes another program now")
            }
            return try patcher.apply(to: &process)
        }
        batch.refuse(busy)
        traced.reserveCapacity(traced.count + batch.changes.count)
        for change in batch.changes { traced[change.function.info.address] = change.function }
        // An exception does not come out of them: they need not be known to themselves.
        if batch.stage == .finders { try updateUnwinding() }
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
        let isFinder = functions.unwinders().hooks.contains { $0.address == address }
        var batch = PreparedBatch(isFinder ? .finders : .functions, [.init(function: function, lists: lists, before: function)])
        try build(&batch)
        let changed = batch.changes[0].function
        // The unwinder knows the new image before any call can enter it; but nothing unwinds through what it asks itself.
        if !isFinder { try updateUnwinding(with: [changed]) }
        let patcher = Patcher(batch.changes)
        try withStopped { _, process throws(EngineError) in
            // Where somebody else's bytes stand by now, they stay.
            _ = try patcher.apply(to: &process)
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
