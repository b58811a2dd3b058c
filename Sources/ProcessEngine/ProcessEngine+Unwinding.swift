import LinuxProcess
import Search
import Trampoline

extension ProcessEngine {
    /// Why a trampoline must not stay on the stack in this process: an exception could not pass through it. Asked whenever
    /// something is linked, as unwinders come with libraries.
    func reasonAgainstExits() throws(EngineError) -> String? {
        let unwinders = functions.unwinders()
        let hooks = unwinders.hooks
        if functions.hasExceptionHandlers {
            if let problem = unwinders.problem { return "exceptions could not pass (\(problem)): only entries can be traced" }
            if hooks.isEmpty { return "the program handles exceptions, and its unwinder is not known: only entries can be traced" }
        }
        for hook in hooks where traced[hook.address] == nil {
            let analysis = try functions.analysis(
                of: hook.modulePath, for: [hook], memory: memory.process,
                patched: traced.overwritten(in: functions.executableRange(of: hook.modulePath) ?? 0..<0))
            if let refusal = hook.refusalReason ?? analysis.refusal(of: hook) {
                return "exceptions could not pass (\(hook.name) of \(hook.module): \(refusal)): only entries can be traced"
            }
        }
        return nil
    }

    /// Tells the unwinder of the images that a batch brings; without that no program may stay on the stack in a process
    /// that handles exceptions.
    func tellUnwinder(of batch: PreparedBatch) throws(EngineError) {
        let functions = batch.changes.map(\.function)
        do throws(EngineError) {
            try updateUnwinding(with: functions)
        } catch {
            guard functions.contains(where: { $0.image?.callsFunction ?? false }), self.functions.hasExceptionHandlers else {
                queue.warn("C++ exceptions that cross traced functions may end the process: \(error)")
                return
            }
            throw error
        }
    }

    /// Tells the target's unwinders about our code, so that exceptions and thread cancellation pass through.
    /// - Parameter new: functions whose images are to be in use soon.
    func updateUnwinding(with new: [TracedFunction] = []) throws(EngineError) {
        let unwinders = functions.unwinders()
        if unwinders.hooks.isEmpty { return }
        let entries = unwinderTable.entries(of: traced, and: new)
        if entries.isEmpty { return }
        if !unwinders.finders.isEmpty { try tellFinders(unwinders.finders, of: entries) }
        if unwinders.iterators.isEmpty { return }
        let areNew = unwinders.iterators.contains { !isHooked($0) }
        try tellIterators(unwinders, of: areNew ? unwinderTable.entries(of: traced, and: new) : entries)
        // Their callers' functions may throw through them: what is told has to hold their own frames.
        if areNew { try tellIterators(unwinders, of: unwinderTable.entries(of: traced, and: new)) }
    }

    func isHooked(_ function: FunctionInfo) -> Bool {
        traced[function.address]?.lists.links.contains { $0.isOf(.unwinding) } ?? false
    }

    /// libgcc's unwinder asks `_Unwind_Find_FDE` for the description of every frame. A routine of the runtime is
    /// linked there as an fmod_ret program: for addresses in our code it answers from a table, and the
    /// original is skipped; for all others it lets the original answer. The finder itself is no frame of an unwinding.
    private func tellFinders(_ finders: [FunctionInfo], of entries: [UnwindEntry]) throws(EngineError) {
        guard let routine = runtime.routine("find_fde") else { return }
        let table = FinderTable(entries)
        let base = try placeForData(table.size, "unwind table", near: functions.executableRange) { table.bytes(at: $0) }
        for finder in finders {
            try linkOwn(finder, kind: .fmodRet, program: routine, cookie: base, hook: .unwinding)
        }
    }

    /// Other unwinders go through the program headers of all modules, by `dl_iterate_phdr`. A routine of the runtime is linked
    /// there: where a caller looks for an address in our code, it shows it one more module, which is that code.
    ///
    ///     cell ──▶ IteratorIndex ──▶ UnwindFrames of each region of code
    ///
    /// What changes is the cell alone: the hook stays as it is.
    private func tellIterators(_ unwinders: Unwinders, of entries: [UnwindEntry]) throws(EngineError) {
        guard let routine = runtime.routine("iterate_phdr") else { return }
        var index = IteratorIndex(callers: unwinders.callers)
        // In its own region of code each reaches its description by 32 bits.
        for region in memory.codeRanges {
            let start = entries.partitioningIndex { $0.start >= region.lowerBound }
            let own = entries[start...].prefix { $0.start < region.upperBound }
            guard let first = own.first, let last = own.last else { continue }
            let frames = UnwindFrames(own)
            let header = try placeForData(frames.size, "unwind frames", near: region) { frames.bytes(at: $0) }
            index.groups.append(.init(code: first.start..<last.end, header: header, headerSize: frames.headerSize))
        }
        let place = try placeForData(index.size, "unwind index", near: functions.executableRange) { index.bytes(at: $0) }
        let cell: UInt64
        if let known = unwinderTable.cell {
            cell = known
        } else {
            cell = try placeForData(8, "unwind cell", near: functions.executableRange) { _ in Array(repeating: 0, count: 8) }
            unwinderTable.cell = cell
        }
        try memory.write(withUnsafeBytes(of: place.littleEndian, Array.init), at: cell)
        for iterator in unwinders.iterators where !isHooked(iterator) {
            try linkOwn(
                iterator, kind: .fmodRet, program: routine, cookie: cell, hook: .unwinding, needsAlignedStack: true)
        }
    }

    /// Puts data among our code; `bytes` makes it for its address.
    private func placeForData(
        _ size: Int, _ name: String, near range: Range<UInt64>, _ bytes: (UInt64) -> [UInt8]
    ) throws(EngineError) -> UInt64 {
        var record = CodeRecord(kind: .data, name: name, code: [])
        try ensureRoom(record.codeOffset + size, near: range)
        let place = try memory.allocate(record.codeOffset + size, near: range.lowerBound)
        let base = place + UInt64(record.codeOffset)
        record.code = bytes(base)
        try memory.stage(record.encoded, at: place)
        try memory.flush()
        return base
    }
}
