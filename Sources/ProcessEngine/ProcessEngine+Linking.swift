import CLinux
import Glibc
import LinuxProcess
import Trampoline

/// From what is asked for to functions that are traced: select → plan → displace → build → publish, for each stage of the links.
extension ProcessEngine {
    /// Links programs to the functions that their patterns match, all of them in one stop of the target.
    /// - Throws: when a pattern matches nothing, or nothing that can be traced; then nothing is linked.
    package func link(_ requests: [LinkRequest]) throws(EngineError) -> LinkReport {
        try link(requests.map(StandingRequest.program), for: .user)
    }

    /// Records the calls of the functions that `patterns` match.
    package func trace(_ patterns: [FunctionPattern]) throws(EngineError) -> LinkReport {
        try link(patterns.map(StandingRequest.trace), for: .user)
    }

    func link(_ requests: [StandingRequest], for asker: Asker) throws(EngineError) -> LinkReport {
        try requireRunning()
        try decideExits()
        var selection = try select(requests, for: asker)
        var outcome = LinkOutcome()
        for stage in LinkStage.allCases where selection.has(stage) {
            do throws(EngineError) {
                outcome.add(try link(stage, &selection, requests, for: asker, after: outcome))
            } catch {
                // The earlier ones are traced by now.
                if outcome.linked.isEmpty { throw error }
                queue.warn("\(error)")
            }
        }
        let remarks = functions.takeRemarks()
        for remark in remarks { queue.warn(remark) }
        if asker.isUser { standing.add(requests) }
        if outcome.losesExits { tellOfLostExits() }
        for remark in selection.remarks { queue.warn(remark) }
        // The functions are traced by now: what fails from here on is told, and undoes nothing.
        for watch in [watchFilters, watchLibraries, watchExecutions] {
            do throws(EngineError) {
                try watch()
            } catch {
                queue.warn("\(error)")
            }
        }
        return outcome.report
    }

    /// Each step leaves behind what nobody needs any more: some ten megabytes for a hundred thousand functions.
    static func giveBackMemory(usedFor functions: Int) {
        if functions > 4096 { _ = malloc_trim(0) }
    }

    /// The functions that patterns match.
    private func select(_ requests: [StandingRequest], for asker: Asker) throws(EngineError) -> LinkSelection {
        let modules: Set<String>? =
            switch asker {
            case .user: nil
            case .library(let key): [key]
            case .exits: functions.allModules
            }
        let finders = Set(functions.unwinders().hooks.map(\.address))
        var selection = LinkSelection()
        for request in requests {
            if asker.isUser { try attachProgress.check() }
            let matches = functions.matching(request.pattern, onlyIn: modules)
            if let modules, standing.noteArrival(request.pattern, among: modules, functions), matches.isEmpty {
                queue.warn(functions.nothingMatches(request.pattern).description)
            }
            if matches.isEmpty, asker.isUser {
                guard let remark = standing.wait(for: request.pattern, &functions) else {
                    throw functions.nothingMatches(request.pattern)
                }
                selection.waits = true
                selection.remarks.append(remark)
            }
            selection.add(request, matches, functions.conventions(of: matches), finders: finders)
        }
        return selection
    }

    /// Links what was selected for a stage.
    private func link(
        _ stage: LinkStage, _ selection: inout LinkSelection, _ requests: [StandingRequest], for asker: Asker,
        after earlier: LinkOutcome
    ) throws(EngineError) -> LinkOutcome {
        // What comes behind others that are linked is not left half done.
        let progress = asker.isUser && stage == .functions ? attachProgress : nil
        let plan = try plan(stage, selection.take(stage), for: asker, isAlone: stage == .functions && !selection.has(.finders), progress)
        Self.giveBackMemory(usedFor: plan.changes.count)
        var batch = try displace(consume plan, progress)
        if asker.isUser, !selection.waits, !selection.hasMore, earlier.linked.isEmpty, batch.outcome.linked.isEmpty {
            throw .allRefused(requests.map(\.pattern), earlier.refused + batch.outcome.refused)
        }
        try progress?.check()
        try build(&batch)
        try progress?.check()
        Self.giveBackMemory(usedFor: batch.changes.count)
        try publish(&batch)
        return batch.outcome
    }

    /// - Parameter isAlone: nothing is linked behind it.
    private func plan(
        _ stage: LinkStage, _ matches: LinkSelection.Matches, for asker: Asker, isAlone: Bool, _ progress: AttachProgress?
    ) throws(EngineError) -> LinkPlan {
        var plan = LinkPlan(stage, exitLossReason: exits.lossReason, isRepeated: !asker.isUser)
        for (request, functions) in matches {
            try progress?.check()
            if case .trace = request {
                for shape in plan.traceProgramShapes(functions) { try makeTraceProgram(shape) }
            }
            let refused = plan.outcome.refused.count
            plan.add(request, to: functions, traced: traced, programs.trace, registry)
            // The first pattern is to trace something.
            if asker.isUser, isAlone, plan.changes.isEmpty, plan.outcome.refused.count > refused {
                throw .allRefused([request.pattern], plan.outcome.refused[refused...])
            }
        }
        return plan
    }
}
