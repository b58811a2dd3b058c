import LinuxProcess
import Trampoline

/// Whether the exits of functions can be seen changes with the libraries that come: code that handles exceptions, and unwinders
/// that can be told of our frames, or cannot.
extension ProcessEngine {
    /// Decides for the modules that there are now, for the functions that are traced already, too.
    func decideExits() throws(EngineError) {
        if !exits.decide(try reasonAgainstExits()) || traced.isEmpty { return }
        do throws(EngineError) {
            try changeExits()
        } catch {
            // Frames of ours that no unwinder knows of: worse than not to be seen.
            queue.warn("what is traced already stays as it is: \(error)")
        }
    }

    /// Says, once, why no exits are seen.
    func tellOfLostExits() {
        if let reason = exits.takeReasonToTell() { queue.warn(reason) }
    }

    /// Gives the functions that are traced their exits, or takes them away.
    private func changeExits() throws(EngineError) {
        let finders = Set(functions.unwinders().hooks.map(\.address))
        let known = traced.all.filter { function in
            !finders.contains(function.info.address) && !function.lists.links.allSatisfy(\.isOwn)
        }.sorted { $0.info.address < $1.info.address }
        var changes: [PreparedBatch.Change] = []
        var changed: [TracedFunction] = []
        var over: [TracedFunction] = []
        var lost: [String: Int] = [:]
        for (function, convention) in zip(known, functions.conventions(of: known.map(\.info))) {
            let returns = (function.info.entryOnlyReason ?? convention.entryOnlyReason ?? exits.lossReason) == nil
            guard returns != function.lists.functionReturns else { continue }
            let lists = try relinked(function, returns: returns, convention, &lost)
            if lists.isEmpty {
                over.append(function)
                continue
            }
            // What was counted until now was counted otherwise: it gets new counters.
            changes.append(.init(function: function.with(function.lists, nil, function.image), lists: lists, before: function))
            changed.append(function)
        }
        var batch = PreparedBatch(.functions, changes)
        try build(&batch)
        try publish(&batch)
        traced.keepCounts(of: changed)
        try letGo(over)
        if exits.lossReason == nil {
            exits.forgetWhatWasTold()
            if !changed.isEmpty {
                queue.warn("the process has an unwinder now that knows fsession's frames: exits are seen from here on")
            }
            try linkWhatNeedsExits()
        } else {
            if !changed.isEmpty || !over.isEmpty { tellOfLostExits() }
            for (name, count) in lost.sorted(by: { $0.key < $1.key }) {
                queue.warn("'\(name)', which needs exits, was taken off \(count) functions")
            }
        }
    }

    /// A function's links, as they can be with exits or without.
    private func relinked(
        _ function: TracedFunction, returns: Bool, _ convention: Prototypes.Convention, _ lost: inout [String: Int]
    ) throws(EngineError) -> TrampolineLists {
        var trace: LoadedProgram?
        if function.lists.links.contains(where: \.isTrace) {
            trace = try makeTraceProgram(.init(arguments: convention.calling.arguments.count, isEntryOnly: !returns))
        }
        var lists = TrampolineLists(functionReturns: returns)
        do throws(TrampolineError) {
            for link in function.lists.links.sorted(by: { $0.id < $1.id }) {
                if link.isTrace, let trace {
                    try lists.link(.init(id: link.id, running: trace, cookie: link.attachCookie))
                } else if returns || !link.kind.needsReturn {
                    try lists.link(link)
                } else {
                    lost[programs[link.programID]?.name ?? "a program", default: 0] += 1
                }
            }
        } catch {
            throw .target(pid: processID, doing: "trace \(function.info.displayName) anew", because: "\(error)")
        }
        return lists
    }

    /// Gives functions that have no program any more their own bytes back.
    private func letGo(_ functions: [TracedFunction]) throws(EngineError) {
        if functions.isEmpty { return }
        let restoration = Restoration(of: functions)
        try withStopped { engine, process throws(EngineError) in
            _ = try restoration.apply(to: &process, isOurs: { engine.isOurCode($0) })
        }
        for function in functions {
            unwinderTable.retireEntry(of: function)
            retire(function)
        }
    }

    /// Programs that need exits, and were refused as long as there were none.
    private func linkWhatNeedsExits() throws(EngineError) {
        let requests = standing.needingExits
        if !requests.isEmpty { _ = try link(requests, for: .exits) }
    }
}
