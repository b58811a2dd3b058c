import Glibc
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

/// A state and maps in shared memory. Every helper runs in a copy of the section.
final class Session {
    let state: UnsafeMutablePointer<fs_state>
    private var maps: [(UnsafeMutablePointer<fs_map>, fs_map_spec)] = []

    init() throws {
        state = try #require(test_state_new())
    }

    deinit {
        for (map, spec) in maps {
            var spec = spec
            test_map_free(map, &spec)
        }
        test_state_free(state)
    }

    func map(
        _ type: fs_map_type, key: UInt32 = 4, value: UInt32 = 8, entries: UInt32
    ) throws -> Map {
        var spec = fs_map_spec(
            type: type.rawValue, key_size: key, value_size: value, max_entries: entries, flags: 0)
        let map = try #require(test_map_new(&spec))
        maps.append((map, spec))
        return Map(session: self, pointer: map, spec: spec)
    }

    func ring(_ bytes: UInt32) throws -> Map {
        try map(FS_MAP_RINGBUF, key: 0, value: 0, entries: bytes)
    }

    @discardableResult
    func call(
        _ helper: bpf_func_id, _ a1: UInt64 = 0, _ a2: UInt64 = 0, _ a3: UInt64 = 0, _ a4: UInt64 = 0,
        _ a5: UInt64 = 0
    ) -> Int64 {
        Int64(bitPattern: test_call(helper.rawValue, a1, a2, a3, a4, a5, state))
    }
}

/// A map as a program uses it (the unlabelled functions) and as the controller does (`view`).
struct Map {
    let session: Session
    let pointer: UnsafeMutablePointer<fs_map>
    let spec: fs_map_spec

    var address: UInt64 { UInt64(UInt(bitPattern: pointer)) }

    var view: fs_map_view {
        var view = fs_map_view()
        var spec = spec
        #expect(fs_view_init(&view, pointer, &spec) == 0)
        return view
    }

    /// Enough room for a key or value of any of the tests, the number in its first bytes.
    private func buffer(_ number: UInt64) -> [UInt64] {
        [number] + [UInt64](repeating: 0, count: Int(FS_THREAD_SLOTS) * 2)
    }

    func lookup(_ key: UInt64) -> UnsafeMutablePointer<UInt64>? {
        let key = buffer(key)
        let found = key.withUnsafeBytes { session.call(BPF_FUNC_map_lookup_elem, address, $0.address) }
        return UnsafeMutablePointer(bitPattern: Int(found))
    }

    func update(_ key: UInt64, _ value: UInt64, _ flags: UInt64 = 0) -> Int64 {
        let key = buffer(key)
        let value = buffer(value)
        return key.withUnsafeBytes { key in
            value.withUnsafeBytes {
                session.call(BPF_FUNC_map_update_elem, address, key.address, $0.address, flags)
            }
        }
    }

    func delete(_ key: UInt64) -> Int64 {
        let key = buffer(key)
        return key.withUnsafeBytes { session.call(BPF_FUNC_map_delete_elem, address, $0.address) }
    }

    func push(_ value: UInt64, _ flags: UInt64 = 0) -> Int64 {
        let value = buffer(value)
        return value.withUnsafeBytes { session.call(BPF_FUNC_map_push_elem, address, $0.address, flags) }
    }

    func take(_ helper: bpf_func_id) -> (result: Int64, value: UInt64) {
        var value = buffer(99)
        let result = value.withUnsafeMutableBytes { session.call(helper, address, $0.address) }
        return (result, value[0])
    }

    /// What the controller reads: the first word of each slot, or of the value.
    func read(_ key: UInt64) -> (result: Int32, values: [UInt64]) {
        var view = view
        let key = buffer(key)
        var value = buffer(0)
        let result = fs_view_read(&view, key, &value)
        return (result, value)
    }

    /// Of element 0, over all slots.
    var sum: UInt64 { read(0).values.reduce(0, +) }

    func write(_ key: UInt64, _ values: [UInt64], _ flags: UInt64 = 0) -> Int32 {
        var view = view
        let key = buffer(key)
        let values = values + [UInt64](repeating: 0, count: Int(FS_THREAD_SLOTS))
        return fs_view_write(&view, key, values, flags)
    }

    func elements() -> [UInt64: UInt64] {
        var view = view
        var cursor: UInt64 = 0
        var elements: [UInt64: UInt64] = [:]
        var key = buffer(0)
        var value = buffer(0)
        while fs_view_iterate(&view, &cursor, &key, &value) == 0 {
            #expect(elements[key[0]] == nil, "an element was visited twice")
            elements[key[0]] = value[0]
        }
        return elements
    }

    func output(_ bytes: [UInt8], flags: UInt64 = 0) -> Int64 {
        bytes.withUnsafeBytes {
            session.call(BPF_FUNC_ringbuf_output, address, $0.address, UInt64(bytes.count), flags)
        }
    }

    func reader() -> fs_ring_reader {
        var reader = fs_ring_reader()
        fs_ring_reader_init(&reader, pointer, UInt64(pointer.pointee.max_entries))
        return reader
    }
}

extension fs_ring_reader {
    /// A copy of the next record.
    mutating func next() -> [UInt8]? {
        var length: UInt32 = 0
        guard let record = fs_ring_next(&self, &length) else { return nil }
        return [UInt8](UnsafeRawBufferPointer(start: record, count: Int(length)))
    }
}

extension UnsafeRawBufferPointer {
    var address: UInt64 { UInt64(UInt(bitPattern: baseAddress)) }
}

extension UnsafeMutableRawBufferPointer {
    var address: UInt64 { UInt64(UInt(bitPattern: baseAddress)) }
}

func address(of pointer: UnsafeRawPointer?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }

/// Memory whose address stays valid: helpers keep and follow addresses that Swift knows nothing of.
final class Memory<Element: BitwiseCopyable> {
    private let pointer: UnsafeMutableBufferPointer<Element>

    init(_ elements: [Element]) {
        pointer = .allocate(capacity: elements.count)
        _ = pointer.initialize(from: elements)
    }

    convenience init(_ element: Element) { self.init([element]) }

    deinit { pointer.deallocate() }

    var address: UInt64 { withExtendedLifetime(self) { TargetRuntimeTests.address(of: pointer.baseAddress) } }
    var count: Int { pointer.count }
    var array: [Element] {
        get { Array(pointer) }
        set { _ = pointer.update(from: newValue) }
    }
    var value: Element {
        get { pointer[0] }
        set { pointer[0] = newValue }
    }
}

func error(_ number: Int32) -> Int64 { Int64(-number) }
