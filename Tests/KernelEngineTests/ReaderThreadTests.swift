import Engine
import Glibc
import Synchronization
import Testing

@Suite("The thread that reads")
struct ReaderThreadTests {
    /// Gives its records one by one.
    private final class Source: EventSource {
        let name: String
        private let left: Mutex<[[UInt8]]>
        private let content: RecordContent

        init(_ name: String, _ content: RecordContent, _ records: [[UInt8]]) {
            self.name = name
            self.content = content
            left = Mutex(records)
        }

        func read(_ limit: Int) -> EventBatch {
            var batch = EventBatch(content)
            left.withLock { left in
                guard !left.isEmpty else { return }
                left.removeFirst().withUnsafeBytes { batch.append($0) }
            }
            return batch
        }
    }

    private func thread() -> ReaderThread {
        ReaderThread(queue: EventQueue(), ReaderThread.Pace(thread: "test-reader") { _ in usleep(1000) })
    }

    @Test("what is there when it is stopped is read to the end, and all who wait go on")
    func stops() async throws {
        let reader = thread()
        reader.add(Source("ring", .records(map: "ring", processID: 77), (0..<100).map { [UInt8($0)] }))
        try reader.start()
        async let other: Void = reader.stop()
        await reader.stop()
        await other
        await reader.stop()
        var bytes: [UInt8] = []
        while let events = await reader.queue.next() {
            for case .records(let batch) in events {
                #expect(batch.map == "ring" && batch.processID == 77)
                bytes += batch.bytes
            }
        }
        #expect(bytes == Array(0..<100))
        #expect(reader.lost.isEmpty)
    }

    @Test("a source can be read to its end and go, while the others stay and the thread goes on")
    func forgets() async throws {
        let reader = thread()
        let going = Source("going", .records(map: "going", processID: 1), (0..<50).map { [UInt8($0)] } + [[]])
        let staying = Source("staying", .prints(endsLine: false), [[]])
        reader.add(going)
        reader.add(staying)
        try reader.start()
        await reader.read([going], thenForget: true)
        await reader.read([staying], thenForget: false)
        #expect(reader.lost(of: staying) == 1)
        await reader.stop()
        var bytes: [UInt8] = []
        while let events = await reader.queue.next() {
            for case .records(let batch) in events { bytes += batch.bytes }
        }
        #expect(bytes == Array(0..<50))
    }

    @Test("the queue of several writers ends with the last of them, who may say twice that he has ended")
    func writers() async {
        let queue = EventQueue()
        let first = EventWriter(queue, processID: 1), second = EventWriter(queue, processID: 2)
        first.warn("one")
        first.finish()
        first.finish()
        guard case .warning(1, "one")? = await queue.next()?.first else { return #expect(Bool(false)) }
        second.warn("two")
        second.finish()
        guard case .warning(2, "two")? = await queue.next()?.first else { return #expect(Bool(false)) }
        #expect(await queue.next() == nil)
    }

    @Test("a thread that never was started is stopped at once")
    func unstarted() async { await thread().stop() }

    @Test("records that make no sense are counted by their ring, and no others are lost for them")
    func senseless() async throws {
        let reader = thread()
        var call = [UInt8](repeating: 0, count: RecordLayout.size(arguments: 1))
        call[RecordLayout.function.rawValue] = 5
        call[RecordLayout.argument(0)] = 9
        reader.add(Source("calls", .calls, [[1, 2, 3], call]))
        reader.add(Source("prints", .prints(endsLine: false), [[], [UInt8](repeating: 0, count: 40)]))
        try reader.start()
        await reader.stop()
        #expect(reader.lost == ["calls": 1, "prints": 2])
        let events = await reader.queue.next() ?? []
        guard case .call(let seen)? = events.first, events.count == 1 else { return #expect(Bool(false), "\(events)") }
        #expect(seen.function == 5 && seen.arguments[0] == 9 && seen.arguments[1] == 0 && !seen.hasReturned)
    }
}
