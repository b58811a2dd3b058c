import BPF
import Glibc
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

/// `MapType.traits` says the same of each type as the runtime does.
@Suite struct MapTypeTests {
    /// A map of a type with three elements, with keys, values and entries as one or the other type wants them.
    private func make(_ type: UInt32, in session: Session) -> Map? {
        let shapes: [(key: UInt32, value: UInt32, entries: UInt32)] = [(4, 8, 3), (4, 4, 3), (0, 8, 3), (0, 0, 4096)]
        for shape in shapes {
            var spec = fs_map_spec(
                type: type, key_size: shape.key, value_size: shape.value, max_entries: shape.entries, flags: 0)
            if fs_map_size(&spec, nil) == 0 { continue }
            return try? session.map(fs_map_type(type), key: shape.key, value: shape.value, entries: shape.entries)
        }
        return nil
    }

    @Test("a map type is in processes if the runtime can make it; numbers without a name it cannot make")
    func exists() throws {
        let session = try Session()
        for number in 0..<64 as Range<UInt32> {
            let isNamed = MapType(rawValue: number)?.traits.contains(.inProcess) ?? false
            #expect((make(number, in: session) != nil) == isNamed, "\(number)")
        }
    }

    @Test("what a map type's traits say is what maps of it do", arguments: MapType.allCases.filter { $0.traits.contains(.inProcess) })
    func traits(_ type: MapType) throws {
        let session = try Session()
        let map = try #require(make(type.rawValue, in: session))
        var (view, spec) = (map.view, map.spec)
        let traits = type.traits

        #expect((fs_map_ring_size(&spec) > 0) == traits.contains(.ring))
        let isPerThread = fs_map_value_size(&spec) == Int(FS_THREAD_SLOTS) * 8
        #expect(isPerThread == traits.contains(.perCPU))

        var key: UInt32 = 1
        var value = [UInt64](repeating: 7, count: Int(FS_THREAD_SLOTS))
        withUnsafeMutableBytes(of: &key) { key in
            value.withUnsafeMutableBytes { value in
                let (keyAt, valueAt) = (UInt64(UInt(bitPattern: key.baseAddress)), UInt64(UInt(bitPattern: value.baseAddress)))
                let canPush = session.call(BPF_FUNC_map_push_elem, map.address, valueAt) == 0
                #expect(canPush == traits.contains(.sequence))
                _ = session.call(BPF_FUNC_map_update_elem, map.address, keyAt, valueAt)
                let found = session.call(BPF_FUNC_map_lookup_elem, map.address, keyAt) != 0
                #expect(found == traits.contains(.values))
            }
        }
        // Rings have no elements for the controller.
        guard !traits.contains(.ring) else { return }
        var beyond: UInt32 = 1000
        let isArray = fs_view_write(&view, &beyond, &value, 0) == -E2BIG && fs_view_delete(&view, &beyond) != -ENOENT
        #expect(isArray == traits.contains(.array))
        #expect(traits.intersection([.array, .hash, .sequence]).rawValue.nonzeroBitCount == 1, "one or the other")
    }
}
