import BPF
import Engine
import Sessions
import Synchronization

/// Programs at both ends of the functions of a process, or of the kernel.
///
/// ```swift
/// let object = try BPFObject(contentsOf: "latency.bpf.o")
/// try await withSession(.launch("gzip", ["-k", "file"])) { session in
///     try await session.load(object)
///     try await session.attach()
///     try await session.resume()
///     for await event in session.events {
///         if let line = event.print { print(line.text, terminator: "") }
///     }
/// }
/// ```
///
/// ``withSession(_:isolation:_:)`` detaches in the end. One that is opened by ``init(_:)`` is left by ``detach()``: a session that
/// goes away without it leaves its programs in the target, where they run on, unheard, until the target ends or the next
/// session on it takes them out.
///
/// A Task that is cancelled while it attaches, traces, iterates over ``events`` or waits for ``exitStatus()`` detaches its session.
public final class Session: Sendable {
    private let core = SessionCore()
    /// Which programs are attached.
    private let attached = Mutex(AttachedPrograms())

    /// What happens, as it happens. To be iterated once; a second iteration ends the program.
    public let events: Events

    /// The id of the traced process, of the first one where there are several; 0 for the kernel.
    public var processID: ProcessID { processIDs.first ?? 0 }

    /// The ids of all traced processes in the order in which they were opened; 0 for the kernel.
    public var processIDs: [ProcessID] { core.processIDs.map { ProcessID($0) } }

    /// Opens `target`. A command is started and waits at its entry point; a running process is stopped for a
    /// moment and goes on.
    /// - Throws: ``SessionError`` with the code `target`.
    public convenience init(_ target: Target) async throws(SessionError) { try await self.init([target]) }

    /// Opens several targets in one session: all of them, or none.
    ///
    /// ```swift
    /// let session = try await Session([.process(4711), .process(4712)])
    /// ```
    ///
    /// What is loaded and attached holds in each process that has such functions. An object is loaded once: its maps and global
    /// variables are the same memory in all processes, which must therefore have the same user, groups, capabilities and
    /// namespaces. Calls can be traced in any processes, and in the kernel beside them.
    /// - Parameter targets: a command comes first; ``exitStatus()`` is that of the first one.
    /// - Throws: ``SessionError`` with the code `target`.
    public init(_ targets: [Target]) async throws(SessionError) {
        events = Events(core: core)
        if targets.isEmpty { throw SessionError(.request, "a session needs a target") }
        _ = try await open(targets)
    }

    /// Opens one more target. What was loaded and attached by pattern holds there, too, from now on.
    ///
    /// ```swift
    /// try await session.add(.process(4713))
    /// ```
    ///
    /// - Returns: what was attached there.
    /// - Throws: ``SessionError``; then the session is as it was.
    @discardableResult
    public func add(_ target: Target) async throws(SessionError) -> Attachment { try await open([target]) }

    private func open(_ targets: [Target]) async throws(SessionError) -> Attachment {
        let reports = try await mapErrors { () async throws(EngineError) in try await core.open(targets.map(\.opening)) }
        return note(reports)
    }

    /// The functions that `pattern` matches (`FUNCTION` or `MODULE:FUNCTION`, globs in both), those that cannot
    /// be traced with the reason.
    /// - Throws: ``SessionError`` with the code `noFunction`, naming the nearest there are.
    public func functions(matching pattern: String) async throws(SessionError) -> [Function] {
        try await mapErrors { () async throws(EngineError) in
            try await core.functions(matching: FunctionPattern(pattern)).map(Function.init)
        }
    }

    /// Puts an object's maps and programs into the target, once the verifier has proven that they can do no harm.
    /// Nothing runs yet.
    /// - Parameters:
    ///   - object: what to load; its variables are set by now.
    ///   - allowsWriting: lets programs call `bpf_probe_write_user`.
    ///   - verifies: false leaves the proof out. Then a fault of a program is a fault of the target, which must be
    ///     a process of the same user.
    /// - Returns: the object's programs, maps and variables in this session, told from those of other objects.
    /// - Throws: ``SessionError`` with the code `unsafe` for a program that is not proven safe, `program` for a helper, kfunc, map or
    ///   instruction that a process does not have.
    @discardableResult
    public func load(
        _ object: BPFObject, allowsWriting: Bool = false, verifies: Bool = true
    ) async throws(SessionError) -> LoadedObject {
        let result = try await mapErrors { () async throws(EngineError) in
            try await core.load(object.object, LoadOptions(allowsWriting: allowsWriting, verifies: verifies))
        }
        return LoadedObject(session: self, object: result)
    }

    /// Attaches the loaded programs that are not attached yet to the functions that their sections name.
    /// - Parameters:
    ///   - program: only the program of this name, also where it is attached elsewhere.
    ///   - pattern: the functions to attach to, in place of those that the section names.
    ///   - cookie: what `bpf_get_attach_cookie` returns in these links.
    /// - Throws: ``SessionError``; then nothing of this call stays attached.
    @discardableResult
    public func attach(
        _ program: String? = nil, to pattern: String? = nil, cookie: UInt64 = 0
    ) async throws(SessionError) -> Attachment {
        let all = core.objects.flatMap(\.programs)
        guard let program else { return try await attachNew(all, to: pattern, cookie: cookie) }
        let programs = all.filter { $0.name == program }
        if programs.isEmpty { throw SessionError(.request, "no program '\(program)' is loaded") }
        return try await attach(programs, to: pattern, cookie: cookie)
    }

    /// Attaches those that are not attached yet.
    func attachNew(_ all: [EngineProgram], to pattern: String?, cookie: UInt64) async throws(SessionError) -> Attachment {
        let wanted = all.filter { !$0.section.isOptional }
        let ids = attached.withLock { $0.claim(wanted.map(\.id)) }
        guard !ids.isEmpty else {
            if wanted.isEmpty { throw SessionError(.request, "no program is loaded") }
            throw SessionError(.request, "all programs that are loaded are attached", advice: "load another object first")
        }
        do throws(SessionError) {
            return try await attach(wanted.filter { ids.contains($0.id) }, to: pattern, cookie: cookie)
        } catch {
            attached.withLock { $0.giveUp(Array(ids)) }
            throw error
        }
    }

    func attach(_ programs: [EngineProgram], to pattern: String?, cookie: UInt64) async throws(SessionError) -> Attachment {
        let report = try await attaching { () async throws(EngineError) in
            let functions: FunctionPattern? = if let pattern { try FunctionPattern(pattern) } else { nil }
            return try await core.attach(programs.map { AttachRequest(program: $0, pattern: functions, cookie: cookie) })
        }
        return note(report, of: programs.map(\.id))
    }

    /// Records every call of the functions that `patterns` match as ``Event/call``.
    /// - Throws: ``SessionError`` with the code `noFunction` or `refused`; then nothing of this call stays attached.
    @discardableResult
    public func trace(_ patterns: [String]) async throws(SessionError) -> Attachment {
        let report = try await attaching { () async throws(EngineError) in
            var read: [FunctionPattern] = []
            for pattern in patterns { read.append(try FunctionPattern(pattern)) }
            return try await core.trace(read)
        }
        return note(report)
    }

    private func note(_ reports: [MemberReport], of programs: [Int] = []) -> Attachment {
        let attachment = Attachment(reports)
        attached.withLock { $0.add(programs, reports, attachment) }
        return attachment
    }

    /// Attaches; a Task that is cancelled meanwhile leaves nothing attached.
    private func attaching(_ body: () async throws(EngineError) -> [MemberReport]) async throws(SessionError) -> [MemberReport] {
        let result = await withTaskCancellationHandler {
            do throws(EngineError) {
                return Result<[MemberReport], EngineError>.success(try await body())
            } catch {
                return .failure(error)
            }
        } onCancel: {
            cancel()
        }
        return try await mapErrors { () throws(EngineError) in try result.get() }
    }

    /// The Task that uses this session is cancelled: what is being attached is given up, and the session detached.
    func cancel() {
        cancelAttaching()
        Task { [core] in _ = try? await core.end() }
    }

    /// How far ``attach(_:to:cookie:)`` or ``trace(_:)`` is, to be asked meanwhile: with so many functions of so many.
    /// Nil where it takes no time worth showing.
    public var attachProgress: (done: Int, total: Int)? {
        let counts = core.session.progress.counts
        return counts.total > 0 ? counts : nil
    }

    /// Ends an ``attach(_:to:cookie:)`` or ``trace(_:)`` that is running, or comes: it throws, and nothing of it stays.
    public func cancelAttaching() { core.session.progress.cancel() }

    /// Takes one link out again; the others that were made with it stay. A link of the kernel's that is at many functions
    /// goes from all of them.
    public func remove(_ link: Link) async throws(SessionError) {
        try await mapErrors { () async throws(EngineError) in try await core.remove(link.id) }
        attached.withLock { $0.remove(link.id) }
    }

    /// The links that attaching and tracing have made and ``remove(_:)`` has not taken out. Those at functions of libraries that were
    /// loaded later are told by ``Event/loadedLibrary``.
    ///
    /// ```swift
    /// let summary = await session.summary()
    /// for link in session.links {
    ///     print(link.program, link.cookie, link.function.displayName, summary.count(of: link)?.entered ?? 0)
    /// }
    /// ```
    public var links: [Link] { attached.withLock { $0.links } }

    /// Lets a launched command run.
    public func resume() async throws(SessionError) {
        try await mapErrors { () async throws(EngineError) in try await core.letRun() }
    }

    /// Takes everything out of the target, which runs on, and ends ``events`` once all of them are read.
    /// Doing it twice is harmless.
    @discardableResult
    public func detach() async throws(SessionError) -> Summary {
        Summary(try await mapErrors { () async throws(EngineError) in try await core.end() })
    }

    /// Waits until the process has ended. Where the Task is cancelled, the session is detached and the status is `unknown`.
    public func exitStatus() async -> ExitStatus {
        let (ends, end) = AsyncStream<EngineExit>.makeStream()
        Task { [core] in
            end.yield(await core.exitStatus())
            end.finish()
        }
        for await exit in ends { return ExitStatus(exit) }
        _ = try? await core.end()
        return .unknown
    }

    /// The counts so far.
    public func summary() async -> Summary { Summary(await core.currentSummary()) }

    /// The maps of the loaded objects, the sections of global variables left out.
    public var maps: [BPFMap] {
        core.objects.flatMap(BPFMap.all)
    }

    /// The map of that name.
    public func map(named name: String) -> BPFMap? { maps.first { $0.name == name } }

    /// The global variables of the loaded objects, the read-only ones left out.
    public var variables: [BPFVariable] {
        core.objects.flatMap(BPFVariable.all)
    }

    /// The global variable of that name.
    public func variable(named name: String) -> BPFVariable? { variables.first { $0.name == name } }
}
