import BPF
import CLinux
import Engine
import Glibc
import Synchronization

/// Reads ring buffers and `trace_pipe` on a thread of its own and puts what it finds into the queue.
final class KernelReader: Sendable {
    enum Source: Sendable {
        /// Records of the trace program.
        case calls(KernelMap)
        /// Records of an object's ring buffer.
        case records(KernelMap)
        /// What programs print.
        case prints(KernelMap)
        /// What programs print that cannot print into a ring.
        case tracePipe
    }

    private struct State {
        var added: [Source] = []
        var isStarted = false
        var readsTracePipe = false
        var isStopping = false
        var isStopped = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// Events that may wait for the consumer before the rings are left to fill (and programs to count drops).
    private static let backlogLimit = 1 << 20
    private static let batchLimit = 1 << 14

    private let queue: EventQueue
    private let state = Mutex(State())

    init(queue: EventQueue) { self.queue = queue }

    /// Reads from this, too; what cannot be read is reported now.
    func add(_ source: Source) throws(EngineError) {
        let reading = try Reading(source)
        let isFirst = state.withLock { state -> Bool in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        pending.withLock { $0.append(reading) }
        guard isFirst else { return }
        do throws(EngineError) {
            try BlockingThread.start("fsession-kernel") { self.run() }
        } catch {
            state.withLock { $0.isStopped = true }
            throw error
        }
    }

    /// Reads `trace_pipe`, too, once.
    func addTracePipe() throws(EngineError) {
        let isFirst = state.withLock { state -> Bool in
            defer { state.readsTracePipe = true }
            return !state.readsTracePipe
        }
        guard isFirst else { return }
        try add(.tracePipe)
        queue.append([
            .warning(
                "what a program prints comes out of trace_pipe, with the lines of all other programs: its format is not constant, or "
                    + "the kernel does not let it print elsewhere")
        ])
    }

    private let pending = Mutex<[Reading]>([])
    private let lostRecords = Mutex<[String: UInt64]>([:])

    /// Records that found no room in a perf event array, where the kernel counts them, and lines that it could not write; by map.
    var lost: [String: UInt64] { lostRecords.withLock { $0 } }

    /// Reads what is still there, then ends the thread.
    func stop() async {
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

    /// An open source. Only the thread uses it once it was added.
    private final class Reading: Sendable {
        private enum RecordKind {
            case call, print, other
        }

        private enum Kind: ~Copyable {
            case ring(RingReader, RecordKind, name: String)
            case perf(PerfReader, name: String)
            case pipe(TracePipe)
        }

        private let kind: Mutex<Kind>
        let descriptors: [Int32]

        init(_ source: Source) throws(EngineError) {
            switch source {
            case .calls(let map):
                kind = Mutex(.ring(try RingReader(map), .call, name: map.name))
                descriptors = [map.descriptor.number]
            case .prints(let map):
                kind = Mutex(.ring(try RingReader(map), .print, name: map.name))
                descriptors = [map.descriptor.number]
            case .records(let map) where map.definition.type == .perfEventArray:
                let perf = try PerfReader(map)
                descriptors = perf.descriptors
                kind = Mutex(.perf(perf, name: map.name))
            case .records(let map):
                kind = Mutex(.ring(try RingReader(map), .other, name: map.name))
                descriptors = [map.descriptor.number]
            case .tracePipe:
                let pipe = try TracePipe()
                descriptors = [pipe.file.rawValue]
                kind = Mutex(.pipe(pipe))
            }
        }

        func events(lost: (String, UInt64) -> Void) -> [EngineEvent] {
            var events: [EngineEvent] = []
            var lostRecords: (name: String, count: UInt64) = ("", 0)
            kind.withLock { kind in
                switch consume kind {
                case .ring(let ring, let recordKind, let name):
                    var records = RecordBatch()
                    _ = ring.drain(KernelReader.batchLimit) { record in
                        switch recordKind {
                        case .call: if let call = TracedCall.decode(record) { events.append(.call(call)) }
                        case .print:
                            if let line = PrintRecord.decode(record, endsLine: true) { events.append(line) } else { lostRecords = (name, lostRecords.count &+ 1) }
                        case .other: records.append(record, of: name)
                        }
                    }
                    if records.count > 0 { events.append(.records(records)) }
                    kind = .ring(ring, recordKind, name: name)
                case .perf(let perf, let name):
                    var records = RecordBatch()
                    lostRecords.name = name
                    _ = perf.drain(KernelReader.batchLimit, lost: { lostRecords.count &+= $0 }) { records.append($0, of: name) }
                    if records.count > 0 { events.append(.records(records)) }
                    kind = .perf(perf, name: name)
                case .pipe(var pipe):
                    events = pipe.events()
                    kind = .pipe(pipe)
                }
            }
            if lostRecords.count > 0 { lost(lostRecords.name, lostRecords.count) }
            return events
        }
    }

    private func run() {
        var readings: [Reading] = []
        // Others may go on printing: what is left is read, but not for ever.
        var roundsLeft = 1000
        while true {
            pending.withLock {
                readings += $0
                $0 = []
            }
            let isStopping = state.withLock { $0.isStopping }
            var found = 0
            let isBehind = queue.backlog >= Self.backlogLimit
            if isStopping || !isBehind {
                for reading in readings {
                    let events = reading.events { name, count in lostRecords.withLock { $0[name, default: 0] &+= count } }
                    found += events.count
                    queue.append(events, records: events.count)
                }
            }
            if isStopping { roundsLeft -= 1 }
            if isStopping, found == 0 || roundsLeft == 0 { break }
            if isBehind {
                usleep(1000)
            } else if found == 0 {
                var entries = readings.flatMap(\.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
                _ = poll(&entries, nfds_t(entries.count), 50)
            }
        }
        let waiters = state.withLock { state in
            state.isStopped = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
