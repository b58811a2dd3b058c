import Synchronization

/// What the engine reports while a session runs.
package enum EngineEvent: Sendable {
    /// A call that a trace program recorded.
    case call(TracedCall)
    /// A line of `bpf_trace_printk` or `bpf_trace_vprintk`.
    case print(time: UInt64, processID: Int32, threadID: Int32, text: String)
    /// Records of a ring buffer or perf event array of an object.
    case records(RecordBatch)
    /// A library that came later, and what became of its functions.
    case library(path: String, LinkReport)
    /// A process executes another program, which is not traced. `byLibrary`: it is about to, by a call of the C
    /// library, in the traced process or a child of it; else the traced process has done so.
    case executed(processID: Int32, path: String, byLibrary: Bool)
    /// The process is gone.
    case exited(EngineExit)
    /// Something went wrong that did not end the session.
    case warning(String)
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
        var finished = false
        var waiter: CheckedContinuation<Void, Never>?
        var hasConsumer = false
    }

    private let state = Mutex(State())

    package init() {}

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

    /// No event will follow.
    package func finish() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.finished = true
            return state.waiter.take()
        }
        waiter?.resume()
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
                return (batch, state.finished)
            }
            if !events.isEmpty { return events }
            if finished || Task.isCancelled { return nil }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let now = state.withLock { state -> Bool in
                        precondition(state.waiter == nil, "two tasks wait for the events of one session")
                        if !state.batch.isEmpty || state.finished || Task.isCancelled { return true }
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
