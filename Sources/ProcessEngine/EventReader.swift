import CLinux
import Glibc
import Synchronization
import TargetRuntime

/// Reads the ring buffers of a session on a thread of its own and puts what it finds into the queue.
package final class EventReader: Sendable {
    /// What the records of a ring mean.
    enum Content: Sendable {
        case calls
        case prints
        case executions
        case records(map: String)
    }

    struct Source: Sendable {
        var map: LoadedMap
        var content: Content
    }

    private struct State {
        var sources: [Source] = []
        var stopping = false
        var stopped = false
        /// A detach and the process's end may both wait for the thread.
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// Events that may wait for the consumer before the rings are left to fill (and to count drops).
    private static let backlogLimit = 1 << 20
    private static let batchLimit = 1 << 14
    /// Microseconds, in which the fastest writers fill a tenth of a ring, and the records that are worth no nap.
    private static let nap: UInt32 = 200
    private static let napLimit = 1 << 13

    let queue: EventQueue
    private let state = Mutex(State())
    private let lost = Atomic<UInt64>(0)

    init(queue: EventQueue) {
        self.queue = queue
    }

    /// Records of writers that died half-way, and records that made no sense.
    var abandoned: UInt64 { lost.load(ordering: .relaxed) }

    /// The rings that are read.
    var rings: [Source] { state.withLock { $0.sources } }

    func add(_ source: Source) {
        state.withLock { $0.sources.append(source) }
    }

    /// Starts the thread. `everyTenth` runs on it, about every tenth of a second.
    func start(everyTenth: @escaping @Sendable () -> Void) throws(EngineError) {
        try BlockingThread.start("fsession-reader") { self.run(everyTenth) }
    }

    /// Reads what is still there, then ends the thread. Who detaches and the target's end may both ask for it.
    func stop() async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state -> Bool in
                state.stopping = true
                if state.stopped { return true }
                state.waiters.append(continuation)
                return false
            }
            if now { continuation.resume() }
        }
    }

    private struct Ring {
        var source: Source
        var reader: fs_ring_reader
    }

    private func run(_ everyTenth: () -> Void) {
        var rings: [Ring] = []
        var lastTick: UInt64 = 0
        while true {
            let (sources, stopping) = state.withLock { ($0.sources, $0.stopping) }
            for source in sources[rings.count...] {
                var ring = Ring(source: source, reader: fs_ring_reader())
                fs_ring_reader_init(&ring.reader, source.map.head, source.map.ringBytes)
                rings.append(ring)
            }
            var found = 0
            let isBehind = queue.backlog >= EventReader.backlogLimit
            if stopping || !isBehind {
                for index in rings.indices { found += drain(&rings[index]) }
                lost.store(rings.reduce(0) { $0 + $1.reader.abandoned + $1.reader.corrupt }, ordering: .relaxed)
            }
            if found == 0, stopping { break }
            let now = Clock.monotonic()
            if now &- lastTick > 100_000_000 {
                lastTick = now
                everyTenth()
            }
            if isBehind {
                usleep(1000)
            } else if found == 0 {
                wait(&rings)
            } else if found < EventReader.napLimit {
                // More will come. Who sleeps on a ring has its writers wake him, and who looks at it all the time
                // takes its cache lines from them: both cost them more than the records do.
                usleep(EventReader.nap)
            }
        }
        let waiters = state.withLock { state in
            state.stopped = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Sleeps on the one ring there is; several are looked at every two milliseconds.
    private func wait(_ rings: inout [Ring]) {
        if rings.isEmpty {
            usleep(2000)
        } else {
            fs_ring_wait(&rings[rings.count - 1].reader, rings.count == 1 ? 20_000_000 : 2_000_000)
        }
    }

    private func drain(_ ring: inout Ring) -> Int {
        var events: [EngineEvent] = []
        var records = RecordBatch()
        var count = 0
        while count < EventReader.batchLimit {
            var length: UInt32 = 0
            guard let record = fs_ring_next(&ring.reader, &length) else { break }
            let bytes = UnsafeRawBufferPointer(start: record, count: Int(length))
            count += 1
            switch ring.source.content {
            case .calls:
                if let call = TracedCall.decode(bytes) { events.append(.call(call)) }
            case .prints:
                events.append(PrintRecord.decode(bytes, endsLine: false) ?? .warning("a print record has no text"))
            case .executions:
                if let event = ExecNotice.decode(bytes) { events.append(event) }
            case .records(let map):
                records.append(bytes, of: map)
            }
        }
        fs_ring_consume(&ring.reader)
        if records.count > 0 { events.append(.records(records)) }
        queue.append(events, records: count)
        return count
    }
}

extension LoadedMap {
    /// Bytes of a ring buffer's data.
    var ringBytes: UInt64 {
        var specification = definition.specification
        return UInt64(fs_map_ring_size(&specification))
    }
}
