import BPF
import Glibc
import LinuxProcess
import Trampoline

extension ProcessEngine {
    /// A program and the functions it is to be linked to.
    package struct LinkRequest: Sendable {
        package var program: LoadedProgram
        package var pattern: FunctionPattern
        package var cookie: UInt64

        package init(program: LoadedProgram, pattern: FunctionPattern, cookie: UInt64 = 0) {
            self.program = program
            self.pattern = pattern
            self.cookie = cookie
        }
    }

    /// A request that also holds for libraries that come later.
    enum StandingRequest: Sendable {
        case program(LinkRequest)
        case trace(FunctionPattern)

        var pattern: FunctionPattern {
            switch self {
            case .program(let request): request.pattern
            case .trace(let pattern): pattern
            }
        }
    }

    /// Links programs to the functions that their patterns match, all of them in one stop of the target.
    /// - Throws: when a pattern matches nothing, or nothing that can be traced; then nothing is linked.
    package func link(_ requests: [LinkRequest]) throws(EngineError) -> LinkReport {
        try link(requests.map(StandingRequest.program), onlyIn: nil)
    }

    /// Records the calls of the functions that `patterns` match.
    package func trace(_ patterns: [FunctionPattern]) throws(EngineError) -> LinkReport {
        try link(patterns.map(StandingRequest.trace), onlyIn: nil)
    }

    /// - Parameter modules: only functions of these modules, and no error when there is none.
    func link(_ requests: [StandingRequest], onlyIn modules: Set<String>?) throws(EngineError) -> LinkReport {
        try requireRunning()
        var batch = LinkBatch()
        batch.noExits = try reasonAgainstExits()
        for request in requests {
            let matches = functions.matching(request.pattern, onlyIn: modules)
            if matches.isEmpty, modules == nil, isAwaited(request.pattern) {
                batch.waits = true
                queue.append([
                    .warning("\(request.pattern.module?.text ?? "") is not loaded; its functions are traced when it is")
                ])
                continue
            }
            if matches.isEmpty, modules == nil {
                throw functions.nothingMatches(request.pattern)
            }
            let linkedBefore = batch.linked.count
            let refusedBefore = batch.refused.count
            functions.readPrototypes(of: matches)
            for match in matches { try add(match, request, to: &batch) }
            if modules == nil, batch.linked.count == linkedBefore, batch.refused.count > refusedBefore, batch.displacing.isEmpty {
                throw .allRefused(
                    pattern: request.pattern.description,
                    reasons: Self.summarize(batch.refused[refusedBefore...].map(\.reason)))
            }
        }
        try displace(&batch)
        batch.dropRefused()
        try checkSomethingIsLeft(requests, batch, modules)
        try build(&batch)
        try publish(&batch)
        if modules == nil { standing += requests }
        // The functions are traced by now: what fails from here on is told, and undoes nothing.
        for watch in [watchLibraries, watchExecutions] {
            do throws(EngineError) {
                try watch()
            } catch {
                queue.append([.warning("\(error)")])
            }
        }
        return LinkReport(linked: batch.linked, refused: batch.refused)
    }

    /// Whether a pattern names a library that is not loaded, but may be later.
    private func isAwaited(_ pattern: FunctionPattern) -> Bool {
        guard let module = pattern.module, !functions.hasModule(module), functions.libraryNotification != nil else {
            return false
        }
        return InstalledLibraries.contains(module)
    }

    /// The most frequent reasons, with their counts.
    static func summarize(_ reasons: [String]) -> [String] {
        Dictionary(grouping: reasons) { $0 }.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.prefix(3)
            .map { $0.value.count > 1 ? "\($0.key) (\($0.value.count) functions)" : $0.key }
    }

    // MARK: - Choosing

    /// What one call of `link` changes: kept aside until it is published, so that an error leaves nothing.
    struct LinkBatch {
        struct Addition {
            var link: TrampolineLink
            var program: String
        }

        /// Some of what was asked for is in a library that is not loaded yet.
        var waits = false
        /// Why no function's exit can be seen in this process.
        var noExits: String?
        /// Functions with links to add, by address.
        var additions: [UInt64: [Addition]] = [:]
        var order: [UInt64] = []
        var infos: [UInt64: FunctionInfo] = [:]
        /// Functions that are not patched yet.
        var displacing: [UInt64] = []
        /// The new state of each function.
        var functions: [UInt64: TracedFunction] = [:]
        var linked: [LinkedFunction] = []
        var refused: [RefusedFunction] = []
        /// New images, by function.
        var images: [UInt64: TrampolineImage] = [:]

        /// Functions that were refused on the way have no additions any more.
        mutating func dropRefused() {
            order.removeAll { additions[$0] == nil }
            linked.removeAll { additions[$0.function.address] == nil }
        }
    }

    private func add(
        _ function: FunctionInfo, _ request: StandingRequest, to batch: inout LinkBatch
    ) throws(EngineError) {
        if let refusal = function.refusal {
            batch.refused.append(RefusedFunction(function: function, reason: refusal))
            return
        }
        let convention = functions.convention(of: function)
        let argumentCount = convention.calling.arguments.count
        let entryOnly = function.entryOnly ?? convention.entryOnly ?? batch.noExits
        let program: LoadedProgram
        switch request {
        case .program(let request):
            program = request.program
            if program.kind.needsReturn, let reason = entryOnly {
                batch.refused.append(RefusedFunction(function: function, reason: "\(reason); use an fentry program"))
                return
            }
        case .trace:
            // Two patterns may match one function: it is traced once.
            if isTraced(function.address, in: batch) { return }
            program = try traceProgram(arguments: argumentCount, entryOnly: entryOnly != nil)
        }
        if let reason = Self.missingWords(program, argumentCount) {
            batch.refused.append(RefusedFunction(function: function, reason: reason))
            return
        }
        nextLink += 1
        let linked = registry.append {
            LinkedFunction(
                id: $0, link: nextLink, function: function, program: program.name, argumentCount: argumentCount,
                convention: convention)
        }
        let cookie =
            switch request {
            case .program(let request): request.cookie
            case .trace: UInt64(linked.id)
            }
        let link = TrampolineLink(
            id: nextLink, programID: program.id, kind: program.kind, programAddress: program.address,
            attachCookie: cookie, usesCookie: program.usesCookie, usesTailCalls: program.usesTailCalls)
        // Refusals by the lists (E2BIG, EBUSY) are of this function only.
        var lists = listsSoFar(of: function, returns: entryOnly == nil, in: batch)
        do throws(TrampolineError) {
            try lists.link(link)
        } catch {
            batch.refused.append(RefusedFunction(function: function, reason: "\(error)"))
            return
        }
        if batch.additions[function.address] == nil {
            batch.order.append(function.address)
            batch.infos[function.address] = function
            if traced[function.address] == nil { batch.displacing.append(function.address) }
        }
        batch.additions[function.address, default: []].append(.init(link: link, program: program.name))
        batch.linked.append(linked)
    }

    /// Why the context of a function with so many argument words is too small for the program; nil if it is not.
    private static func missingWords(_ program: LoadedProgram, _ argumentCount: Int) -> String? {
        let words = argumentCount + (program.kind == .fentry ? 0 : 1)
        guard program.contextBytes > words * 8 else { return nil }
        let read = (program.contextBytes + 7) / 8
        return "the program reads word \(read - 1) of its context, and there are \(argumentCount) argument words"
            + (program.kind == .fentry ? "" : " and the return value")
    }

    private func isTraced(_ address: UInt64, in batch: LinkBatch) -> Bool {
        let links = (traced[address]?.lists.links ?? []) + (batch.additions[address] ?? []).map(\.link)
        return links.contains { $0.programID == OwnLink.trace }
    }

    private func listsSoFar(
        of function: FunctionInfo, returns: Bool, in batch: LinkBatch
    ) -> TrampolineLists {
        var lists = traced[function.address]?.lists ?? TrampolineLists(functionReturns: returns)
        for addition in batch.additions[function.address] ?? [] { try? lists.link(addition.link) }
        return lists
    }

    // MARK: - Displacing

    /// What our jumps overwrote.
    var overwritten: [CodeRange] {
        traced.values.map { CodeRange(address: $0.patchAddress, bytes: $0.displaced.originalBytes) }
    }

    /// Room for a function's moved entry and its first image, in bytes; images ask again for what they need.
    private static let roomPerFunction = 1536

    /// Moves the entries of functions that are not patched yet; those that cannot be moved leave the batch.
    func displace(_ batch: inout LinkBatch) throws(EngineError) {
        let byModule = Dictionary(grouping: batch.displacing.compactMap { batch.infos[$0] }, by: \.modulePath)
        for (path, infos) in byModule.sorted(by: { $0.key < $1.key }) {
            guard let range = functions.executableRange(of: path) else { continue }
            try ensureRoom(infos.count * ProcessEngine.roomPerFunction, near: range)
            let analysis = try functions.analysis(of: path, for: infos, memory: memory, patched: overwritten)
            for info in infos {
                if let owner = foreignPatch(at: info.address, analysis) {
                    refuse(info, owner, in: &batch)
                    continue
                }
                do throws(DisplacementError) {
                    let request = analysis.request(for: info)
                    // The moved code needs a place before its distances are known: at most this much.
                    let place = try? allocateCode(256, near: info.address)
                    guard let place else { throw .outOfReach(from: info.address, to: range.lowerBound) }
                    let displaced = try Architecture.displace(request, at: place)
                    let convention = functions.convention(of: info)
                    batch.functions[info.address] = TracedFunction(
                        info: info, convention: convention.calling, displaced: displaced,
                        lists: TrampolineLists(
                            functionReturns: (info.entryOnly ?? convention.entryOnly ?? batch.noExits) == nil))
                } catch {
                    refuse(info, "\(error)", category: error.reason, in: &batch)
                }
            }
        }
    }

    private func refuse(
        _ info: FunctionInfo, _ reason: String, category: String? = nil, in batch: inout LinkBatch
    ) {
        batch.additions[info.address] = nil
        batch.functions[info.address] = nil
        batch.refused.append(RefusedFunction(function: info, reason: reason, category: category))
    }

    /// Whether another fsession patched this function already.
    private func foreignPatch(at address: UInt64, _ analysis: ModuleAnalysis) -> String? {
        guard let target = analysis.jumpTarget(at: address), !isOurCode(target),
            let controller = ForeignCode.controller(of: target, in: processID, memory)
        else { return nil }
        return "it is traced by another fsession (process \(controller)); end that one first"
    }

    private func checkSomethingIsLeft(
        _ requests: [StandingRequest], _ batch: LinkBatch, _ modules: Set<String>?
    ) throws(EngineError) {
        guard modules == nil, batch.linked.isEmpty, !batch.waits else { return }
        throw .allRefused(
            pattern: requests.map(\.pattern.description).joined(separator: " "),
            reasons: Self.summarize(batch.refused.map(\.reason)))
    }

    // MARK: - Images

    /// Makes the images of the batch's functions and writes them into the target. Nothing jumps to them yet.
    func build(_ batch: inout LinkBatch, counted: Bool = true) throws(EngineError) {
        if counted { try makeCounters(&batch) }
        for address in batch.order {
            guard var function = batch.functions[address] ?? traced[address] else { continue }
            for addition in batch.additions[address] ?? [] {
                do throws(TrampolineError) {
                    try function.lists.link(addition.link)
                } catch {
                    throw .request("\(function.info.displayName): \(error)")
                }
            }
            let isNew = function.image == nil
            if let old = function.image, old.callsFunction { retiredUnwinding.append(old.unwind) }
            let image = try makeImage(of: function, isNew: isNew)
            function.image = image
            batch.functions[address] = function
            batch.images[address] = image
        }
        try publishHeads()
    }

    /// Writes a function's image, behind its moved entry when that is new.
    func makeImage(of function: TracedFunction, isNew: Bool) throws(EngineError) -> TrampolineImage {
        let near = function.info.address
        var record = CodeRecord(kind: .trampoline, name: function.info.name, code: [])
        record.function = function.patchAddress
        record.originalBytes = function.displaced.originalBytes
        let draft = try image(of: function, at: function.displaced.codeAddress)
        let room = record.codeOffset + draft.code.count + 64
        if !codeRegions.contains(where: { $0.free >= room + 64 && $0.reaches(near) }) {
            try ensureRoom(room, near: functions.executableRange(of: function.info.modulePath) ?? near..<(near + 1))
        }
        let place = try allocateCode(room, near: near)
        let image = try image(of: function, at: place + UInt64(record.codeOffset))
        guard image.code.count + record.codeOffset <= room else {
            throw .request("the trampoline of \(function.info.displayName) has another size at another address")
        }
        record.code = image.code
        try write(record.encoded, at: place)
        if isNew, !function.displaced.code.isEmpty {
            try write(function.displaced.code, at: function.displaced.codeAddress)
        }
        return image
    }

    private func image(of function: TracedFunction, at address: UInt64) throws(EngineError) -> TrampolineImage {
        do throws(TrampolineError) {
            return try Architecture.image(
                function.lists,
                function: FunctionEntry(address: function.info.address, relocatedEntry: function.displaced.bodyEntry),
                convention: function.convention, counters: function.counters?.address,
                safeCopy: safeCopyAddress, at: address)
        } catch {
            throw .request("cannot make the trampoline of \(function.info.displayName): \(error)")
        }
    }

    /// A pair of counters for each function that has none.
    private func makeCounters(_ batch: inout LinkBatch) throws(EngineError) {
        let new = batch.order.filter { address in
            batch.functions[address]?.counters == nil && traced[address]?.counters == nil
        }
        guard !new.isEmpty else { return }
        var layout = SharedLayout()
        // A cache line each: two functions' counters in one would slow both down.
        let offsets = layout.placePlain(new.map { _ in 64 })
        let region = try makeSharedRegion(layout)
        for (address, offset) in zip(new, offsets) {
            if batch.functions[address] == nil { batch.functions[address] = traced[address] }
            batch.functions[address]?.counters = TracedFunction.Counters(region: region, offset: offset)
        }
    }

    // MARK: - Patching

    /// Stops the target for a moment and lets the functions' entries jump to their new images.
    func publish(_ batch: inout LinkBatch, updatesUnwinding: Bool = true) throws(EngineError) {
        if batch.order.isEmpty { return }
        let busy = try withStopped { [batch] engine, process throws(EngineError) -> [UInt64: String] in
            guard engine.isOurs else {
                throw .target(
                    pid: engine.processID, doing: "patch its functions", because: "it executes another program now")
            }
            return try engine.patch(batch, in: &process)
        }
        for (address, reason) in busy {
            if let info = batch.infos[address] { refuse(info, reason, in: &batch) }
        }
        batch.dropRefused()
        for address in batch.order { traced[address] = batch.functions[address] }
        guard updatesUnwinding else { return }
        do throws(EngineError) {
            try updateUnwinding()
        } catch {
            queue.append([.warning("C++ exceptions that cross traced functions may end the process: \(error)")])
        }
    }

    /// Returns the functions that could not be patched now, with the reason.
    private func patch(
        _ batch: LinkBatch, in process: inout StoppedProcess
    ) throws(EngineError) -> [UInt64: String] {
        var busy: [UInt64: String] = [:]
        let new = batch.order.filter { traced[$0] == nil }.compactMap { batch.functions[$0] }
        // What is behind the first byte of each jump: nobody may go on there.
        let interiors = RangeIndex(new.map { ($0.patchAddress + 1)..<($0.patchAddress + 5) })
        var moves: [(thread: Int, to: UInt64)] = []
        StackScan.words(of: &process) { thread, isInstructionPointer, word in
            guard let index = interiors.index(of: word) else { return }
            if isInstructionPointer, let moved = new[index].displaced.moved(word) {
                moves.append((thread, moved))
            } else {
                busy[new[index].info.address] = "a thread was interrupted in its first instructions; try again"
            }
        }
        var patches: [(address: UInt64, bytes: [UInt8])] = []
        for address in batch.order where busy[address] == nil {
            guard let function = batch.functions[address], let jump = function.jump else { continue }
            let expected = traced[address]?.jump ?? function.displaced.originalBytes
            if try read(expected.count, at: function.patchAddress) != expected {
                busy[address] = "its code has changed meanwhile"
                continue
            }
            patches.append((function.patchAddress, jump))
        }
        for move in moves {
            do throws(ProcessError) {
                var registers = try process.threads[move.thread].registers()
                registers.instructionPointer = move.to
                try process.threads[move.thread].setRegisters(registers)
            } catch {
                throw .target(pid: processID, doing: "move a thread", because: "\(error)")
            }
        }
        for patch in patches { try write(patch.bytes, at: patch.address) }
        return busy
    }

    // MARK: - Unlinking

    /// Takes one link off its function; the function gets its own bytes back with the last of them.
    package func unlink(_ id: Int) throws(EngineError) {
        guard let address = traced.first(where: { $0.value.lists.links.contains { $0.id == id } })?.key,
            var function = traced[address]
        else {
            throw .request("link \(id) is not attached")
        }
        let before = function.jump
        function.lists.unlink(id: id)
        if function.lists.isEmpty {
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
        let image = try makeImage(of: function, isNew: false)
        function.image = image
        // The unwinder knows the new image before any call can enter it; until then the old one counts as retired.
        traced[address] = function
        try updateUnwinding()
        let jump = function.jump ?? []
        try withStopped { engine, _ throws(EngineError) in
            if try engine.read(jump.count, at: function.patchAddress) == before {
                try engine.write(jump, at: function.patchAddress)
            }
        }
        try publishHeads()
    }

    /// Keeps what must be known of a function that is no longer traced.
    func retire(_ function: TracedFunction) {
        if let image = function.image, image.callsFunction { retiredUnwinding.append(image.unwind) }
        retiredCounters.append((function.counters, function.image?.callsFunction ?? false))
        if let count = function.count, count.entered > 0 { retiredCounts.append(count) }
    }
}
