import Glibc
import LinuxProcess
import Synchronization
import TargetRuntime

/// A ring buffer in memory that the target can write.
///
/// Only the reading thread uses it once it was added: therefore it is Sendable.
final class TargetRing: EventSource, @unchecked Sendable {
    let map: LoadedMap
    private let content: RecordContent
    private var reader = fs_ring_reader()
    private let isShared = Atomic<Bool>(false)
    /// The processes of the threads whose records were read, where several processes write.
    private var processes: [UInt32: Int32] = [:]

    var name: String { map.name }
    var dropped: UInt64 { map.dropped }

    init(_ map: LoadedMap, _ content: RecordContent) {
        self.map = map
        self.content = content
        var specification = map.definition.specification
        fs_ring_reader_init(&reader, map.head, UInt64(fs_map_ring_size(&specification)))
    }

    /// From now on other processes write, too: records say which thread has written them, which tells whose they are.
    func share() { isShared.store(true, ordering: .relaxed) }

    func read(_ limit: Int) -> EventBatch {
        let isShared = isShared.load(ordering: .relaxed)
        // Copied, so that the loop has it to itself.
        var reader = reader
        defer { self.reader = reader }
        let lost = reader.abandoned + reader.corrupt
        var batch = EventBatch(content)
        while batch.count < limit {
            var length: UInt32 = 0
            guard let record = fs_ring_next(&reader, &length) else { break }
            batch.append(UnsafeRawBufferPointer(start: record, count: Int(length)), of: isShared ? process(of: record) : nil)
        }
        fs_ring_consume(&reader)
        batch.lost += reader.abandoned + reader.corrupt - lost
        return batch
    }

    /// The process of the thread that has written a record; 0: the thread was gone before anything was read of it.
    private func process(of record: UnsafeRawPointer) -> Int32 {
        let thread = (record - 4).loadUnaligned(as: UInt32.self) & UInt32(FS_RING_OWNER_MASK)
        if let known = processes[thread] { return known }
        guard let status = try? ProcessStatus(Int32(bitPattern: thread)) else { return 0 }
        // Threads come and go, and their numbers come again.
        if processes.count >= 4096 { processes.removeAll() }
        processes[thread] = status.threadGroup
        return status.threadGroup
    }

    /// Sleeps on the one ring there is; several are looked at every two milliseconds.
    private func wait(isAlone: Bool) {
        var reader = reader
        defer { self.reader = reader }
        fs_ring_wait(&reader, isAlone ? 20_000_000 : 2_000_000)
    }

    /// In 200 µs the fastest writers fill a tenth of a ring.
    static let pace = ReaderThread.Pace(thread: "fsession-reader", nap: 200) { sources in
        if let last = sources.last as? TargetRing { last.wait(isAlone: sources.count == 1) } else { usleep(2000) }
    }
}
