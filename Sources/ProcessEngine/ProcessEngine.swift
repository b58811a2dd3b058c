import MachineCode
import BPF
import CLinux
import ELF
import Glibc
import JIT
import LinuxProcess
import Synchronization
import TargetRuntime
import Trampoline

/// Installs programs into a process: the part of the kernel, played from outside.
///
/// All of it runs on one thread, because the kernel takes ptrace calls only from the thread that attached.
/// Between calls nothing is traced: the target runs free, and all that it holds is machine code and shared
/// memory.
package actor ProcessEngine {
    nonisolated private let thread: TracerThread
    package nonisolated let processID: Int32
    package nonisolated let queue: EventQueue
    package nonisolated let registry = LinkRegistry()
    package nonisolated let attachProgress = AttachProgress()
    /// Whether the process is a child that we started.
    nonisolated let isChild: Bool

    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    let reader: ReaderThread
    nonisolated let life = ProcessLife()

    /// A launched command before it runs: stopped before any code of its own.
    private var held: StoppedProcess?

    // What lies in the target.
    var memory: ProcessMemory
    var codeRegions: [CodeRegion] = []
    var sharedRegions: [SharedRegion] = []
    /// Private pages: see `privateSize`.
    var scratchPage: UInt64 = 0
    /// The routine that copies stack words without faulting.
    var safeCopyAddress: UInt64?
    var shared: SessionMemory?
    var runtimeAddress: UInt64 = 0
    var counterMemory = CounterMemory()

    // What is traced.
    var functions: FunctionTable
    var traced: [UInt64: TracedFunction] = [:]
    /// Images that were replaced while calls may be inside: they must stay known to unwinders.
    var retiredUnwinding: [UnwindEntry] = []
    var unwindDescriptions = UnwindDescriptions()
    /// Where in the target it stands what unwinders that go through the modules are shown; 0: nothing yet.
    var unwindCell: UInt64 = 0
    var loadedPrograms = 0
    var programsByID: [Int: LoadedProgram] = [:]
    var nextLink = 0
    /// What was asked for by pattern, for libraries that come later.
    var standing: [StandingRequest] = []
    /// Those of them whose module has not come yet.
    var awaited: Set<FunctionPattern> = []
    var tracePrograms: TracePrograms?
    var libraryWatch: LibraryWatch?
    /// Functions of C libraries that have a link of our own, or could not get it.
    var watched: Set<UInt64> = []
    var executions: LoadedProgram?
    /// Why exits cannot be seen, as it was decided last; and whether that has been said.
    var noExits: String?
    var hasToldOfExits = false
    /// Functions as they were before their exits began, or ceased, to be seen: their counters count what was then.
    var earlierForms: [TracedFunction] = []
    /// Functions that are no longer traced: a child that was forked before may still have our jumps at them.
    var retiredFunctions: [TracedFunction] = []
    /// Their counts, and whether calls may still be inside.
    var retiredCounts: [CallCount] = []
    var retiredCounters: [(CallCounts?, Bool)] = []
    var saidUnmapped = false
    var finished: EngineSummary?
    /// The session's end, from its first moment on: whoever asks for it again waits for the same one, and nothing is
    /// attached any more.
    var ending: Task<Result<EngineSummary, EngineError>, Never>?

    private init(
        thread: TracerThread, processID: Int32, isChild: Bool, memory: consuming ProcessMemory
    ) {
        self.thread = thread
        self.processID = processID
        self.isChild = isChild
        self.memory = memory
        queue = EventQueue()
        reader = ReaderThread(queue: queue, TargetRing.pace)
        functions = FunctionTable(processID: processID)
    }

    // MARK: - Opening

    /// Before anything is done to a process.
    private static func checkSupported() throws(EngineError) {
        if let refusal = Architecture.refusal {
            throw .request("\(refusal); the kernel engine works (targets that begin with 'kernel:')")
        }
    }

    /// Starts a command; it waits, the dynamic linker done with everything but the constructors, until `resume`.
    package static func launch(_ command: Command) async throws(EngineError) -> ProcessEngine {
        try checkSupported()
        _ = Clock.start
        let thread = try makeThread()
        let launched = HeldProcess()
        let pid = try await Launcher(thread: thread).launch(command, into: launched)
        let engine = try make(thread: thread, pid: pid, isChild: true)
        await engine.take(launched)
        try await engine.open()
        if let loss = LostPrivileges.text(of: pid) { engine.queue.append([.warning(loss)]) }
        return engine
    }

    /// Opens a running process.
    package static func attach(_ processID: Int32) async throws(EngineError) -> ProcessEngine {
        try checkSupported()
        _ = Clock.start
        do throws(ProcessError) {
            try StoppedProcess.checkTraceable(processID)
        } catch {
            throw EngineError.opening(processID, error)
        }
        let engine = try make(thread: makeThread(), pid: processID, isChild: false)
        try await engine.open()
        return engine
    }

    private static func makeThread() throws(EngineError) -> TracerThread {
        do throws(ProcessError) {
            return try TracerThread()
        } catch {
            throw .request("cannot start the tracing thread: \(error)")
        }
    }

    private static func make(
        thread: TracerThread, pid: Int32, isChild: Bool
    ) throws(EngineError) -> ProcessEngine {
        do throws(ProcessError) {
            return ProcessEngine(thread: thread, processID: pid, isChild: isChild, memory: try ProcessMemory(pid: pid))
        } catch {
            throw EngineError.opening(pid, error)
        }
    }

    /// Takes over the stopped process: launcher and engine share the thread that ptrace is bound to.
    private func take(_ launched: HeldProcess) {
        held = launched.take()
    }

    private func open() throws(EngineError) {
        try refuseGo()
        try life.watch(processID, isChild: isChild)
        try withStopped { engine, process throws(EngineError) in
            try engine.replaceEarlierSession(in: &process)
            do throws(EngineError) {
                try engine.prepareMemory(in: &process)
            } catch {
                engine.giveMemoryBack(in: &process)
                throw error
            }
        }
        let life = self.life
        let queue = self.queue
        let pid = processID
        let watch = ExecWatch(pid)
        let shared = self.shared
        let filters = FilterNotice()
        try reader.start {
            shared?.refreshClock()
            if let shared, filters.hasNews(shared.state.pointee.filters) {
                queue.append([.warning(FilterNotice.text)])
            }
            if let path = watch.executed() {
                life.execute()
                queue.append([.executed(processID: pid, path: path, byLibrary: false)])
            }
        }
        life.whenOver { exit in
            Task { await self.processEnded(exit) }
        }
    }

    /// Go moves its goroutines' stacks and finds our frames on them: a Go binary is refused whole.
    private func refuseGo() throws(EngineError) {
        if functions.isGoProgram {
            throw .target(
                pid: processID, doing: "trace functions",
                because: "it is a Go program; Go moves its stacks, and the frame of a trampoline on one would crash it; use Go's own tools, such as delve")
        }
    }

    // MARK: - Stopping

    /// Runs `body` while every thread of the target is stopped: as it waits before its start, or for as
    /// short as `body` takes.
    func withStopped<Value>(
        _ body: (isolated ProcessEngine, inout StoppedProcess) throws(EngineError) -> Value
    ) throws(EngineError) -> Value {
        if let process = held.take() {
            var process = process
            let result: Result<Value, EngineError>
            do throws(EngineError) {
                result = .success(try body(self, &process))
            } catch {
                result = .failure(error)
            }
            held = consume process
            return try result.get()
        }
        var process: StoppedProcess
        do throws(ProcessError) {
            process = try StoppedProcess.attach(processID)
        } catch {
            throw EngineError.opening(processID, error)
        }
        return try body(self, &process)
    }

    /// Whether the process is still the one that was opened: alive, and not another program since.
    var isOurs: Bool {
        life.isRunning && shared.map { MappedProcesses.holds(processID, $0.region.identity) } ?? true
    }

    /// Lets a launched command run.
    package func resume() throws(EngineError) {
        guard let process = held.take() else { return }
        process.resume()
    }

    /// Ends a launched command that never ran.
    private func killHeld() {
        guard let process = held.take() else { return }
        process.kill()
    }

    /// Ends a launched command that never ran, and in which nothing was attached.
    func killUntouched() {
        if isChild, traced.isEmpty { killHeld() }
    }

    /// Waits until a launched command has ended.
    package nonisolated func exitStatus() async -> EngineExit { await life.end() }

    private func processEnded(_ exit: EngineExit) async {
        // Its children run on, and are not to be left with our code in them.
        let isDetached = ending != nil
        if case .failure(let failure) = await beginEnd().value, !isDetached {
            queue.append([.warning("a child of the process keeps fsession's code: \(failure)")])
        }
        queue.append([.exited(exit)])
        queue.finish()
    }
}

extension EngineError {
    static func opening(_ pid: Int32, _ error: ProcessError) -> EngineError {
        .unopened("\(error)")
    }
}

/// Launches on the tracing thread, before there is an engine to do it.
private actor Launcher {
    nonisolated private let thread: TracerThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(thread: TracerThread) { self.thread = thread }

    func launch(_ command: Command, into held: HeldProcess) throws(EngineError) -> Int32 {
        do throws(ProcessError) {
            let process = try StoppedProcess.launch(command)
            let pid = process.pid
            held.put(process)
            return pid
        } catch {
            throw .unopened("\(error)")
        }
    }
}

/// A stopped process on its way from the launcher to the engine, which run on the same thread.
private final class HeldProcess: Sendable {
    private let process = Mutex<StoppedProcess?>(nil)

    func put(_ new: consuming sending StoppedProcess) {
        var new: StoppedProcess? = new
        process.withLock { $0 = new.take() }
    }

    func take() -> sending StoppedProcess? { process.withLock { $0.take() } }
}
