import LinuxProcess
import TargetRuntime
import Trampoline

extension ProcessEngine {
    /// Why a trampoline must not stay on the stack in this process: an exception could not pass through it.
    func reasonAgainstExits() throws(EngineError) -> String? {
        guard let finders = functions.unwinderFinders(), !finders.isEmpty else {
            return functions.hasExceptionHandlers
                ? "the program handles exceptions, and its unwinder is not known: only entries can be traced" : nil
        }
        for finder in finders where traced[finder.address] == nil {
            let analysis = try functions.analysis(
                of: finder.modulePath, for: [finder], memory: memory,
                patched: overwritten(in: functions.executableRange(of: finder.modulePath) ?? 0..<0))
            if let refusal = finder.refusal ?? analysis.refusal(of: finder) {
                return "exceptions could not pass (the unwinder of \(finder.module): \(refusal)): only entries can be traced"
            }
        }
        return nil
    }

    /// Tells the unwinder of the images that a batch brings; without that no program may stay on the stack in a process
    /// that handles exceptions.
    func tellUnwinder(of batch: LinkBatch) throws(EngineError) {
        let functions = batch.changes.compactMap(\.function)
        do throws(EngineError) {
            try updateUnwinding(with: functions)
        } catch {
            guard functions.contains(where: { $0.image?.callsFunction ?? false }), self.functions.hasExceptionHandlers else {
                queue.append([.warning("C++ exceptions that cross traced functions may end the process: \(error)")])
                return
            }
            throw error
        }
    }

    /// Tells the target's unwinder about our code, so that exceptions and thread cancellation pass through.
    ///
    /// libgcc's unwinder asks `_Unwind_Find_FDE` for the description of every frame. A routine of the runtime is
    /// linked there as an fmod_ret program: for addresses in our code it answers from a table, and the
    /// original is skipped; for all others it lets the original answer.
    ///
    ///     table: count │ (start, end, description)… sorted │ CIE and FDE of each description
    ///
    /// - Parameter new: functions whose images are to be in use soon.
    func updateUnwinding(with new: [TracedFunction] = []) throws(EngineError) {
        guard let finders = functions.unwinderFinders(), !finders.isEmpty else { return }
        let offset = fs_runtime_function_offset("find_fde")
        guard offset >= 0 else { return }
        // The finder itself is no frame of an unwinding.
        var entries: [UnwindEntry] = []
        entries.reserveCapacity(2 * (traced.count + new.count) + retiredUnwinding.count)
        func add(_ function: TracedFunction) {
            if let image = function.image, image.callsFunction { entries.append(image.unwind) }
            if let displaced = function.displaced.unwind { entries.append(displaced) }
        }
        for function in traced.values { add(function) }
        for function in new { add(function) }
        entries += retiredUnwinding
        guard !entries.isEmpty else { return }
        entries.sort { $0.start < $1.start }

        // Those that are equal are the same object, but for a few.
        var places: [ObjectIdentifier: Int] = [:]
        var descriptions: [UInt8] = []
        for entry in entries where places[ObjectIdentifier(entry.description)] == nil {
            places[ObjectIdentifier(entry.description)] = descriptions.count + entry.description.offset
            descriptions += entry.description.bytes
            descriptions += repeatElement(0, count: descriptions.count.roundedUp(to: 8) - descriptions.count)
        }
        let headSize = (8 + entries.count * 24).roundedUp(to: 16)
        let size = headSize + descriptions.count
        let near = functions.executableRange
        var record = CodeRecord(kind: .data, name: "unwind table", code: [])
        try ensureRoom(record.codeOffset + size, near: near)
        let place = try allocateCode(record.codeOffset + size, near: near.lowerBound)
        let base = place + UInt64(record.codeOffset)
        var table = ByteWriter()
        table.bytes.reserveCapacity(size)
        table.append(UInt64(entries.count))
        for entry in entries {
            table.append(entry.start)
            table.append(entry.end)
            table.append(base + UInt64(headSize + (places[ObjectIdentifier(entry.description)] ?? 0)))
        }
        table.pad(to: headSize)
        table.bytes += descriptions
        record.code = table.bytes
        try stageCode(record.encoded, at: place)
        try flushCode()

        for finder in finders {
            try linkOwn(
                finder, kind: .fmodRet, program: runtimeAddress + UInt64(offset), cookie: base, id: OwnLink.unwinding)
        }
    }
}
