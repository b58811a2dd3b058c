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
            batch.reserve(matches.count)
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
        for watch in [watchFilters, watchLibraries, watchExecutions] {
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
        /// Moved entries that are to be written.
        var moved: [(address: UInt64, code: [UInt8])] = []

        mutating func reserve(_ count: Int) {
            additions.reserveCapacity(additions.count + count)
            infos.reserveCapacity(infos.count + count)
            order.reserveCapacity(order.count + count)
            displacing.reserveCapacity(displacing.count + count)
            linked.reserveCapacity(linked.count + count)
        }

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
                context: convention.context)
        }
        let cookie =
            switch request {
            case .program(let request): request.cookie
            case .trace: UInt64(linked.id)
            }
        let link = TrampolineLink(
            id: nextLink, programID: program.id, kind: program.kind, programAddress: program.address,
            attachCookie: cookie, usesCookie: program.usesCookie, usesTailCalls: program.usesTailCalls,
            clobbers: program.clobbers, needsAlignedStack: false)
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

    private func checkSomethingIsLeft(
        _ requests: [StandingRequest], _ batch: LinkBatch, _ modules: Set<String>?
    ) throws(EngineError) {
        guard modules == nil, batch.linked.isEmpty, !batch.waits else { return }
        throw .allRefused(
            pattern: requests.map(\.pattern.description).joined(separator: " "),
            reasons: Self.summarize(batch.refused.map(\.reason)))
    }
}
