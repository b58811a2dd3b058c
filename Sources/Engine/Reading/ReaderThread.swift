import CLinux
import Glibc
import Synchronization

/// Reads the rings of a session on a thread of its own and puts what it finds into the queue.
package final class ReaderThread: Sendable {
    /// What sets the engines' threads apart.
    package struct Pace: Sendable {
        let thread: String
        let lastRounds: Int
        let nap: UInt32
        let wait: @Sendable ([any EventSource]) -> Void

        /// - Parameters:
        ///   - thread: its name, of at most 15 bytes.
        ///   - lastRounds: how often it reads on at the end, where others may go on writing.
        ///   - nap: microseconds that it sleeps after a small batch; 0: it reads on at once.
        ///   - wait: sleeps until one of the sources may have something, but not for long.
        package init(
            thread: String, lastRounds: Int = .max, nap: UInt32 = 0, wait: @escaping @Sendable ([any EventSource]) -> Void
        ) {
            self.thread = thread
            self.lastRounds = lastRounds
            self.nap = nap
            self.wait = wait
        }
    }

    private struct State {
        var sources: [any EventSource] = []
        var isStarted = false
        var isStopping = false
        var isStopped = false
        /// A detach and the process's end may both wait for the thread.
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// Events that may wait for the consumer before the rings are left to fill (and to count drops).
    private static let backlogLimit = 1 << 20
    private static let batchLimit = 1 << 14
    /// So many records are worth no nap.
    private static let napLimit = 1 << 13

    package let queue: EventQueue
    private let pace: Pace
    private let state = Mutex(State())
    private let lostRecords = Mutex<[String: UInt64]>([:])

    package init(queue: EventQueue, _ pace: Pace) {
        self.queue = queue
        self.pace = pace
    }

    /// Records that came to nothing, by source.
    package var lost: [String: UInt64] { lostRecords.withLock { $0 } }

    package var sources: [any EventSource] { state.withLock { $0.sources } }

    package func add(_ source: any EventSource) {
        state.withLock { $0.sources.append(source) }
    }

    /// Lets go of the sources, and of what they hold, once the thread has ended.
    package func dropSources() { state.withLock { $0.sources = [] } }

    /// Starts the thread, once. `everyTenth` runs on it, about every tenth of a second.
    package func start(everyTenth: (@Sendable () -> Void)? = nil) throws(EngineError) {
        let isFirst = state.withLock { state -> Bool in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        guard isFirst else { return }
        do throws(EngineError) {
            try BlockingThread.start(pace.thread) { self.run(everyTenth) }
        } catch {
            state.withLock { $0.isStopped = true }
            throw error
        }
    }

    /// Reads what is still there, then ends the thread.
    package func stop() async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Bool in
                state.isStopping = true
                if state.isStopped || !state.isStarted { return true }
                state.waiters.append(continuation)
                return false
            }
            if now { continuation.resume() }
        }
    }

    private func run(_ everyTenth: (() -> Void)?) {
        var lastTick: UInt64 = 0
        var roundsLeft = pace.lastRounds
        while true {
            let (sources, isStopping) = state.withLock { ($0.sources, $0.isStopping) }
            var found = 0
            let isBehind = queue.backlog >= Self.backlogLimit
            if isStopping || !isBehind {
                for source in sources { found += read(source) }
            }
            if isStopping {
                roundsLeft -= 1
                if found == 0 || roundsLeft <= 0 { break }
            }
            if let everyTenth {
                let now = clinux_monotonic()
                if now &- lastTick > 100_000_000 {
                    lastTick = now
                    everyTenth()
                }
            }
            if isBehind {
                usleep(1000)
            } else if found == 0 {
                pace.wait(sources)
            } else if found < Self.napLimit, pace.nap > 0 {
                // More will come. To block on a ring makes every writer wake this thread, and to poll it takes its
                // cache lines from them: both cost them more than the records do.
                usleep(pace.nap)
            }
        }
        let waiters = state.withLock { state in
            state.isStopped = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func read(_ source: any EventSource) -> Int {
        let batch = source.read(Self.batchLimit)
        if batch.lost > 0 { lostRecords.withLock { $0[source.name, default: 0] &+= batch.lost } }
        queue.append(batch.events, records: batch.count)
        return batch.count
    }
}
