import Engine
import Glibc
import Synchronization
import TargetRuntime

/// Waits for the target to load libraries, on a thread of its own.
///
/// The dynamic linker calls `_dl_debug_state` whenever its list of libraries changes; a routine of the runtime is linked there,
/// which says so in shared memory and waits until we have acknowledged it. Until then this thread lets a beat move there,
/// many times a second: a controller that was killed or stopped is not waited for.
final class LibraryWatch: Sendable {
    /// The longest that a load waits for us.
    static let limit: Duration = .seconds(30)
    /// Between two beats; the target takes half a second without one for our end.
    private static let beat: UInt64 = 10_000_000
    private static let rest: UInt64 = 100_000_000

    fileprivate struct State {
        var stopping = false
        /// The last event, the last that was taken up and the last that was acknowledged. What stands in shared memory may be
        /// anything.
        var generation: UInt32 = 0
        var acknowledged: UInt32 = 0
        /// Whether somebody has been told of an event and has not taken it up yet.
        var isTold = false
        /// When the first event that is not acknowledged came.
        var since: UInt64?
        var hasty: UInt32 = 0
    }

    private let region: SharedRegion
    private let state = Mutex(State())

    /// - Parameter state: the address of the session's state in the target.
    init(region: SharedRegion, state: UInt64) {
        self.region = region
        watch.pointee.state = state
        let (seconds, attoseconds) = LibraryWatch.limit.components
        watch.pointee.limit_ns = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    static var size: Int { MemoryLayout<fs_library_watch>.size }

    private var watch: UnsafeMutablePointer<fs_library_watch> {
        region.pointer(at: 0, count: LibraryWatch.size).assumingMemoryBound(to: fs_library_watch.self)
    }

    /// Calls `changed` after events, once until `take` has been called.
    func start(_ changed: @escaping @Sendable () -> Void) throws(EngineError) {
        try BlockingThread.start("fsession-dlopen") {
            var seen: UInt32 = 0
            while true {
                let (isOver, isBehind) = self.state.withLock { ($0.stopping, $0.acknowledged != $0.generation) }
                if isOver { return }
                if isBehind { fs_library_beat(self.watch) }
                let now = fs_library_wait(self.watch, seen, isBehind ? LibraryWatch.beat : LibraryWatch.rest)
                if now == seen { continue }
                seen = now
                if self.state.withLock({ $0.note(now) }) { changed() }
            }
        }
    }

    /// The event to act on; nil when there is nothing to act on any more.
    func take() -> UInt32? {
        state.withLock { state in
            state.isTold = false
            return state.stopping ? nil : state.generation
        }
    }

    /// What became of a load that was acted on.
    struct Outcome {
        /// How long the target has waited at most.
        var waited: Duration = .zero
        /// Whether it has gone on without waiting to the end.
        var wasHasty = false
    }

    /// Lets the target go on.
    func acknowledge(_ generation: UInt32) -> Outcome {
        state.withLock { state in
            var outcome = Outcome()
            if state.stopping { return outcome }
            fs_library_acknowledge(watch, generation)
            state.acknowledged = generation
            if let since = state.since { outcome.waited = .nanoseconds(Int64(clamping: Clock.monotonic() &- since)) }
            if generation == state.generation { state.since = nil }
            let hasty = watch.pointee.hasty
            outcome.wasHasty = hasty != state.hasty
            state.hasty = hasty
            return outcome
        }
    }

    /// The target must not wait for us any more.
    func stop() {
        state.withLock { state in
            state.stopping = true
            fs_library_leave(watch)
        }
    }
}

extension LibraryWatch.State {
    /// Notes an event; true where somebody is to be told of it.
    mutating func note(_ generation: UInt32) -> Bool {
        self.generation = generation
        if since == nil { since = Clock.monotonic() }
        defer { isTold = true }
        return !isTold
    }
}
