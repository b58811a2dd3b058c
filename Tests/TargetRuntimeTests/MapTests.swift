import Glibc
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

@Suite struct MapTests {
    let session: Session

    init() throws { session = try Session() }

    @Test("an array has all its elements, zero at first, and no others")
    func array() throws {
        let map = try session.map(FS_MAP_ARRAY, value: 8, entries: 3)
        #expect(map.lookup(2)?.pointee == 0)
        #expect(map.lookup(3) == nil)
        #expect(map.update(1, 42) == 0)
        #expect(map.update(1, 43, UInt64(BPF_EXIST)) == 0)
        #expect(map.lookup(1)?.pointee == 43)
        #expect(map.update(1, 44, UInt64(BPF_NOEXIST)) == error(EEXIST))
        #expect(map.update(3, 44) == error(E2BIG))
        #expect(map.update(1, 44, 8) == error(EINVAL))
        #expect(map.delete(1) == error(EINVAL))
        #expect(map.read(1).values[0] == 43)
        #expect(map.elements() == [0: 0, 1: 43, 2: 0])
    }

    @Test("an array's values lie where its header says, next to each other", arguments: [1, 4, 8, 12, 100] as [UInt32])
    func arrayLayout(size: UInt32) throws {
        let map = try session.map(FS_MAP_ARRAY, value: size, entries: 4)
        let header = map.pointer.pointee
        #expect(header.value_stride == (size + 7) / 8 * 8)
        for index in 0..<4 as Range<UInt64> {
            let expected = map.address + header.data_offset + index * UInt64(header.value_stride)
            #expect(address(of: map.lookup(index)) == expected)
        }
    }

    @Test(
        "a hash holds max_entries elements, and tells what is there",
        arguments: [(4, 8), (8, 8), (1, 1), (3, 5), (16, 24), (20, 100)] as [(UInt32, UInt32)])
    func hash(keySize: UInt32, valueSize: UInt32) throws {
        let map = try session.map(FS_MAP_HASH, key: keySize, value: valueSize, entries: 4)
        let mask: UInt64 = valueSize >= 8 ? .max : (1 << (UInt64(valueSize) * 8)) - 1
        func value(_ key: UInt64) -> UInt64? { map.lookup(key).map { $0.pointee & mask } }
        #expect(map.lookup(7) == nil)
        #expect(map.delete(7) == error(ENOENT))
        #expect(map.update(7, 1, UInt64(BPF_EXIST)) == error(ENOENT))
        for key in 1...4 as ClosedRange<UInt64> {
            #expect(map.update(key, key * 10, UInt64(BPF_NOEXIST)) == 0)
        }
        #expect(map.update(5, 50) == error(E2BIG))
        #expect(map.pointer.pointee.dropped == 1)
        #expect(map.update(3, 31) == 0)
        #expect(map.update(3, 32, UInt64(BPF_NOEXIST)) == error(EEXIST))
        #expect(map.update(3, 32, 4) == error(EINVAL))
        let values: [UInt64?] = [1, 2, 3, 4, 5].map(value)
        #expect(values == [10, 20, 31, 40, nil])
        let stable = map.lookup(4)
        #expect(map.delete(2) == 0)
        #expect(map.lookup(2) == nil)
        #expect(map.update(5, 50) == 0)
        #expect(map.lookup(4) == stable)
        #expect(map.elements().keys.sorted() == [1, 3, 4, 5])
        #expect(map.elements().mapValues { $0 & mask } == [1: 10, 3: 31, 4: 40, 5: 50])
    }

    @Test("keys that share their first bytes or a bucket are different keys")
    func collidingKeys() throws {
        let map = try session.map(FS_MAP_HASH, key: 4, value: 8, entries: 2000)
        for key in 0..<2000 as Range<UInt64> { #expect(map.update(key << 8, key) == 0) }
        for key in 0..<2000 as Range<UInt64> { #expect(map.lookup(key << 8)?.pointee == key) }
        #expect(map.lookup(5) == nil)
        for key in 0..<2000 as Range<UInt64> where key % 2 == 0 { #expect(map.delete(key << 8) == 0) }
        for key in 0..<2000 as Range<UInt64> {
            #expect((map.lookup(key << 8) == nil) == (key % 2 == 0))
        }
    }

    @Test("an LRU hash never is full, and keeps what is looked up", arguments: [FS_MAP_LRU_HASH, FS_MAP_LRU_PERCPU_HASH])
    func lru(type: fs_map_type) throws {
        let map = try session.map(type, key: 8, value: 8, entries: 100)
        for key in 0..<5000 as Range<UInt64> {
            #expect(map.update(key, key) == 0)
            #expect(map.lookup(0) != nil)
            if key >= 100 { #expect(map.lookup(key + 100_000) == nil) }
        }
        #expect(map.elements().count == 100)
        #expect(map.pointer.pointee.dropped == 0)
    }

    @Test("a per-CPU array has a value for each thread slot, which the controller sees all of")
    func perThreadArray() throws {
        let map = try session.map(FS_MAP_PERCPU_ARRAY, value: 8, entries: 2)
        #expect(map.update(1, 5) == 0)
        #expect(map.lookup(1)?.pointee == 5)
        map.lookup(1)?.pointee += 1
        let (result, values) = map.read(1)
        #expect(result == 0)
        #expect(values.filter { $0 != 0 } == [6])
        let slot = try #require(values.firstIndex(of: 6))
        let key = Memory<UInt32>(1)
        let other = session.call(BPF_FUNC_map_lookup_percpu_elem, map.address, key.address, UInt64(slot))
        #expect(other == Int64(address(of: map.lookup(1))))
        #expect(session.call(BPF_FUNC_map_lookup_percpu_elem, map.address, key.address, UInt64(FS_THREAD_SLOTS)) == 0)
        #expect(map.write(0, (0..<UInt64(FS_THREAD_SLOTS)).map { $0 + 1 }) == 0)
        #expect(map.lookup(0)?.pointee == UInt64(slot) + 1)
    }

    @Test("a per-CPU hash starts with zero in the other threads' slots")
    func perThreadHash() throws {
        let map = try session.map(FS_MAP_PERCPU_HASH, key: 8, value: 8, entries: 1)
        #expect(map.write(1, [UInt64](repeating: 9, count: Int(FS_THREAD_SLOTS))) == 0)
        #expect(map.delete(1) == 0)
        #expect(map.update(2, 7) == 0)
        #expect(map.read(2).values.filter { $0 != 0 } == [7])
        #expect(map.update(3, 7) == error(E2BIG))
    }

    @Test("counts in per-CPU maps are exact", arguments: [FS_MAP_PERCPU_ARRAY, FS_MAP_PERCPU_HASH, FS_MAP_LRU_PERCPU_HASH])
    func exactCounts(type: fs_map_type) throws {
        let map = try session.map(type, key: type == FS_MAP_PERCPU_ARRAY ? 4 : 8, value: 8, entries: 1)
        if type != FS_MAP_PERCPU_ARRAY { #expect(map.write(0, []) == 0) }
        test_count_in_threads(map.pointer, session.state, 8, 8, 200_000)
        #expect(map.sum == 1_600_000)
        // Many more threads than slots in all, but few at a time: slots are taken over.
        test_count_in_threads(map.pointer, session.state, 400, 8, 2_000)
        #expect(map.sum == 2_400_000)
    }

    @Test("a queue is first in, first out, a stack is last in, first out")
    func queueAndStack() throws {
        for type in [FS_MAP_QUEUE, FS_MAP_STACK] {
            let map = try session.map(type, key: 0, value: 8, entries: 3)
            #expect(map.take(BPF_FUNC_map_pop_elem) == (error(ENOENT), 0))
            #expect(map.take(BPF_FUNC_map_peek_elem) == (error(ENOENT), 0))
            for round in 0..<5 {
                for value in 1...3 as ClosedRange<UInt64> { #expect(map.push(value) == 0, "round \(round)") }
                #expect(map.push(4) == error(E2BIG))
                #expect(map.push(4, 1) == error(EINVAL))
                let order: [UInt64] = type == FS_MAP_QUEUE ? [1, 2, 3] : [3, 2, 1]
                #expect(map.take(BPF_FUNC_map_peek_elem) == (0, order[0]))
                for value in order { #expect(map.take(BPF_FUNC_map_pop_elem) == (0, value)) }
                #expect(map.take(BPF_FUNC_map_pop_elem).result == error(ENOENT))
            }
        }
        let queue = try session.map(FS_MAP_QUEUE, key: 0, value: 8, entries: 2)
        for value in 1...3 as ClosedRange<UInt64> { #expect(queue.push(value, UInt64(BPF_EXIST)) == 0) }
        #expect(queue.take(BPF_FUNC_map_pop_elem) == (0, 2))
        #expect(queue.lookup(0) == nil)
        #expect(queue.update(0, 1) == error(EINVAL))
    }

    @Test("threads neither lose nor double what they push", arguments: [FS_MAP_QUEUE, FS_MAP_STACK])
    func queueStress(type: fs_map_type) throws {
        let map = try session.map(type, key: 0, value: 8, entries: 50)
        #expect(test_queue_stress(map.pointer, session.state, 8, 50_000) == 0)
        for value in 0..<50 as Range<UInt64> { #expect(map.push(value) == 0, "no node was lost") }
    }

    @Test(
        "a hash stays right while 8 threads insert, look up and delete",
        arguments: [(FS_MAP_HASH, 16), (FS_MAP_HASH, 4), (FS_MAP_HASH, 200)] as [(fs_map_type, UInt32)])
    func hashStress(type: fs_map_type, keys: UInt32) throws {
        let map = try session.map(type, key: 8, value: 8, entries: 8 * keys)
        var kept: UInt64 = 0
        #expect(test_hash_stress(map.pointer, session.state, 8, 200_000, keys, &kept) == 0)
        #expect(map.elements().count == Int(kept))
        for (key, value) in map.elements() { #expect(value == key &* 0x1_0000_0001_b3 &+ 7) }
        // No node was lost: the map can be filled up.
        for key in 0..<UInt64(8 * keys) { #expect(map.update(key, 1) == 0) }
        #expect(map.elements().count == Int(8 * keys))
    }

    @Test("the controller visits every key, also when the one it is at was deleted")
    func nextKey() throws {
        let map = try session.map(FS_MAP_HASH, key: 8, value: 8, entries: 100)
        for key in 1...100 as ClosedRange<UInt64> { #expect(map.update(key, key) == 0) }
        var view = map.view
        var key: UInt64 = 0
        var next: UInt64 = 0
        var seen: [UInt64] = []
        var result = fs_view_next_key(&view, nil, &next)
        while result == 0 {
            seen.append(next)
            key = next
            if key % 3 == 0 { #expect(map.delete(key) == 0) }
            result = fs_view_next_key(&view, &key, &next)
        }
        #expect(result == -ENOENT)
        #expect(seen.sorted() == Array(1...100))
        #expect(fs_map_next_key(map.pointer, nil, &next) == 0)
        key = 12345
        #expect(fs_view_next_key(&view, &key, &next) == -ENOENT)
    }

    @Test("for_each_map_elem visits each element, and may delete what it visits")
    func forEach() throws {
        let sum = test_address(test_callback_elements)
        for type in [FS_MAP_ARRAY, FS_MAP_PERCPU_ARRAY, FS_MAP_HASH, FS_MAP_PERCPU_HASH, FS_MAP_LRU_HASH] {
            let map = try session.map(type, key: 4, value: 8, entries: 10)
            for key in 0..<10 as Range<UInt64> { #expect(map.update(key, 100 + key) == 0) }
            let sums = Memory<UInt64>([0, 0])
            #expect(session.call(BPF_FUNC_for_each_map_elem, map.address, sum, sums.address, 0) == 10)
            #expect(sums.array == [45, 1045])
            #expect(session.call(BPF_FUNC_for_each_map_elem, map.address, sum, sums.address, 1) == error(EINVAL))
        }
        let map = try session.map(FS_MAP_HASH, key: 4, value: 8, entries: 10)
        for key in 0..<10 as Range<UInt64> { #expect(map.update(key, key) == 0) }
        let context = Memory([address(of: session.state)])
        let delete = test_address(test_callback_delete)
        #expect(session.call(BPF_FUNC_for_each_map_elem, map.address, delete, context.address, 0) == 10)
        #expect(map.elements().isEmpty)
    }

    @Test("loop counts its rounds, stops when told, and has a limit")
    func loop() {
        let callback = test_address(test_callback_sum)
        let context = Memory<UInt64>([0, .max])
        #expect(session.call(BPF_FUNC_loop, 1000, callback, context.address, 0) == 1000)
        #expect(context.value == 499_500)
        context.array = [0, 9]
        #expect(session.call(BPF_FUNC_loop, 1000, callback, context.address, 0) == 10)
        #expect(session.call(BPF_FUNC_loop, 0, callback, context.address, 0) == 0)
        #expect(session.call(BPF_FUNC_loop, (1 << 23) + 1, callback, context.address, 0) == error(E2BIG))
        #expect(session.call(BPF_FUNC_loop, 1, callback, context.address, 1) == error(EINVAL))
    }

    @Test("a program array holds addresses where the compiled tail call reads them, and programs cannot")
    func programArray() throws {
        let map = try session.map(FS_MAP_PROG_ARRAY, value: 4, entries: 3)
        #expect(map.write(1, [0x1234_5678_9abc]) == 0)
        let header = map.pointer.pointee
        let slots = UnsafePointer<UInt64>(bitPattern: UInt(map.address + header.data_offset))
        #expect(slots?[1] == 0x1234_5678_9abc)
        #expect(map.read(1).values[0] == 0x1234_5678_9abc)
        #expect(map.read(0).result == -ENOENT)
        #expect(map.write(3, [1]) == -E2BIG)
        #expect(map.lookup(1) == nil)
        #expect(map.update(1, 1) == error(EINVAL))
        var view = map.view
        var key: UInt32 = 1
        #expect(fs_view_delete(&view, &key) == 0)
        #expect(slots?[1] == 0)
    }

    @Test("what is no map, or not of the right type, is refused")
    func wrongMaps() throws {
        let nothing = Memory([UInt64](repeating: 0, count: 32))
        let key = Memory<UInt64>(0)
        for map in [0, nothing.address] as [UInt64] {
            #expect(session.call(BPF_FUNC_map_lookup_elem, map, key.address) == 0)
            #expect(session.call(BPF_FUNC_map_update_elem, map, key.address, key.address) == error(EINVAL))
            #expect(session.call(BPF_FUNC_map_delete_elem, map, key.address) == error(EINVAL))
            #expect(session.call(BPF_FUNC_map_push_elem, map, key.address) == error(EINVAL))
            #expect(session.call(BPF_FUNC_ringbuf_output, map, key.address, 8) == error(EINVAL))
            #expect(session.call(BPF_FUNC_ringbuf_reserve, map, 8) == 0)
        }
        let ring = try session.ring(4096)
        #expect(ring.lookup(0) == nil)
        #expect(ring.update(0, 0) == error(EINVAL))
        #expect(ring.read(0).result == -EINVAL)
        let array = try session.map(FS_MAP_ARRAY, entries: 1)
        #expect(array.push(1) == error(EINVAL))
        #expect(session.call(BPF_FUNC_ringbuf_output, array.address, key.address, 8) == error(EINVAL))
    }

    @Test(
        "a spec that makes no sense is refused with a reason",
        arguments: [
            (FS_MAP_ARRAY.rawValue, 8, 8, 1, 0), (FS_MAP_ARRAY.rawValue, 4, 0, 1, 0), (FS_MAP_ARRAY.rawValue, 4, 8, 0, 0),
            (FS_MAP_HASH.rawValue, 0, 8, 1, 0), (FS_MAP_HASH.rawValue, 513, 8, 1, 0), (FS_MAP_HASH.rawValue, 4, 8, .max, 0),
            (FS_MAP_HASH.rawValue, 4, 8, 1, 1 << 31), (FS_MAP_PERCPU_ARRAY.rawValue, 4, 1 << 26, 1, 0),
            (FS_MAP_RINGBUF.rawValue, 0, 0, 0, 0), (FS_MAP_RINGBUF.rawValue, 4, 0, 4096, 0),
            (FS_MAP_RINGBUF.rawValue, 0, 0, .max, 0), (FS_MAP_STACK_TRACE.rawValue, 4, 1024, 10, 0),
            (FS_MAP_STACK_TRACE.rawValue, 4, 12, 10, 0), (FS_MAP_QUEUE.rawValue, 4, 8, 10, 0),
            (FS_MAP_PROG_ARRAY.rawValue, 4, 8, 10, 0), (12, 4, 4, 1, 0), (.max, 4, 4, 1, 0),
        ] as [(UInt32, UInt32, UInt32, UInt32, UInt32)])
    func refusedSpecs(type: UInt32, key: UInt32, value: UInt32, entries: UInt32, flags: UInt32) {
        var spec = fs_map_spec(type: type, key_size: key, value_size: value, max_entries: entries, flags: flags)
        var why: UnsafePointer<CChar>?
        #expect(fs_map_size(&spec, &why) == 0)
        #expect(why.map { String(cString: $0) }?.isEmpty == false)
        #expect(fs_map_file_size(&spec) == 0)
    }

    @Test(
        "a thread may be killed after any of its instructions in a map, and takes one node with it at most",
        arguments: [
            (FS_MAP_HASH, TEST_HASH_INSERT), (FS_MAP_HASH, TEST_HASH_DELETE), (FS_MAP_LRU_HASH, TEST_HASH_INSERT),
            (FS_MAP_QUEUE, TEST_SEQUENCE_PUSH), (FS_MAP_QUEUE, TEST_SEQUENCE_POP), (FS_MAP_STACK, TEST_SEQUENCE_PUSH),
            (FS_MAP_STACK, TEST_SEQUENCE_POP),
        ] as [(fs_map_type, test_operation)])
    func killedAtEachInstruction(type: fs_map_type, operation: test_operation) throws {
        let isKeyless = type == FS_MAP_QUEUE || type == FS_MAP_STACK
        let map = try session.map(type, key: isKeyless ? 0 : 8, value: 8, entries: 5000)
        let result = test_kill_at_each_instruction(map.pointer, session.state, operation)
        #expect(result.kills > 50)
        #expect(result.failures == 0)
        if type != FS_MAP_LRU_HASH { #expect(result.lost < result.kills / 2) }
    }

    @Test("whatever the target writes into a map, the controller neither crashes nor hangs")
    func hostileMaps() throws {
        var generator = Generator(state: 7)
        for type in [
            FS_MAP_HASH, FS_MAP_LRU_HASH, FS_MAP_PERCPU_HASH, FS_MAP_QUEUE, FS_MAP_STACK, FS_MAP_STACK_TRACE, FS_MAP_ARRAY,
        ] {
            let isKeyless = type == FS_MAP_QUEUE || type == FS_MAP_STACK
            for _ in 0..<300 {
                let map = try session.map(type, key: isKeyless ? 0 : 4, value: 8, entries: 8)
                var view = map.view
                for key in 0..<6 as Range<UInt64> { _ = fs_view_write(&view, [key], [UInt64](repeating: key, count: 64), 0) }
                let words = UnsafeMutableRawPointer(map.pointer).assumingMemoryBound(to: UInt64.self)
                let count = Int(fs_map_file_size([map.spec])) / 8
                for _ in 0..<Int(generator.next() % 40) {
                    // Small numbers make cycles, large ones wild links.
                    let index = Int(generator.next() % UInt64(min(count, 120)))
                    words[index] = generator.next() >> (generator.next() % 64)
                }
                for key in 0..<8 as Range<UInt64> {
                    var value = [UInt64](repeating: 0, count: Int(FS_THREAD_SLOTS))
                    _ = fs_view_write(&view, [key], value, 0)
                    _ = fs_view_read(&view, [key], &value)
                    if !isKeyless { _ = fs_view_delete(&view, [key]) }
                    _ = fs_view_pop(&view, &value)
                }
                var cursor: UInt64 = 0
                var key: UInt64 = 0
                var visited = 0
                while fs_view_iterate(&view, &cursor, &key, nil) == 0 { visited += 1 }
                #expect(visited <= 8 + 64)
            }
        }
    }
}

/// SplitMix64: the same numbers in every run.
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
