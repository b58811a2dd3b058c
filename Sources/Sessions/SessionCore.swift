import BPF
import Engine
import Synchronization

/// A session: any number of processes, or the kernel, or both. What was asked for is kept apart from what became of it in each of
/// them, so that it also holds for those that come later.
package final class SessionCore: Sendable {
    package let session = EngineSession()
    private let state = Mutex(State())

    private struct State {
        var members: [Member] = []
        var objects: [SessionObject] = []
        /// In the order in which they were asked for.
        var requests: [StandingRequest] = []
        var programCount = 0
        var isOver = false

        mutating func update(_ member: Member) {
            guard let index = members.firstIndex(where: { $0.engine.processID == member.engine.processID }) else { return }
            members[index].programs = member.programs
        }

        mutating func add(_ links: LinkNumbers, to processID: Int32) {
            guard let index = members.firstIndex(where: { $0.engine.processID == processID }) else { return }
            members[index].links.add(links)
        }

    }

    /// One of the processes, or the kernel.
    private struct Member: Sendable {
        let engine: any SessionEngine
        /// Its programs by the session's numbers.
        var programs: [Int: EngineProgram] = [:]
        var links = LinkNumbers()

        /// What a call came to here.
        func report(_ report: LinkReport, _ cookie: UInt64) -> MemberReport {
            let numbers = Dictionary(programs.map { ($0.value.id, $0.key) }, uniquingKeysWith: { first, _ in first })
            return MemberReport(processID: engine.processID, report: report, cookie: cookie, programs: numbers)
        }
    }

    /// What holds for all members, also those that come later.
    private enum StandingRequest: Sendable {
        case load(SessionObject)
        case attach([AttachRequest])
        case trace([FunctionPattern])

        /// That of its links.
        var cookie: UInt64 { if case .attach(let requests) = self { requests.first?.cookie ?? 0 } else { 0 } }
    }

    package init() {}

    // MARK: - Members

    /// The traced processes in the order in which they were opened; 0: the kernel.
    package var processIDs: [Int32] { members.map(\.engine.processID) }

    private var members: [Member] { state.withLock { $0.members } }

    /// Opens processes, or the kernel; all of them or none. What was asked for before holds there, too.
    package func open(_ openings: [Opening]) async throws(EngineError) -> [MemberReport] {
        // Others may end before the last one is open.
        let writer = EventWriter(session.queue, processID: 0)
        defer { writer.finish() }
        var new: [Member] = []
        do throws(EngineError) {
            for opening in openings {
                if state.withLock({ $0.isOver }) { throw .request("this session is detached; open another one") }
                if !members.isEmpty, members.allSatisfy(\.engine.isOver) {
                    throw .request("all processes of this session have ended; open another one")
                }
                let engine = try await opening(session)
                new.append(Member(engine: engine))
                if members.contains(where: { $0.engine.processID == engine.processID })
                    || new.dropLast().contains(where: { $0.engine.processID == engine.processID })
                {
                    throw .request("process \(engine.processID) is given twice")
                }
            }
            var reports: [MemberReport] = []
            for index in new.indices { reports += try await fulfil(&new[index]) }
            state.withLock { $0.members += new }
            return reports
        } catch {
            for member in new { _ = try? await member.engine.end() }
            throw error
        }
    }

    /// Opens one process, or the kernel.
    package typealias Opening = @Sendable (EngineSession) async throws(EngineError) -> any SessionEngine

    /// Does in a new member what was asked for so far. That nothing matches there is no error.
    private func fulfil(_ member: inout Member) async throws(EngineError) -> [MemberReport] {
        var reports: [MemberReport] = []
        for request in state.withLock({ $0.requests }) {
            switch request {
            case .load(let object): try await load(object, in: &member)
            case .attach, .trace:
                do throws(EngineError) {
                    let report = try await perform(request, in: member)
                    member.links.add(LinkNumbers(report))
                    reports.append(member.report(report, request.cookie))
                } catch {
                    guard error.isOfOneTarget else { throw error }
                    warn(member, error)
                }
            }
        }
        return reports
    }

    private func warn(_ member: Member, _ error: EngineError) {
        session.queue.append([.warning(processID: member.engine.processID, error.description)])
    }

    /// The functions that a pattern matches, in all members.
    package func functions(matching pattern: FunctionPattern) async throws(EngineError) -> [FunctionInfo] {
        var found: [FunctionInfo] = []
        try await Self.inEach(members, { _, _ in }) { member throws(EngineError) in
            found += try await member.engine.functions(matching: pattern)
        }
        return found
    }

    // MARK: - Objects

    /// Loads an object in all members: its maps are the same in all of them.
    package func load(_ object: Object, _ options: LoadOptions) async throws(EngineError) -> SessionObject {
        let first = state.withLock { state in
            defer { state.programCount += object.programs.count }
            return state.programCount
        }
        let new = SessionObject(object: object, options: options, firstProgram: first)
        var members = members
        if members.count > 1, members.contains(where: { $0.engine.processID == 0 }) {
            throw .request("an object is loaded in processes or in the kernel; open a session for each")
        }
        let hasLiving = members.contains { !$0.engine.isOver }
        for index in members.indices where !hasLiving || !members[index].engine.isOver { try await load(new, in: &members[index]) }
        let loaded = members
        state.withLock { state in
            state.objects.append(new)
            state.requests.append(.load(new))
            for member in loaded { state.update(member) }
        }
        return new
    }

    private func load(_ object: SessionObject, in member: inout Member) async throws(EngineError) {
        let made = try await member.engine.loadObject(object.object, object.options, sharedWith: object.made)
        for (number, program) in made.programs.enumerated() { member.programs[object.firstProgram + number] = program }
        object.setMade(made)
    }

    package var objects: [SessionObject] { state.withLock { $0.objects } }

    // MARK: - Links

    /// Attaches programs, named by the session's numbers, in all members.
    package func attach(_ requests: [AttachRequest]) async throws(EngineError) -> [MemberReport] {
        try await ask(.attach(requests))
    }

    /// Records the calls of functions in all members that have them.
    package func trace(_ patterns: [FunctionPattern]) async throws(EngineError) -> [MemberReport] {
        try await ask(.trace(patterns))
    }

    private func ask(_ request: StandingRequest) async throws(EngineError) -> [MemberReport] {
        var reports: [MemberReport] = []
        do throws(EngineError) {
            for (part, members) in parts(of: request) {
                try await Self.inEach(members, warn) { member throws(EngineError) in
                    let report = try await perform(part, in: member)
                    reports.append(member.report(report, part.cookie))
                    state.withLock { $0.add(LinkNumbers(report), to: member.engine.processID) }
                }
            }
        } catch {
            // Nothing of this call stays.
            for report in reports {
                for link in report.report.linked { try? await remove(link.link) }
            }
            throw error
        }
        state.withLock { $0.requests.append(request) }
        return reports
    }

    /// One member is asked for all at once; of several each pattern by itself, as one may have what the next one has not.
    private func parts(of request: StandingRequest) -> [(StandingRequest, [Member])] {
        let members = members
        if members.count <= 1 { return [(request, members)] }
        switch request {
        case .load: return []
        case .attach(let requests): return requests.map { (.attach([$0]), members) }
        case .trace(let patterns):
            let kernel = members.filter { $0.engine.processID == 0 }
            let ofKernel = patterns.filter { !kernel.isEmpty && $0.isOfKernel }
            return (ofKernel.isEmpty ? [] : [(.trace(ofKernel), kernel)])
                + patterns.filter { !ofKernel.contains($0) }.map { (.trace([$0]), members.filter { $0.engine.processID != 0 }) }
        }
    }

    private func perform(_ request: StandingRequest, in member: Member) async throws(EngineError) -> LinkReport {
        switch request {
        case .load: return LinkReport()
        case .trace(let patterns):
            return try await member.engine.traceCalls(of: patterns)
        case .attach(let requests):
            var own: [AttachRequest] = []
            for request in requests {
                guard let program = member.programs[request.program.id] else {
                    throw .request("no program '\(request.program.name)' is loaded")
                }
                own.append(AttachRequest(program: program, pattern: request.pattern, cookie: request.cookie))
            }
            return try await member.engine.attach(own)
        }
    }

    /// Does something in each member. What cannot be done in one of them, but in another, is told; what can be done in none is an
    /// error. One that has ended hinders no other.
    private static func inEach(
        _ members: [Member], _ warn: (Member, EngineError) -> Void, _ body: (Member) async throws(EngineError) -> Void
    ) async throws(EngineError) {
        var failures: [(member: Member, error: EngineError)] = []
        let living = members.filter { !$0.engine.isOver }
        let members = living.isEmpty ? members : living
        for member in members {
            do throws(EngineError) {
                try await body(member)
            } catch {
                guard error.isOfOneTarget || member.engine.isOver else { throw error }
                failures.append((member, error))
            }
        }
        if let first = failures.first, failures.count == members.count { throw first.error }
        for failure in failures { warn(failure.member, failure.error) }
    }

    /// Takes off a link, whosever it is.
    package func remove(_ link: Int) async throws(EngineError) {
        guard let member = members.first(where: { $0.links.contains(link) }) else { throw .request("link \(link) is not attached") }
        try await member.engine.removeLink(link)
    }

    // MARK: - The session's course

    package func letRun() async throws(EngineError) {
        for member in members { try await member.engine.letRun() }
    }

    /// Takes everything out of all members, whatever becomes of one of them, and ends the events.
    package func end() async throws(EngineError) -> SessionSummary {
        state.withLock { $0.isOver = true }
        var failure: EngineError?
        var summary = SessionSummary()
        for member in members {
            do throws(EngineError) {
                summary.members.append((member.engine.processID, try await member.engine.end()))
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        addShared(to: &summary)
        return summary
    }

    package func currentSummary() async -> SessionSummary {
        var summary = SessionSummary()
        for member in members { summary.members.append((member.engine.processID, await member.engine.currentSummary())) }
        addShared(to: &summary)
        return summary
    }

    /// What found no room in the rings that the members share.
    private func addShared(to summary: inout SessionSummary) {
        for source in objects.flatMap({ $0.made?.sources ?? [] }) {
            if source.dropped > 0 { summary.drops.append((source.name, source.dropped)) }
            summary.abandoned &+= session.lost(of: source)
        }
    }

    /// Waits until the member that was opened first has ended.
    package func exitStatus() async -> EngineExit { await members.first?.engine.exitStatus() ?? .unknown }
}

/// Which links a member has, or had: they come in runs.
private struct LinkNumbers: Sendable {
    private var runs: [Range<Int>] = []

    init() {}

    init(_ report: LinkReport) {
        for linked in report.linked {
            if let last = runs.last, last.upperBound == linked.link {
                runs[runs.count - 1] = last.lowerBound..<linked.link + 1
            } else if runs.last?.contains(linked.link) != true {
                runs.append(linked.link..<linked.link + 1)
            }
        }
    }

    mutating func add(_ other: LinkNumbers) { runs += other.runs }

    func contains(_ link: Int) -> Bool { runs.contains { $0.contains(link) } }
}

extension FunctionPattern {
    /// Whether functions of the kernel are meant where a session has processes, too.
    fileprivate var isOfKernel: Bool { module.map { $0.text == "kernel" || $0.text == "prog" } ?? false }
}
