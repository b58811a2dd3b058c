import BPF
import CLinux
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
        try decideExits()
        batch.noExits = noExits
        if modules == nil { batch.progress = attachProgress }
        let finders = Set(functions.unwinders().hooks.map(\.address))
        var late: [Choice] = []
        for request in requests {
            try batch.checkCancelled()
            let matches = functions.matching(request.pattern, onlyIn: modules)
            if matches.isEmpty, modules == nil, let module = awaitedModule(request.pattern) {
                batch.waits = true
                awaited.insert(request.pattern)
                let nearest = functions.nearestModules(to: module).map { "'\($0)'" }.joined(separator: ", ")
                batch.remarks.append(
                    "\(module.text) is not loaded; its functions are traced when it is\(nearest.isEmpty ? "" : " (or did you mean \(nearest)?)")")
                continue
            }
            noteArrival(request.pattern, of: modules, isFound: !matches.isEmpty)
            if matches.isEmpty, modules == nil {
                throw functions.nothingMatches(request.pattern)
            }
            let linkedBefore = batch.linked.count
            let refusedBefore = batch.refused.count
            let conventions = functions.conventions(of: matches)
            batch.reserve(matches.count)
            for (match, convention) in zip(matches, conventions) {
                if finders.contains(match.address) {
                    late.append(Choice(function: match, convention: convention, request: request))
                } else {
                    try add(match, convention, request, to: &batch, isAgain: modules != nil)
                }
            }
            if modules == nil, late.isEmpty, batch.linked.count == linkedBefore, batch.refused.count > refusedBefore, batch.changes.isEmpty {
                throw .allRefused([request.pattern], batch.refused[refusedBefore...])
            }
        }
        Self.giveBackMemory(usedFor: batch.changes.count)
        try displace(&batch)
        batch.dropRefused()
        if late.isEmpty { try checkSomethingIsLeft(requests, batch, modules) }
        try batch.checkCancelled()
        try build(&batch)
        try batch.checkCancelled()
        Self.giveBackMemory(usedFor: batch.changes.count)
        try publish(&batch)
        if !late.isEmpty {
            do throws(EngineError) {
                try linkFinders(late, &batch, isAgain: modules != nil)
            } catch {
                // The others are traced by now.
                if batch.linked.isEmpty { throw error }
                queue.warn("\(error)")
            }
            try checkSomethingIsLeft(requests, batch, modules)
        }
        let remarks = functions.takeRemarks()
        for remark in remarks { queue.warn(remark) }
        if modules == nil { standing += requests }
        if batch.losesExits { tellOfLostExits() }
        for remark in batch.remarks { queue.warn(remark) }
        // The functions are traced by now: what fails from here on is told, and undoes nothing.
        for watch in [watchFilters, watchLibraries, watchExecutions] {
            do throws(EngineError) {
                try watch()
            } catch {
                queue.warn("\(error)")
            }
        }
        return LinkReport(linked: batch.linked, refused: batch.refused)
    }

    /// Each step leaves behind what nobody needs any more: some ten megabytes for a hundred thousand functions.
    static func giveBackMemory(usedFor functions: Int) {
        if functions > 4096 { _ = malloc_trim(0) }
    }

    /// A function that is to get a program.
    private struct Choice {
        var function: FunctionInfo
        var convention: Prototypes.Convention
        var request: StandingRequest
    }

    /// Links programs to the functions that find what unwinders are told of code. The engine's own link comes to them with
    /// the first functions, and theirs are built on top of it.
    private func linkFinders(_ choices: [Choice], _ all: inout LinkBatch, isAgain: Bool) throws(EngineError) {
        var batch = LinkBatch()
        batch.noExits = all.noExits
        for choice in choices { try add(choice.function, choice.convention, choice.request, to: &batch, isAgain: isAgain) }
        try displace(&batch)
        batch.dropRefused()
        try build(&batch)
        // An exception does not come out of them: they need not be known to themselves.
        try publish(&batch, tellsUnwinder: false)
        try updateUnwinding()
        all.absorb(batch)
    }

    /// The module that a pattern names, if it is not loaded but may be later. A pattern without one is a pattern for all
    /// that come later, too, but nobody can tell whether anything of it ever will.
    private func awaitedModule(_ pattern: FunctionPattern) -> Glob? {
        guard let module = pattern.module, module.text != "exe", !functions.hasModule(module), functions.libraryNotification != nil
        else { return nil }
        return module
    }

    /// A module that was waited for has come: what is not found in it must not be missing in silence.
    private func noteArrival(_ pattern: FunctionPattern, of modules: Set<String>?, isFound: Bool) {
        guard let modules, awaited.contains(pattern), let module = pattern.module, functions.hasModule(module, among: modules)
        else { return }
        awaited.remove(pattern)
        if !isFound { queue.warn(functions.nothingMatches(pattern).description) }
    }

    /// At the end: modules that were waited for in vain.
    func tellAwaited() {
        for module in Set(awaited.compactMap(\.module?.text)).sorted() {
            queue.warn("\(module) was never loaded; nothing of it was traced")
        }
        awaited = []
    }

    // MARK: - Choosing

    private func add(
        _ function: FunctionInfo, _ convention: Prototypes.Convention, _ request: StandingRequest, to batch: inout LinkBatch,
        isAgain: Bool
    ) throws(EngineError) {
        if let refusal = function.refusal {
            batch.refuse(function, refusal)
            return
        }
        let argumentCount = convention.calling.arguments.count
        let ownReason = function.entryOnly ?? convention.entryOnly
        let entryOnly = ownReason ?? batch.noExits
        if ownReason == nil, entryOnly != nil { batch.losesExits = true }
        let program: LoadedProgram
        switch request {
        case .program(let request):
            program = request.program
            if program.kind.needsReturn, let reason = entryOnly {
                batch.refuse(function, "\(reason); use an fentry program")
                return
            }
        case .trace:
            // Two patterns may match one function: it is traced once.
            if isTraced(function.address, in: batch) { return }
            program = try traceProgram(arguments: argumentCount, entryOnly: entryOnly != nil)
        }
        if let reason = Self.missingWords(program, argumentCount) {
            batch.refuse(function, reason)
            return
        }
        // Functions that are looked at once more, because exits can be seen now.
        if isAgain, isLinked(function.address, program.id) { return }
        let link = registry.nextLink()
        let linked = registry.append {
            LinkedFunction(
                id: $0, link: link, function: function, program: program.name, programID: program.id, argumentCount: argumentCount,
                context: convention.context)
        }
        let cookie =
            switch request {
            case .program(let request): request.cookie
            case .trace: UInt64(linked.id)
            }
        let entry = TrampolineLink(
            id: link, programID: program.id, kind: program.kind, programAddress: program.address,
            attachCookie: cookie, usesCookie: program.needs.usesCookie, usesTailCalls: program.usesTailCalls,
            clobbers: program.clobbers, needsAlignedStack: false)
        // Refusals by the lists (E2BIG, EBUSY) are of this function only.
        let known = batch.index(of: function.address)
        var present = known == nil ? traced[function.address] : nil
        // For the engine's own links nobody looked at the function's prototype.
        if let own = present, own.lists.links.allSatisfy({ $0.id <= 0 }) { present = own.with(convention.calling) }
        var lists =
            known.map { batch.changes[$0].lists } ?? present?.lists ?? TrampolineLists(functionReturns: entryOnly == nil)
        do throws(TrampolineError) {
            try lists.link(entry)
        } catch {
            batch.refuse(function, "\(error)")
            return
        }
        if let known {
            batch.changes[known].lists = lists
        } else {
            batch.append(.init(info: function, convention: convention, lists: lists, function: present, isNew: present == nil))
        }
        batch.append(linked)
    }

    /// Why the context of a function with so many argument words is too small for the program; nil if it is not.
    private static func missingWords(_ program: LoadedProgram, _ argumentCount: Int) -> String? {
        let words = argumentCount + (program.kind == .fentry ? 0 : 1)
        guard program.needs.bytes > words * 8 else { return nil }
        let read = (program.needs.bytes + 7) / 8
        return "the program reads word \(read - 1) of its context, and there are \(argumentCount) argument words"
            + (program.kind == .fentry ? "" : " and the return value")
    }

    private func isLinked(_ address: UInt64, _ program: Int) -> Bool {
        traced[address]?.lists.links.contains { $0.programID == program } ?? false
    }

    private func isTraced(_ address: UInt64, in batch: LinkBatch) -> Bool {
        let lists = batch.index(of: address).map { batch.changes[$0].lists } ?? traced[address]?.lists
        return lists?.links.contains { $0.programID == OwnLink.trace } ?? false
    }

    private func checkSomethingIsLeft(
        _ requests: [StandingRequest], _ batch: LinkBatch, _ modules: Set<String>?
    ) throws(EngineError) {
        guard modules == nil, batch.linked.isEmpty, !batch.waits else { return }
        throw .allRefused(requests.map(\.pattern), batch.refused)
    }
}
