import CLinux
import Glibc
import Synchronization

/// A thread of its own that runs the jobs of an actor: ptrace binds a traced process to the thread that
/// attached to it, and Swift's own executors change threads at every `await`.
///
///     actor Engine {
///         let thread: TracerThread
///         nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
///     }
package final class TracerThread: SerialExecutor {
    private let jobs: Jobs
    private let handle: UInt

    package init() throws(ProcessError) {
        let raw = clinux_eventfd()
        guard raw >= 0 else { throw .cannotLaunch(operation: "eventfd", error: -raw) }
        let jobs = Jobs(wake: FileDescriptor(owning: raw))
        self.jobs = jobs
        var handle: UInt = 0
        let context = Unmanaged.passRetained(jobs)
        let error = clinux_thread_start(
            { context in
                guard let context else { return }
                Unmanaged<Jobs>.fromOpaque(context).takeRetainedValue().run()
            }, context.toOpaque(), &handle)
        guard error == 0 else {
            context.release()
            throw .cannotLaunch(operation: "pthread_create", error: -error)
        }
        self.handle = handle
    }

    deinit {
        jobs.stop()
        // The last reference may go away inside a job.
        if clinux_thread_is_current(handle) != 0 { clinux_thread_detach(handle) } else { clinux_thread_join(handle) }
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        jobs.add(UnownedJob(job), for: asUnownedSerialExecutor())
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() {
        precondition(clinux_thread_is_current(handle) != 0, "not on the tracer's thread")
    }
}

/// The queue between the owner of the thread and the thread, which must not keep its owner alive.
private final class Jobs: Sendable {
    private struct State {
        var jobs: [(job: UnownedJob, executor: UnownedSerialExecutor)] = []
        var isStopping = false
    }

    private let state = Mutex(State())
    private let wake: FileDescriptor

    init(wake: consuming FileDescriptor) { self.wake = wake }

    func add(_ job: UnownedJob, for executor: UnownedSerialExecutor) {
        state.withLock { $0.jobs.append((job, executor)) }
        signal()
    }

    func stop() {
        state.withLock { $0.isStopping = true }
        signal()
    }

    private func signal() { clinux_eventfd_signal(wake.rawValue) }

    func run() {
        while true {
            let (batch, isStopping) = state.withLock { state in
                defer { state.jobs = [] }
                return (state.jobs, state.isStopping)
            }
            for entry in batch { entry.job.runSynchronously(on: entry.executor) }
            if !batch.isEmpty { continue }
            if isStopping { return }
            // Threads that did not stop in time are let go as soon as they do.
            let isWaiting = LateThreads.release()
            var entry = pollfd(fd: wake.rawValue, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, isWaiting ? 20 : -1)
            clinux_eventfd_clear(wake.rawValue)
        }
    }
}

/// Threads that were seized but did not stop in time (in an uninterruptible system call). They cannot be
/// let go before they stop, and would then stay stopped if nobody looked.
enum LateThreads {
    private static let late = Mutex<[pid_t: [pid_t: Tracee]]>([:])

    static func add(_ thread: Tracee) {
        let tracer = clinux_thread_id()
        late.withLock { $0[tracer, default: [:]][thread.id] = thread }
    }

    /// Lets go what has stopped by now; true while some of that process are left.
    static func release(of process: pid_t) -> Bool {
        guard release() else { return false }
        let tracer = clinux_thread_id()
        return late.withLock { $0[tracer]?.values.contains { $0.process == process } ?? false }
    }

    /// Lets go those of the calling thread that have stopped by now; true while some are left.
    @discardableResult
    static func release() -> Bool {
        let tracer = clinux_thread_id()
        guard let threads = late.withLock({ $0[tracer] }) else { return false }
        var left = threads
        for (id, thread) in threads {
            var status: Int32 = 0
            switch clinux_wait_stop(id, &status) {
            case 0: continue
            case 1:
                // A signal goes on to the thread; a stop for a ptrace event has none.
                let signal = status >> 8 == 0 ? status & 0x7f : 0
                if clinux_ptrace_detach(id, signal) >= 0 { left[id] = nil }
            default:
                thread.reap()
                left[id] = nil
            }
        }
        late.withLock { $0[tracer] = left.isEmpty ? nil : left }
        return !left.isEmpty
    }
}
