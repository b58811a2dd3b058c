import Glibc
import TargetRuntime

/// A ring buffer in memory that the target can write.
///
/// Only the reading thread uses it once it was added: therefore it is Sendable.
final class TargetRing: EventSource, @unchecked Sendable {
    let map: LoadedMap
    private let content: RecordContent
    private var reader = fs_ring_reader()

    var name: String { map.name }

    init(_ map: LoadedMap, _ content: RecordContent) {
        self.map = map
        self.content = content
        var specification = map.definition.specification
        fs_ring_reader_init(&reader, map.head, UInt64(fs_map_ring_size(&specification)))
    }

    func read(_ limit: Int) -> EventBatch {
        // Copied, so that the loop has it to itself.
        var reader = reader
        defer { self.reader = reader }
        let lost = reader.abandoned + reader.corrupt
        var batch = EventBatch(content)
        while batch.count < limit {
            var length: UInt32 = 0
            guard let record = fs_ring_next(&reader, &length) else { break }
            batch.append(UnsafeRawBufferPointer(start: record, count: Int(length)))
        }
        fs_ring_consume(&reader)
        batch.lost += reader.abandoned + reader.corrupt - lost
        return batch
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
