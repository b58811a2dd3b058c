import BPF
import CLinux
import ELF
import Glibc
import JIT
import LinuxProcess
import MachineCode
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
    nonisolated let queue: EventWriter
    nonisolated let session: EngineSession
    nonisolated var registry: LinkRegistry { session.registry }
    nonisolated var attachProgress: AttachProgress { session.progress }
    /// Whether the process is a child that we started.
    nonisolated let isChild: Bool

    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    let reader: ReaderThread
    /// Rings of this process alone, and those of objects, which other processes of the session may have, too.
    var sources: [TargetRing] = []
    var sharedSources: [any EventSource] = []
    private(set) var tick: Int?
    nonisolated let life = ProcessLife()

    /// A launched command before it runs: stopped before any code of its own.
    private var held: StoppedProcess?

    // What lies in the target.
    var memory: TargetMemory
    var shared: SessionMemory?
    var runtime = InstalledRuntime(address: 0)
    var counterMemory = CounterMemory()

    // What is traced.
    var functions: FunctionTable
    var traced = TracedFunctions()
    var unwinderTable = UnwinderTable()
    var programs = ProgramTable()
    var standing = StandingRequests()
    var hooks = Hooks()
    var exits = ExitSight()
    var teardown = Teardown.running

    private init(
        _ session: EngineSession, thread: TracerThread, processID: Int32, isChild: Bool, memory: consuming ProcessMemory
    ) {
        self.thread = thread
        self.processID = processID
        self.isChild = isChild
        self.memory = TargetMemory(memory)
        queue = EventWriter(session.queue, processID: processID)
        self.session = session
        reader = session.reader(TargetRing.pace)
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
    package static func launch(_ command: Command, in session: EngineSession) async throws(EngineError) -> ProcessEngine {
        try checkSupported()
        _ = Clock.start
        let thread = try makeThread()
        let launched = HeldProcess()
        let pid = try await Launcher(thread: thread).launch(command, into: launched)
        let engine = try make(session, thread: thread, pid: pid, isChild: true)
        await engine.take(launched)
        try await engine.open()
        if let loss = LostPrivileges.text(of: pid) { engine.queue.warn(loss) }
        return engine
    }

    /// Opens a running process.
    package static func attach(_ processID: Int32, in session: EngineSession) async throws(EngineError) -> ProcessEngine {
        try checkSupported()
        _ = Clock.start
        do throws(ProcessError) {
            try StoppedProcess.checkTraceable(processID)
        } catch {
            throw EngineError.opening(processID, error)
        }
        let engine = try make(session, thread: makeThread(), pid: processID, isChild: false)
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
        _ session: EngineSession, thread: TracerThread, pid: Int32, isChild: Bool
    ) throws(EngineError) -> ProcessEngine {
        do throws(ProcessError) {
            return ProcessEngine(session, thread: thread, processID: pid, isChild: isChild, memory: try ProcessMemory(pid: pid))
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
        try reader.start()
        tick = reader.addTick {
            shared?.refreshClock()
            if let shared, filters.hasNews(shared.state.pointee.filters) {
                queue.warn(FilterNotice.text)
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
                because:
                    "it is a Go program; Go moves its stacks, and the frame of a trampoline on one would crash it; use Go's own tools, such as delve")
        }
    }

    /// Has a ring of this process read.
    func read(_ ring: TargetRing) {
        sources.append(ring)
        reader.add(ring)
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
        let isFirst = teardown.isRunning
        if case .failure(let failure) = await beginEnd().value, isFirst {
            queue.warn("a child of the process keeps fsession's code: \(failure)")
        }
        queue.append([.exited(processID: processID, exit)])
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
