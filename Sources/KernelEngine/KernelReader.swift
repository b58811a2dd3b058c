import CLinux
import Engine
import Glibc
import Synchronization

/// Where the kernel's events come from.
protocol KernelSource: EventSource {
    /// What can be waited for.
    var descriptors: [Int32] { get }
}

/// Reads ring buffers and `trace_pipe`, from the first one on.
final class KernelReader: Sendable {
    private let thread: ReaderThread
    private let readsTracePipe = Mutex(false)

    init(_ queue: EventQueue) {
        // Others may go on printing: what is left is read, but not for ever.
        thread = ReaderThread(
            queue: queue,
            ReaderThread.Pace(thread: "fsession-kernel", lastRounds: 1000) { sources in
                var entries = sources.flatMap { ($0 as? any KernelSource)?.descriptors ?? [] }
                    .map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
                _ = poll(&entries, nfds_t(entries.count), 50)
            })
    }

    func add(_ source: any KernelSource) throws(EngineError) {
        thread.add(source)
        try thread.start()
    }

    /// Reads an object's ring buffer or perf event array; what cannot be read is reported now.
    func add(recordsOf map: KernelMap) throws(EngineError) {
        let content = RecordContent.records(map: map.name, processID: 0)
        try add(map.definition.type == .perfEventArray ? try PerfReader(map, content) : try RingReader(map, content))
    }

    /// Reads `trace_pipe`, too, once.
    func addTracePipe() throws(EngineError) {
        let isFirst = readsTracePipe.withLock { isRead -> Bool in
            defer { isRead = true }
            return !isRead
        }
        guard isFirst else { return }
        try add(try TracePipe())
        thread.queue.append([
            .warning(
                processID: 0,
                "what a program prints comes out of trace_pipe, with the lines of all other programs: its format is not constant, or "
                    + "the kernel does not let it print elsewhere")
        ])
    }

    /// Records that found no room in a perf event array, where the kernel counts them, and lines that it could not write; by map.
    var lost: [String: UInt64] { thread.lost }

    /// Reads what is still there, then ends the thread. Somebody may hold the session for long: its rings go now.
    func stop() async {
        await thread.stop()
        thread.dropSources()
    }
}
