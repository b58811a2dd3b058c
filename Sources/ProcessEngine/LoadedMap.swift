import BPF
import Glibc
import TargetRuntime

/// A map that lives in memory shared with the target, from the controller's side.
///
/// The same C code works on it here and in the target.
package struct LoadedMap: EngineMap {
    package let definition: MapDefinition
    /// Where the map's head lies in the shared region.
    let region: SharedRegion
    let offset: Int
    let size: Int

    /// The value a BPF program holds as this map.
    var targetAddress: UInt64 { region.address(at: offset) }

    /// Per-CPU maps hold a value for each of these; here a "CPU" is a slot that a thread owns.
    package var valueCount: Int { isPerCPU ? Int(FS_THREAD_SLOTS) : 1 }

    /// The map as the controller works on it: the target can write the map's head, so its shape is taken from
    /// the definition.
    private func withView(_ body: (UnsafePointer<fs_map_view>) -> Int32) -> Int32 {
        var view = fs_map_view()
        var specification = definition.specification
        let error = fs_view_init(&view, region.pointer(at: offset, count: size), &specification)
        return error == 0 ? body(&view) : error
    }

    var head: UnsafeMutablePointer<fs_map> {
        region.pointer(at: offset, count: size).assumingMemoryBound(to: fs_map.self)
    }

    /// Updates that found no room (hashes) and records that did (ring buffers) not.
    package var dropped: UInt64 { head.pointee.dropped }

    /// Where an element of an array is in the target.
    func elementAddress(_ index: UInt32) -> UInt64 {
        targetAddress + head.pointee.data_offset + UInt64(index) * UInt64(stride)
    }

    package func lookUp(_ key: [UInt8], _ element: inout [UInt8]) -> Int32 {
        withView { fs_view_read($0, key, &element) }
    }

    package func update(_ key: [UInt8], _ element: inout [UInt8], flags: UInt64) -> Int32 {
        // What programs jump to is decided when they are loaded: which they may go on in has been followed then.
        if definition.type == .progArray { return -EPERM }
        return withView { fs_view_write($0, key, element, flags) }
    }

    package func remove(_ key: [UInt8]) -> Int32 {
        definition.type == .progArray ? -EPERM : withView { fs_view_delete($0, key) }
    }

    package func keys() -> [[UInt8]] {
        var keys: [[UInt8]] = []
        var cursor: UInt64 = 0
        var key = [UInt8](repeating: 0, count: max(keySize, 4))
        var value = element(of: valueCount)
        while keys.count < Int(definition.maxEntries),
            withView({ fs_view_iterate($0, &cursor, &key, &value) }) == 0
        {
            keys.append(Array(key.prefix(keySize)))
        }
        return keys
    }

    /// Sets a slot of a program array, whose values are 8-byte addresses though the definition says 4; 0 or -errno.
    func writeAddress(_ key: [UInt8], _ address: [UInt8]) -> Int32 {
        withView { fs_view_write($0, key, address, 0) }
    }
}

extension MapDefinition {
    var specification: fs_map_spec {
        fs_map_spec(
            type: type.rawValue, key_size: keySize, value_size: valueSize, max_entries: maxEntries, flags: flags)
    }
}
