import Glibc
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

@Suite struct RingTests {
    let session: Session

    init() throws { session = try Session() }

    private func reserve(_ ring: Map, _ length: UInt64) -> UInt64 {
        UInt64(bitPattern: session.call(BPF_FUNC_ringbuf_reserve, ring.address, length, 0))
    }

    private func query(_ ring: Map, _ what: Int) -> Int64 {
        session.call(BPF_FUNC_ringbuf_query, ring.address, UInt64(what))
    }

    @Test("the reader gets what was written, in order, with the kernel's layout in memory")
    func order() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        #expect(reader.next() == nil)
        #expect(ring.output([1, 2, 3]) == 0)
        #expect(ring.output([]) == 0)
        #expect(ring.output([UInt8](repeating: 7, count: 100)) == 0)
        let base = UnsafeRawPointer(ring.pointer)
        let data = base + Int(FS_RING_DATA_OFFSET)
        #expect(data.load(as: UInt32.self) == 3)
        #expect(data.load(fromByteOffset: 4, as: UInt32.self) == test_thread_id())
        #expect(query(ring, 0) == 136 && query(ring, 1) == 4096 && query(ring, 2) == 0 && query(ring, 3) == 136)
        #expect(reader.next() == [1, 2, 3])
        #expect(reader.next() == [])
        #expect(reader.next() == [UInt8](repeating: 7, count: 100))
        #expect(reader.next() == nil)
        #expect((base + Int(FS_RING_CONSUMER_OFFSET)).load(as: UInt64.self) == 0)
        fs_ring_consume(&reader)
        #expect((base + Int(FS_RING_CONSUMER_OFFSET)).load(as: UInt64.self) == 136)
    }

    @Test("records pass the end of the ring, at every alignment")
    func wrap() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        for round in 0..<5000 {
            let record = (0..<(round % 300)).map { UInt8(truncatingIfNeeded: $0 + round) }
            #expect(ring.output(record) == 0)
            #expect(reader.next() == record)
            fs_ring_consume(&reader)
        }
        #expect(reader.corrupt == 0 && reader.abandoned == 0)
    }

    @Test("a full ring drops and counts, and takes records again when there is room")
    func full() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        var written = 0
        while ring.output([UInt8](repeating: 1, count: 24)) == 0 { written += 1 }
        #expect(written == 127)  // 128 would fill it to the last byte, which is not told from empty
        #expect(ring.output([1, 2, 3]) == 0)
        #expect(ring.output([1, 2, 3]) == error(EAGAIN))
        #expect(reserve(ring, 8) == 0)
        #expect(ring.pointer.pointee.dropped == 3)
        #expect(reader.next()?.count == 24)
        #expect(ring.output([1, 2, 3]) == error(EAGAIN), "not handed back yet")
        fs_ring_consume(&reader)
        #expect(ring.output([1, 2, 3]) == 0)
        #expect(reserve(ring, 4096) == 0)
        #expect(reserve(ring, 1 << 40) == 0)
        #expect(ring.output([1], flags: 8) == error(EINVAL))
    }

    @Test("a reserved record is seen when it is submitted, and never when it is discarded")
    func reserved() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        let first = reserve(ring, 8)
        let second = reserve(ring, 8)
        let third = reserve(ring, 8)
        try #require(first != 0 && second != 0 && third != 0)
        UnsafeMutablePointer<UInt64>(bitPattern: UInt(first))?.pointee = 1
        UnsafeMutablePointer<UInt64>(bitPattern: UInt(third))?.pointee = 3
        session.call(BPF_FUNC_ringbuf_submit, third, 0)
        #expect(reader.next() == nil)
        session.call(BPF_FUNC_ringbuf_discard, second, 0)
        #expect(reader.next() == nil)
        session.call(BPF_FUNC_ringbuf_submit, first, 0)
        #expect(reader.next() == [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(reader.next() == [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(reader.next() == nil)
        session.call(BPF_FUNC_ringbuf_submit, first, 0)  // again: nothing happens
        #expect(reader.next() == nil)
        #expect(session.call(BPF_FUNC_ringbuf_reserve, ring.address, 8, 1) == 0)
    }

    @Test("every attempt is a record or a drop, every record is intact", arguments: [4096, 1 << 16, 1 << 20] as [UInt32])
    func stress(size: UInt32) throws {
        let ring = try session.ring(size)
        let result = test_ring_stress(ring.pointer, session.state, 8, 100_000, size == 4096 ? 0 : 256)
        #expect(result.finished == 1)
        #expect(result.received == result.written)
        #expect(result.attempts == result.written + result.discarded + ring.pointer.pointee.dropped)
        #expect(result.attempts == 800_000)
        #expect(result.damaged == 0 && result.out_of_order == 0 && result.corrupt == 0 && result.abandoned == 0)
        #expect(result.written > 0)
    }

    @Test("a sleeping reader is woken by output and by submit", arguments: [0, 1] as [Int32])
    func wake(reserve: Int32) throws {
        let ring = try session.ring(4096)
        // The reader looks again every 50 ms by itself; a wake-up takes microseconds. One of several tries
        // suffices on a busy machine.
        let best = (0..<10).map { _ in test_ring_wake(ring.pointer, session.state, reserve) }.min() ?? .max
        #expect(best < 5_000_000)
    }

    @Test("the record of a thread that is gone is skipped, soon but not at once")
    func abandoned() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        _ = test_reserve_and_die(ring.pointer, session.state, 40)
        #expect(ring.output([5]) == 0)
        #expect(reader.next() == nil)
        let start = test_clock(CLOCK_MONOTONIC)
        var record = reader.next()
        while record == nil, test_clock(CLOCK_MONOTONIC) - start < 2_000_000_000 {
            fs_ring_wait(&reader, 20_000_000)
            record = reader.next()
        }
        #expect(record == [5])
        #expect(test_clock(CLOCK_MONOTONIC) - start >= 9_000_000)
        #expect(reader.abandoned == 1)
    }

    @Test("the record of a thread that lives is waited for; in the end it is given up")
    func unfinished() throws {
        let ring = try session.ring(4096)
        var reader = ring.reader()
        let sample = reserve(ring, 40)
        for _ in 0..<10 {
            fs_ring_wait(&reader, 10_000_000)
            #expect(reader.next() == nil)
        }
        // As after a longjmp out of the program: the thread goes on to write others.
        #expect(ring.output([5]) == 0)
        #expect(reader.next() == nil)
        var record: [UInt8]?
        for _ in 0..<400 where record == nil {
            fs_ring_wait(&reader, 10_000_000)
            record = reader.next()
        }
        #expect(record == [5])
        #expect(reader.abandoned == 1)
        fs_ring_consume(&reader)
        session.call(BPF_FUNC_ringbuf_submit, sample, 0)
        #expect(reader.next() == nil)
        // At the end of a session nobody is waited for.
        #expect(reserve(ring, 8) != 0)
        #expect(ring.output([6]) == 0)
        reader.draining = 1
        #expect(reader.next() == [6])
        #expect(reader.abandoned == 2)
    }

    @Test("whatever the target writes into a ring, the reader neither crashes nor hangs, and goes on")
    func hostile() throws {
        var generator = Generator(state: 3)
        let ring = try session.ring(4096)
        var reader = ring.reader()
        let base = UnsafeMutableRawPointer(ring.pointer)
        for round in 0..<20_000 {
            for _ in 0..<8 { _ = ring.output([UInt8](repeating: 1, count: Int(generator.next() % 64))) }
            let wild = generator.next() >> (generator.next() % 64)
            switch generator.next() % 4 {
            case 0: base.storeBytes(of: wild, toByteOffset: 64, as: UInt64.self)
            case 1: base.storeBytes(of: wild, toByteOffset: Int(FS_RING_CONSUMER_OFFSET), as: UInt64.self)
            case 2: base.storeBytes(of: wild & ~(1 << 31), toByteOffset: Int(FS_RING_DATA_OFFSET) + Int(generator.next() % 512) * 8, as: UInt64.self)
            default: base.storeBytes(of: wild, toByteOffset: 48 + Int(generator.next() % 2) * 8, as: UInt64.self)
            }
            var records = 0
            reader.draining = 1
            while let record = reader.next() {
                records += 1
                #expect(record.count <= 4096)
                if records > 1000 { break }
            }
            #expect(records <= 1000, "round \(round)")
            fs_ring_consume(&reader)
        }
        // Left alone, it recovers.
        reader.draining = 0
        var arrived = false
        for value in 0..<200 as Range<UInt8> where !arrived {
            _ = ring.output([9, value])
            while let record = reader.next() { arrived = arrived || record == [9, value] }
            fs_ring_consume(&reader)
        }
        #expect(arrived)
        #expect(reader.corrupt > 0)
    }

    @Test("a perf event array is a ring of its own")
    func perfEvents() throws {
        let map = try session.map(FS_MAP_PERF_EVENT_ARRAY, key: 4, value: 4, entries: 0)
        var reader = map.reader()
        #expect(reader.limit == 1 << 20)
        let data = Memory<UInt64>([1, 2])
        let anyCPU: UInt64 = 0xffff_ffff
        #expect(session.call(BPF_FUNC_perf_event_output, 0, map.address, anyCPU, data.address, 16) == 0)
        #expect(reader.next() == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
        #expect(session.call(BPF_FUNC_perf_event_output, 0, map.address, 1 << 40, data.address, 16) == error(EINVAL))
        var status: Int64 = 0
        while status == 0 { status = session.call(BPF_FUNC_perf_event_output, 0, map.address, 0, data.address, 16) }
        #expect(status == error(ENOSPC))
        let ring = try session.ring(4096)
        #expect(session.call(BPF_FUNC_perf_event_output, 0, ring.address, anyCPU, data.address, 16) == error(EINVAL))
    }

    @Test(
        "a ring's size is rounded up to a power of two of pages",
        arguments: [(1, 4096), (4096, 4096), (5000, 8192), (100_000, 131_072)] as [(UInt32, Int)])
    func size(asked: UInt32, given: Int) throws {
        let ring = try session.ring(asked)
        var spec = ring.spec
        #expect(fs_map_ring_size(&spec) == given)
        #expect(ring.pointer.pointee.max_entries == UInt32(given))
        #expect(fs_map_file_size(&spec) == 3 * 4096 + given)
        #expect(fs_map_size(&spec, nil) == 3 * 4096 + 2 * given)
    }

    @Test("processes killed at any instant hinder neither the others nor the reader")
    func kills() throws {
        let hash = try session.map(FS_MAP_HASH, key: 8, value: 8, entries: 20_000)
        let queue = try session.map(FS_MAP_QUEUE, key: 0, value: 8, entries: 20_000)
        let ring = try session.ring(1 << 16)
        let kills: UInt32 = 2000
        let result = test_kill(hash.pointer, queue.pointer, ring.pointer, session.state, kills)
        #expect(result.kills == UInt64(kills))
        #expect(result.survivor_stuck == 0)
        #expect(result.survivor_rounds > 1000)
        #expect(result.last_received > 100)
        #expect(result.damaged == 0 && result.corrupt == 0)
        #expect(result.abandoned > 0 && result.abandoned <= UInt64(kills) + 1)
        // Each kill loses one node at most; 64 keys may be there already.
        #expect(result.fresh_inserts >= 20_000 - UInt64(kills) - 1 - 64)
    }

    @Test("a writer may be killed after any of its instructions", arguments: [TEST_RING_OUTPUT, TEST_RING_RESERVE_SUBMIT])
    func killedAtEachInstruction(operation: test_operation) throws {
        let ring = try session.ring(4096)
        let result = test_kill_at_each_instruction(ring.pointer, session.state, operation)
        #expect(result.kills > 50)
        #expect(result.failures == 0 && result.damaged == 0 && result.corrupt == 0)
        #expect(result.abandoned > 10 && result.abandoned < result.kills)
    }
}
