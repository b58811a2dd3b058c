import LinuxProcess
import Trampoline

/// Who asks for links.
enum Asker: Sendable {
    /// The user: functions of all modules there are. That none matches, or none can be traced, is an error, and may be ended.
    case user
    /// A library that has come, by its key: what was asked for before, for its functions.
    case library(String)
    /// Exits, which can be seen now: programs that were refused for want of them, for all functions.
    case exits

    var isUser: Bool { if case .user = self { true } else { false } }
}

/// The order of links: where a later one is, the earlier ones of the same function are in place.
enum LinkStage: Sendable, Hashable, CaseIterable {
    /// Those of the engine's own (`Hook`). They come when something needs them, and are not counted.
    case hooks
    /// Those of users.
    case functions
    /// Those of users at functions that unwinders find our frames by. The engine's own link comes to them with the first
    /// functions that are traced, and theirs are built on top of it.
    case finders

    /// Whether the calls of functions that get a link are counted.
    var isCounted: Bool { self != .hooks }
}

/// A function that gets a link, and what a trampoline must know of it.
struct LinkMatch: Sendable {
    var function: FunctionInfo
    var convention: Prototypes.Convention
}

/// What patterns have matched, by stage.
struct LinkSelection {
    typealias Matches = [(request: StandingRequest, functions: [LinkMatch])]

    private var stages: [LinkStage: Matches] = [:]
    /// Some of what was asked for is in a library that is not loaded yet.
    var waits = false
    /// What is to be told when all is done.
    var remarks: [String] = []

    mutating func add(
        _ request: StandingRequest, _ functions: [FunctionInfo], _ conventions: [Prototypes.Convention], finders: Set<UInt64>
    ) {
        var (now, last): ([LinkMatch], [LinkMatch]) = ([], [])
        now.reserveCapacity(functions.count)
        for (function, convention) in zip(functions, conventions) {
            let match = LinkMatch(function: function, convention: convention)
            if finders.contains(function.address) { last.append(match) } else { now.append(match) }
        }
        if !now.isEmpty { stages[.functions, default: []].append((request, now)) }
        if !last.isEmpty { stages[.finders, default: []].append((request, last)) }
    }

    func has(_ stage: LinkStage) -> Bool { stages[stage] != nil }
    var hasMore: Bool { !stages.isEmpty }

    mutating func take(_ stage: LinkStage) -> Matches { stages.removeValue(forKey: stage) ?? [] }
}

/// What became of what was asked for.
struct LinkOutcome: Sendable {
    private(set) var linked: [LinkedFunction] = []
    private(set) var refused: [RefusedFunction] = []
    /// Whether some function's exit is not seen because of the process.
    var losesExits = false

    var report: LinkReport { LinkReport(linked: linked, refused: refused) }

    mutating func reserve(_ count: Int) { linked.reserveCapacity(linked.count + count) }

    mutating func link(_ function: LinkedFunction) { linked.append(function) }

    mutating func refuse(_ function: FunctionInfo, _ reason: String, category: String? = nil) {
        refused.append(RefusedFunction(function: function, reason: reason, category: category))
    }

    /// Functions that got no link in the end.
    mutating func drop(_ addresses: Set<UInt64>) {
        if !addresses.isEmpty { linked.removeAll { addresses.contains($0.function.address) } }
    }

    mutating func add(_ other: LinkOutcome) {
        // Mostly there is one, of a hundred thousand functions perhaps: it is not copied.
        if linked.isEmpty { linked = other.linked } else { linked += other.linked }
        refused += other.refused
        losesExits = losesExits || other.losesExits
    }
}

/// Which functions get which links: worked out from what was asked for, what the functions are and what is at them. Nothing of
/// it touches the target.
struct LinkPlan {
    /// A function that gets links.
    struct Change: Sendable {
        let info: FunctionInfo
        let convention: Prototypes.Convention
        /// With its new links.
        var lists: TrampolineLists
        /// As it is now; nil where nobody traces it.
        let present: TracedFunction?
    }

    let stage: LinkStage
    private(set) var changes: [Change] = []
    private(set) var outcome = LinkOutcome()
    private var indices: [UInt64: Int] = [:]
    /// Why no function's exit can be seen in this process.
    private let exitLossReason: String?
    /// Whether the same was asked for before: what has been linked then is not refused for it.
    private let isRepeated: Bool

    init(_ stage: LinkStage, exitLossReason: String?, isRepeated: Bool) {
        self.stage = stage
        self.exitLossReason = exitLossReason
        self.isRepeated = isRepeated
    }

    /// One link of the engine's own, in the place of an earlier one.
    init(_ hook: TrampolineLink, at function: LinkMatch, traced: TracedFunctions) throws(TrampolineError) {
        self.init(.hooks, exitLossReason: nil, isRepeated: false)
        let present = traced[function.function.address]
        var lists = present?.lists ?? TrampolineLists(functionReturns: entryOnlyReason(function) == nil)
        lists.unlink(id: hook.id)
        try lists.link(hook)
        append(.init(info: function.function, convention: function.convention, lists: lists, present: present))
    }

    /// What is refused, and linked, from here on is noted by somebody else.
    mutating func takeOutcome() -> LinkOutcome {
        defer { outcome = LinkOutcome() }
        return outcome
    }

    private mutating func append(_ change: Change) {
        indices[change.info.address] = changes.count
        changes.append(change)
    }

    private func entryOnlyReason(_ match: LinkMatch) -> String? {
        match.function.entryOnlyReason ?? match.convention.entryOnlyReason ?? exitLossReason
    }

    private func shape(_ match: LinkMatch) -> TracePrograms.Key {
        .init(arguments: match.convention.calling.arguments.count, isEntryOnly: entryOnlyReason(match) != nil)
    }

    /// The programs that recording the calls of these functions takes.
    func traceProgramShapes(_ matches: [LinkMatch]) -> [TracePrograms.Key] {
        var shapes: [TracePrograms.Key] = []
        for match in matches where match.function.refusalReason == nil {
            let shape = shape(match)
            if !shapes.contains(shape) { shapes.append(shape) }
        }
        return shapes
    }

    /// - Parameters:
    ///   - traced: what is traced now.
    ///   - tracePrograms: with all that recording these functions takes.
    mutating func add(
        _ request: StandingRequest, to matches: [LinkMatch], traced: TracedFunctions, _ tracePrograms: TracePrograms?,
        _ registry: LinkRegistry
    ) {
        changes.reserveCapacity(changes.count + matches.count)
        indices.reserveCapacity(indices.count + matches.count)
        outcome.reserve(matches.count)
        for match in matches { add(request, to: match, traced[match.function.address], tracePrograms, registry) }
    }

    private mutating func add(
        _ request: StandingRequest, to match: LinkMatch, _ present: TracedFunction?, _ tracePrograms: TracePrograms?,
        _ registry: LinkRegistry
    ) {
        let (function, convention) = (match.function, match.convention)
        if let refusal = function.refusalReason {
            outcome.refuse(function, refusal)
            return
        }
        let known = indices[function.address]
        let argumentCount = convention.calling.arguments.count
        let entryOnlyReason = entryOnlyReason(match)
        if entryOnlyReason != nil, function.entryOnlyReason == nil, convention.entryOnlyReason == nil { outcome.losesExits = true }
        let program: LoadedProgram
        switch request {
        case .program(let request):
            program = request.program
            if program.kind.needsReturn, let reason = entryOnlyReason {
                outcome.refuse(function, "\(reason); use an fentry program")
                return
            }
        case .trace:
            // Two patterns may match one function: it is traced once.
            let lists = known.map { changes[$0].lists } ?? present?.lists
            if lists?.links.contains(where: \.isTrace) ?? false { return }
            guard let made = tracePrograms?.programs[shape(match)] else { return }
            program = made
        }
        if let reason = Self.missingWords(program, argumentCount) {
            outcome.refuse(function, reason)
            return
        }
        // Functions that are looked at once more, because exits can be seen now.
        if isRepeated, let present, present.lists.links.contains(where: { $0.programID == program.id }) { return }
        let linked = registry.appendLink {
            LinkedFunction(
                id: $0, link: $1, function: function, program: program.name, programID: program.id, argumentCount: argumentCount,
                context: convention.context)
        }
        let cookie =
            switch request {
            case .program(let request): request.cookie
            case .trace: UInt64(linked.id)
            }
        // For the engine's own links nobody looked at the function's prototype.
        var present = known == nil ? present : nil
        if let own = present, own.lists.links.allSatisfy(\.isOwn) { present = own.with(convention.calling) }
        var lists =
            known.map { changes[$0].lists } ?? present?.lists ?? TrampolineLists(functionReturns: entryOnlyReason == nil)
        do throws(TrampolineError) {
            try lists.link(TrampolineLink(id: linked.link, running: program, cookie: cookie))
        } catch {
            // Refusals by the lists (E2BIG, EBUSY) are of this function only.
            outcome.refuse(function, "\(error)")
            return
        }
        if let known {
            changes[known].lists = lists
        } else {
            append(.init(info: function, convention: convention, lists: lists, present: present))
        }
        outcome.link(linked)
    }

    /// Why the context of a function with so many argument words is too small for the program; nil if it is not.
    private static func missingWords(_ program: LoadedProgram, _ argumentCount: Int) -> String? {
        let words = argumentCount + (program.kind == .fentry ? 0 : 1)
        guard program.needs.bytes > words * 8 else { return nil }
        let read = (program.needs.bytes + 7) / 8
        return "the program reads word \(read - 1) of its context, and there are \(argumentCount) argument words"
            + (program.kind == .fentry ? "" : " and the return value")
    }
}

extension TrampolineLink {
    /// A link of a program, numbered for the user.
    init(id: Int, running program: LoadedProgram, cookie: UInt64) {
        self.init(
            id: id, programID: program.id, kind: program.kind, programAddress: program.address, attachCookie: cookie,
            usesCookie: program.needs.usesCookie, usesTailCalls: program.usesTailCalls, clobbers: program.clobbers,
            needsAlignedStack: false)
    }
}
