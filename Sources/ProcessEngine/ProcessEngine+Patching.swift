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
        traced.publish(batch.changes.map(\.function))
        // An exception does not come out of them: they need not be known to themselves.
        if batch.stage == .finders { try updateUnwinding() }
    }

    // MARK: - Unlinking

    /// Takes one link off its function; the function gets its own bytes back with the last of them.
    package func unlink(_ id: Int) throws(EngineError) {
        guard let function = traced.function(with: id) else { throw .request("link \(id) is not attached") }
        var lists = function.lists
        lists.unlink(id: id)
        if lists.isEmpty {
            unwinderTable.retireEntry(of: function)
            let restoration = Restoration(of: [function])
            try withStopped { engine, process throws(EngineError) in
                _ = try restoration.apply(to: &process, isOurs: { engine.isOurCode($0) })
            }
            retire(function)
            return
        }
        let isFinder = functions.unwinders().hooks.contains { $0.address == function.info.address }
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
        traced.publish([changed])
    }

    /// Keeps what must be known of a function that is no longer traced.
    func retire(_ function: TracedFunction) {
        traced.retire(function)
        unwinderTable.retireImage(of: function)
    }
}
