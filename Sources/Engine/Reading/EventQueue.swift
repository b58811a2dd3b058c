import Synchronization

/// What the engine reports while a session runs.
package enum EngineEvent: Sendable {
    /// A call that a trace program recorded.
    case call(TracedCall)
    /// A line of `bpf_trace_printk` or `bpf_trace_vprintk`.
    case print(time: UInt64, processID: Int32, threadID: Int32, text: String)
    /// Records of a ring buffer or perf event array of an object.
    case records(RecordBatch)
    /// A library that a process loaded later, and what became of its functions.
    case library(processID: Int32, path: String, LinkReport)
    /// A process executes another program, which is not traced. `byLibrary`: it is about to, by a call of the C
    /// library, in the traced process or a child of it; else the traced process has done so.
    case executed(processID: Int32, path: String, byLibrary: Bool)
    /// A process is gone.
    case exited(processID: Int32, EngineExit)
    /// Something went wrong in a process, or in the kernel (0), that did not end the session.
    case warning(processID: Int32, String)
}

/// How a process ended.
package enum EngineExit: Sendable, Hashable {
    case status(Int32)
    case signal(Int32)
    /// It was not our child: nobody told us.
    case unknown
}

/// Events on their way from the reader thread to whoever iterates, in batches: a consumer that keeps up
/// is suspended once a batch, not once an event.
package final class EventQueue: Sendable {
    private struct State {
        var batch: [EngineEvent] = []
        var backlog = 0
        var writers = 0
        var waiter: CheckedContinuation<Void, Never>?
        var hasConsumer = false
    }

    private let state = Mutex(State())
    private let whenFinished: @Sendable () -> Void

    /// - Parameter whenFinished: called when the last writer has gone.
    package init(whenFinished: @escaping @Sendable () -> Void = {}) { self.whenFinished = whenFinished }

    /// `records`: how many records of rings these events are.
    package func append(_ events: [EngineEvent], records: Int = 0) {
        guard !events.isEmpty else { return }
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.backlog += records
            if state.batch.isEmpty { state.batch = events } else { state.batch += events }
            return state.waiter.take()
        }
        waiter?.resume()
    }

    /// Records that nobody has taken yet: the reader stops reading when there are too many, and the ring drops.
    package var backlog: Int { state.withLock { $0.backlog } }

    /// The queue ends when as many have left as have joined.
    fileprivate func join() { state.withLock { $0.writers += 1 } }

    fileprivate func leave() {
        let (isLast, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            state.writers -= 1
            return state.writers == 0 ? (true, state.waiter.take()) : (false, nil)
        }
        waiter?.resume()
        if isLast { whenFinished() }
    }

    /// Says who takes the events. True the first time; a second consumer would take them from the first one.
    package func takeConsumer() -> Bool {
        state.withLock { state in
            defer { state.hasConsumer = true }
            return !state.hasConsumer
        }
    }

    /// The events since the last call, at least one; nil at the end. For one consumer, which waits here once at a time.
    package func next() async -> [EngineEvent]? {
        while true {
            let (events, finished) = state.withLock { state in
                let batch = state.batch
                state.batch = []
                state.backlog = 0
                return (batch, state.writers == 0)
            }
            if !events.isEmpty { return events }
            if finished || Task.isCancelled { return nil }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let now = state.withLock { state -> Bool in
                        precondition(state.waiter == nil, "two tasks wait for the events of one session")
                        if !state.batch.isEmpty || state.writers == 0 || Task.isCancelled { return true }
                        state.waiter = continuation
                        return false
                    }
                    if now { continuation.resume() }
                }
            } onCancel: {
                state.withLock { $0.waiter.take() }?.resume()
            }
        }
    }
}

/// An engine's way into the queue of its session, which others of the session have, too.
package final class EventWriter: Sendable {
    /// The traced process; 0: the kernel.
    package let processID: Int32
    private let queue: EventQueue
    private let isOpen = Atomic<Bool>(true)

    package init(_ queue: EventQueue, processID: Int32) {
        self.queue = queue
        self.processID = processID
        queue.join()
    }

    deinit { finish() }

    package func append(_ events: [EngineEvent]) { queue.append(events) }

    /// Something went wrong that does not end the session.
    package func warn(_ text: String) { append([.warning(processID: processID, text)]) }

    /// No event of this engine will follow. Doing it twice is harmless.
    package func finish() {
        if isOpen.exchange(false, ordering: .relaxed) { queue.leave() }
    }
}
