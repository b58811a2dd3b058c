import BPF
import CLinux
import Engine
import Glibc
import LinuxBPF

/// The reader's side of a perf event array: a ring for each CPU, of `bpf_perf_event_output`.
final class PerfReader: KernelSource, @unchecked Sendable {
    /// `struct perf_event_mmap_page`, and behind it the data.
    private struct Ring {
        let event: BPFDescriptor
        let page: UnsafeMutableRawPointer
        let size: Int
        let pageSize: Int

        /// `data_head` and `data_tail`
        var head: UnsafeMutableRawPointer { page + PerfEventPage.dataHead }
        var tail: UnsafeMutableRawPointer { page + PerfEventPage.dataTail }
        var data: UnsafeMutableRawPointer { page + pageSize }
    }

    private static let pages = 64
    /// Behind the header of a sample the length of its data, which follow; behind that of a loss an id, then how many.
    private static let (length, data, lost) = (PerfEventHeader.byteCount, PerfEventHeader.byteCount + 4, PerfEventHeader.byteCount + 8)

    private let map: KernelMap
    private let content: RecordContent
    private var rings: [Ring] = []

    var name: String { map.name }

    var descriptors: [Int32] { rings.map(\.event.number) }

    init(_ map: KernelMap, _ content: RecordContent) throws(EngineError) {
        self.map = map
        self.content = content
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        // Its samples are what programs send.
        var event = PerfEvent(.bpfOutput)
        event.takeRecords()
        for cpu in 0..<ProcessorCount.possible {
            let descriptor: BPFDescriptor
            switch event.open(cpu: Int32(cpu)) {
            case .success(let opened): descriptor = opened
            // Not there at the moment.
            case .failure(let error) where error.number == ENODEV: continue
            case .failure(let error): throw .map(name: map.name, because: "its records cannot be read: \(KernelAdvice.text(error))")
            }
            let bytes = (Self.pages + 1) * page
            guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number, 0), memory != MAP_FAILED else {
                throw .map(name: map.name, because: "its records cannot be mapped: \(Errno(errno))")
            }
            rings.append(Ring(event: descriptor, page: memory, size: Self.pages * page, pageSize: page))
            let error = map.write(
                ObjectMaps.bytes(UInt32(cpu)), [ObjectMaps.bytes(UInt32(bitPattern: descriptor.number))], flags: 0)
            guard error == 0, PerfEvent.enable(descriptor) == 0 else {
                throw .map(name: map.name, because: "it has no room for CPU \(cpu): leave max_entries out (\(Errno(-error)))")
            }
        }
    }

    deinit {
        for ring in rings { munmap(ring.page, ring.size + ring.pageSize) }
    }

    func read(_ limit: Int) -> EventBatch {
        var batch = EventBatch(content)
        for ring in rings { read(ring, limit, &batch) }
        return batch
    }

    private func read(_ ring: Ring, _ limit: Int, _ batch: inout EventBatch) {
        let head = clinux_load_acquire(ring.head)
        var tail = clinux_load_acquire(ring.tail)
        while batch.count < limit, tail + UInt64(Self.length) <= head {
            let start = Int(tail % UInt64(ring.size))
            let type = ring.data.loadUnaligned(fromByteOffset: start + PerfEventHeader.type, as: UInt32.self)
            let size = Int(ring.data.loadUnaligned(fromByteOffset: start + PerfEventHeader.size, as: UInt16.self))
            guard size >= Self.length, UInt64(size) <= head - tail, size <= ring.size else { break }
            let first = UnsafeRawBufferPointer(start: ring.data + start, count: min(size, ring.size - start))
            if first.count == size {
                take(first, type, &batch)
            } else {
                let joined = Array(first) + UnsafeRawBufferPointer(start: ring.data, count: size - first.count)
                joined.withUnsafeBytes { take($0, type, &batch) }
            }
            tail += UInt64(size)
            clinux_store_release(ring.tail, tail)
        }
    }

    private func take(_ record: UnsafeRawBufferPointer, _ type: UInt32, _ batch: inout EventBatch) {
        if type == PerfRecordType.lost.rawValue, record.count >= Self.lost + 8 {
            batch.lost &+= record.loadUnaligned(fromByteOffset: Self.lost, as: UInt64.self)
        } else if type == PerfRecordType.sample.rawValue, record.count >= Self.data {
            // The kernel rounds the length so that the record's is a multiple of 8.
            let length = Int(record.loadUnaligned(fromByteOffset: Self.length, as: UInt32.self))
            guard Self.data + length <= record.count else { return }
            batch.append(UnsafeRawBufferPointer(rebasing: record[Self.data..<Self.data + length]))
        }
    }
}
