import BPF
import CLinux
import Engine
import Glibc

/// The reader's side of a perf event array: a ring for each CPU, of `bpf_perf_event_output`.
final class PerfReader: KernelSource, @unchecked Sendable {
    /// `struct perf_event_mmap_page`, and behind it the data.
    private struct Ring {
        let event: BPFDescriptor
        let page: UnsafeMutableRawPointer
        let size: Int
        let pageSize: Int

        /// `data_head` and `data_tail`
        var head: UnsafeMutableRawPointer { page + 1024 }
        var tail: UnsafeMutableRawPointer { page + 1032 }
        var data: UnsafeMutableRawPointer { page + pageSize }
    }

    private static let pages = 64
    /// `PERF_RECORD_LOST` and `PERF_RECORD_SAMPLE`
    private static let (lostType, sampleType): (UInt32, UInt32) = (2, 9)

    private let map: KernelMap
    private let content: RecordContent
    private var rings: [Ring] = []

    var name: String { map.name }

    var descriptors: [Int32] { rings.map(\.event.number) }

    init(_ map: KernelMap, _ content: RecordContent) throws(EngineError) {
        self.map = map
        self.content = content
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        // PERF_COUNT_SW_BPF_OUTPUT, whose samples are what programs send.
        var event = PerfEvent(type: PerfEvent.Sort.software.rawValue, config: 10)
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
        while batch.count < limit, tail + 8 <= head {
            let start = Int(tail % UInt64(ring.size))
            // struct perf_event_header: type, misc, size
            let type = ring.data.loadUnaligned(fromByteOffset: start, as: UInt32.self)
            let size = Int(ring.data.loadUnaligned(fromByteOffset: start + 6, as: UInt16.self))
            guard size >= 8, UInt64(size) <= head - tail, size <= ring.size else { break }
            var bytes = [UInt8](repeating: 0, count: size)
            let first = min(size, ring.size - start)
            bytes.withUnsafeMutableBytes { bytes in
                bytes.copyMemory(from: UnsafeRawBufferPointer(start: ring.data + start, count: first))
                if first < size {
                    UnsafeMutableRawBufferPointer(rebasing: bytes[first...])
                        .copyMemory(from: UnsafeRawBufferPointer(start: ring.data, count: size - first))
                }
            }
            bytes.withUnsafeBytes { bytes in
                if type == Self.lostType, size >= 24 {
                    batch.lost &+= bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
                } else if type == Self.sampleType, size >= 12 {
                    // The kernel rounds the length so that the record's is a multiple of 8.
                    let length = Int(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
                    guard 12 + length <= size else { return }
                    batch.append(UnsafeRawBufferPointer(rebasing: bytes[12..<12 + length]))
                }
            }
            tail += UInt64(size)
            clinux_store_release(ring.tail, tail)
        }
    }
}
