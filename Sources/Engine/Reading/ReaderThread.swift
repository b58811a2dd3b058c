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

    /// Somebody who waits until sources are read, and whether they go then.
    private struct Request {
        let sources: [any EventSource]
        let goes: Bool
        let done: CheckedContinuation<Void, Never>
    }

    private struct State {
        var sources: [any EventSource] = []
        var requests: [Request] = []
        var ticks: [Int: @Sendable () -> Void] = [:]
        var lastTick = 0
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
    private let lostRecords = Mutex<[ObjectIdentifier: (name: String, count: UInt64)]>([:])

    package init(queue: EventQueue, _ pace: Pace) {
        self.queue = queue
        self.pace = pace
    }

    /// Records that came to nothing, by the sources' names.
    package var lost: [String: UInt64] {
        lostRecords.withLock { Dictionary($0.values.map { ($0.name, $0.count) }, uniquingKeysWith: &+) }
    }

    /// The same of one source.
    package func lost(of source: any EventSource) -> UInt64 { lostRecords.withLock { $0[ObjectIdentifier(source)]?.count ?? 0 } }

    package func add(_ source: any EventSource) {
        state.withLock { $0.sources.append(source) }
    }

    /// Reads what is in sources now, and lets go of them where nothing will follow.
    package func read(_ sources: [any EventSource], thenForget goes: Bool) async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Bool in
                if state.isStopped || !state.isStarted {
                    if goes { state.sources.removeAll { known in sources.contains { $0 === known } } }
                    return true
                }
                state.requests.append(Request(sources: sources, goes: goes, done: continuation))
                return false
            }
            if now { continuation.resume() }
        }
    }

    /// Lets go of the sources, and of what they hold, once the thread has ended.
    package func dropSources() { state.withLock { $0.sources = [] } }

    /// Runs `body` on the thread about every tenth of a second, until it is taken back by its number.
    package func addTick(_ body: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.lastTick += 1
            state.ticks[state.lastTick] = body
            return state.lastTick
        }
    }

    package func removeTick(_ number: Int) { state.withLock { $0.ticks[number] = nil } }

    /// Starts the thread, once.
    package func start() throws(EngineError) {
        let isFirst = state.withLock { state -> Bool in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        guard isFirst else { return }
        do throws(EngineError) {
            try BlockingThread.start(pace.thread) { self.run() }
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

    private func run() {
        var lastTick: UInt64 = 0
        var roundsLeft = pace.lastRounds
        while true {
            let (sources, requests, isStopping) = state.withLock { state in
                defer { state.requests = [] }
                return (state.sources, state.requests, state.isStopping)
            }
            for request in requests { answer(request) }
            var found = 0
            let isBehind = queue.backlog >= Self.backlogLimit
            if isStopping || !isBehind {
                for source in sources { found += read(source) }
            }
            if isStopping {
                roundsLeft -= 1
                if found == 0 || roundsLeft <= 0 { break }
            }
            let now = clinux_monotonic()
            if now &- lastTick > 100_000_000 {
                lastTick = now
                for tick in state.withLock({ Array($0.ticks.values) }) { tick() }
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
        let (waiters, requests) = state.withLock { state in
            state.isStopped = true
            defer { (state.waiters, state.requests) = ([], []) }
            return (state.waiters, state.requests)
        }
        for request in requests { answer(request) }
        for waiter in waiters { waiter.resume() }
    }

    /// Where others go on writing it is not read for ever.
    private static let requestRounds = 64

    private func answer(_ request: Request) {
        var rounds = request.goes ? pace.lastRounds : Self.requestRounds
        while rounds > 0, request.sources.reduce(0, { $0 + read($1) }) > 0 { rounds -= 1 }
        if request.goes {
            state.withLock { $0.sources.removeAll { known in request.sources.contains { $0 === known } } }
        }
        request.done.resume()
    }

    private func read(_ source: any EventSource) -> Int {
        let batch = source.read(Self.batchLimit)
        if batch.lost > 0 { lostRecords.withLock { $0[ObjectIdentifier(source), default: (source.name, 0)].count &+= batch.lost } }
        queue.append(batch.events, records: batch.count)
        return batch.count
    }
}
