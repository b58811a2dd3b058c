import BPF
import Engine
import KernelEngine
import ProcessEngine
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
    private let engine: any SessionEngine
    private let loaded = Mutex<[EngineObject]>([])
    /// Which programs are attached.
    private let attached = Mutex(AttachedPrograms())

    /// What happens, as it happens. To be iterated once; a second iteration ends the program.
    public let events: Events

    /// The id of the traced process; 0 for the kernel.
    public var processID: ProcessID { ProcessID(engine.processID) }

    /// Opens `target`. A command is started and waits at its entry point; a running process is stopped for a
    /// moment and goes on.
    /// - Throws: ``SessionError`` with the code `target`.
    public init(_ target: Target) async throws(SessionError) {
        engine = try await mapErrors { () async throws(EngineError) -> any SessionEngine in
            switch target.kind {
            case .command(let command):
                try await command.launch()
            case .process(let id):
                try await ProcessEngine.attach(id.rawValue)
            case .kernel:
                try await KernelEngine.open()
            }
        }
        events = Events(engine: engine)
    }

    /// The functions that `pattern` matches (`FUNCTION` or `MODULE:FUNCTION`, globs in both), those that cannot
    /// be traced with the reason.
    /// - Throws: ``SessionError`` with the code `noFunction`, naming the nearest there are.
    public func functions(matching pattern: String) async throws(SessionError) -> [Function] {
        try await mapErrors { () async throws(EngineError) in
            try await engine.functions(matching: FunctionPattern(pattern)).map(Function.init)
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
            try await engine.loadObject(object.object, LoadOptions(allowsWriting: allowsWriting, verifies: verifies))
        }
        loaded.withLock { $0.append(result) }
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
        let all = loaded.withLock { $0.flatMap(\.programs) }
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
            return try await engine.attach(programs.map { AttachRequest(program: $0, pattern: functions, cookie: cookie) })
        }
        attached.withLock { $0.add(programs.map(\.id), report, cookie: cookie) }
        return Attachment(report, cookie: cookie)
    }

    /// Records every call of the functions that `patterns` match as ``Event/call``.
    /// - Throws: ``SessionError`` with the code `noFunction` or `refused`; then nothing of this call stays attached.
    @discardableResult
    public func trace(_ patterns: [String]) async throws(SessionError) -> Attachment {
        let report = try await attaching { () async throws(EngineError) in
            var read: [FunctionPattern] = []
            for pattern in patterns { read.append(try FunctionPattern(pattern)) }
            return try await engine.traceCalls(of: read)
        }
        attached.withLock { $0.add([], report, cookie: 0) }
        return Attachment(report)
    }

    /// Attaches; a Task that is cancelled meanwhile leaves nothing attached.
    private func attaching(_ body: () async throws(EngineError) -> LinkReport) async throws(SessionError) -> LinkReport {
        let result = await withTaskCancellationHandler {
            do throws(EngineError) {
                return Result<LinkReport, EngineError>.success(try await body())
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
        Task { [engine] in _ = try? await engine.end() }
    }

    /// How far ``attach(_:to:cookie:)`` or ``trace(_:)`` is, to be asked meanwhile: with so many functions of so many.
    /// Nil where it takes no time worth showing.
    public var attachProgress: (done: Int, total: Int)? {
        let counts = engine.attachProgress.counts
        return counts.total > 0 ? counts : nil
    }

    /// Ends an ``attach(_:to:cookie:)`` or ``trace(_:)`` that is running, or comes: it throws, and nothing of it stays.
    public func cancelAttaching() { engine.attachProgress.cancel() }

    /// Takes one link out again; the others that were made with it stay. A link of the kernel's that is at many functions
    /// goes from all of them.
    public func remove(_ link: Link) async throws(SessionError) {
        try await mapErrors { () async throws(EngineError) in try await engine.removeLink(link.id) }
        attached.withLock { $0.remove(link.id) }
    }

    /// The links that attaching and tracing have made and ``remove(_:)`` has not taken out. Those at functions of libraries that were
    /// loaded later are told by ``Event/loadedLibrary``.
    ///
    /// ```swift
    /// let summary = await session.summary()
    /// for link in session.links {
    ///     print(link.program, link.cookie, link.function.displayName, summary.count(of: link.function)?.entered ?? 0)
    /// }
    /// ```
    public var links: [Link] { attached.withLock { $0.links } }

    /// Lets a launched command run.
    public func resume() async throws(SessionError) {
        try await mapErrors { () async throws(EngineError) in try await engine.letRun() }
    }

    /// Takes everything out of the target, which runs on, and ends ``events`` once all of them are read.
    /// Doing it twice is harmless.
    @discardableResult
    public func detach() async throws(SessionError) -> Summary {
        Summary(try await mapErrors { () async throws(EngineError) in try await engine.end() })
    }

    /// Waits until the process has ended. Where the Task is cancelled, the session is detached and the status is `unknown`.
    public func exitStatus() async -> ExitStatus {
        let (ends, end) = AsyncStream<EngineExit>.makeStream()
        Task { [engine] in
            end.yield(await engine.exitStatus())
            end.finish()
        }
        for await exit in ends { return ExitStatus(exit) }
        _ = try? await engine.end()
        return .unknown
    }

    /// The counts so far.
    public func summary() async -> Summary { Summary(await engine.currentSummary()) }

    /// The maps of the loaded objects, the sections of global variables left out.
    public var maps: [BPFMap] {
        loaded.withLock { $0.flatMap(BPFMap.all) }
    }

    /// The map of that name.
    public func map(named name: String) -> BPFMap? { maps.first { $0.name == name } }

    /// The global variables of the loaded objects, the read-only ones left out.
    public var variables: [BPFVariable] {
        loaded.withLock { $0.flatMap(BPFVariable.all) }
    }

    /// The global variable of that name.
    public func variable(named name: String) -> BPFVariable? { variables.first { $0.name == name } }
}
