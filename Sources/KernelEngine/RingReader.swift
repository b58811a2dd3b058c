import BPF
import CLinux
import Engine
import Glibc
import LinuxBPF

/// The reader's side of a ring buffer of the kernel, mapped into this process.
final class RingReader: KernelSource, @unchecked Sendable {
    let name: String
    private let content: RecordContent
    private let descriptor: BPFDescriptor
    private let consumer: UnsafeMutableRawPointer
    private let producer: UnsafeMutableRawPointer
    private let size: Int
    private let page = Int(sysconf(Int32(_SC_PAGESIZE)))

    var descriptors: [Int32] { [descriptor.number] }

    init(_ map: KernelMap, _ content: RecordContent) throws(EngineError) {
        let descriptor = map.descriptor
        var bytes = 4096
        while bytes < Int(map.definition.maxEntries) { bytes *= 2 }
        // One page to write, the consumer's; then the producer's page and the data, twice, to read.
        let own = mmap(nil, page, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number, 0)
        let data = mmap(nil, page + 2 * bytes, PROT_READ, MAP_SHARED, descriptor.number, Int(page))
        guard let own, own != MAP_FAILED, let data, data != MAP_FAILED else {
            let error = errno
            if let own, own != MAP_FAILED { munmap(own, page) }
            throw .map(name: map.name, because: "its records cannot be mapped: \(Errno(error))")
        }
        name = map.name
        self.content = content
        self.descriptor = descriptor
        size = bytes
        consumer = own
        producer = data
    }

    deinit {
        munmap(consumer, page)
        munmap(producer, page + 2 * size)
    }

    func read(_ limit: Int) -> EventBatch {
        var batch = EventBatch(content)
        var position = clinux_load_acquire(consumer)
        while batch.count < limit {
            guard position < clinux_load_acquire(producer) else { break }
            let record = producer + page + Int(position & UInt64(size - 1))
            let head = UInt32(truncatingIfNeeded: clinux_load_acquire(record))
            if head & LinuxFlag.bpfRingbufBusyBit != 0 { break }
            let length = Int(head & ~LinuxFlag.bpfRingbufDiscardBit)
            guard length <= size else { break }
            if head & LinuxFlag.bpfRingbufDiscardBit == 0 {
                batch.append(UnsafeRawBufferPointer(start: record + LinuxFlag.bpfRingbufHdrSz, count: length))
            }
            position += UInt64((length + LinuxFlag.bpfRingbufHdrSz + 7) / 8 * 8)
            clinux_store_release(consumer, position)
        }
        return batch
    }
}
