import BPF
import BTF
import Engine
import Glibc
import LinuxBPF

/// The maps of an object: made, or taken from where they are pinned, and filled with what they hold from the start.
enum ObjectMaps {
    static func make(_ definitions: [MapDefinition], _ types: ObjectTypes) throws(EngineError) -> [KernelMap] {
        var maps: [KernelMap] = []
        for definition in definitions {
            // The kernel takes the shape of inner maps from one that exists; it may go again then.
            var template: KernelMap?
            if let inner = definition.inner { template = try KernelMap(inner, types: nil) }
            if definition.isPinned {
                maps.append(try PinnedMaps.open(definition, types, inner: template?.descriptor))
            } else {
                maps.append(try KernelMap(definition, types: types, innerMap: template?.descriptor))
            }
        }
        for (map, definition) in zip(maps, definitions) {
            for (slot, name) in definition.mapSlots {
                guard let held = maps.first(where: { $0.name == name }) else {
                    throw .map(name: definition.name, because: "it holds '\(name)', which its object does not have")
                }
                let error = map.write(bytes(UInt32(slot)), [bytes(UInt32(held.descriptor.number))], flags: 0)
                guard error == 0 else {
                    throw .map(
                        name: definition.name,
                        because: "'\(name)' cannot be put into it, whose maps are of another shape or size: \(Errno(-error))")
                }
            }
        }
        return maps
    }

    static func bytes(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
}

/// Maps in the BPF file system, which stay when fsession has ended: `LIBBPF_PIN_BY_NAME`.
enum PinnedMaps {
    static let folder = "/sys/fs/bpf"

    static func open(_ definition: MapDefinition, _ types: ObjectTypes, inner: BPFDescriptor?) throws(EngineError) -> KernelMap {
        let path = "\(folder)/\(definition.name)"
        guard !definition.name.contains("/"), !definition.name.contains(".") else {
            throw .map(name: definition.name, because: "it cannot be pinned under that name")
        }
        switch run(.objGet, path, descriptor: nil) {
        case .success(let descriptor):
            return try adopt(BPFDescriptor(Int32(descriptor)), definition, path)
        case .failure(let error) where error.number == ENOENT:
            let map = try KernelMap(definition, types: types, innerMap: inner)
            if case .failure(let error) = run(.objPin, path, descriptor: map.descriptor) { throw failure(definition, path, error) }
            return map
        case .failure(let error): throw failure(definition, path, error)
        }
    }

    private static func failure(_ definition: MapDefinition, _ path: String, _ error: Errno) -> EngineError {
        .map(
            name: definition.name,
            because: "it cannot be pinned at \(path): "
                + (error.number == EINVAL || error.number == ENOTDIR
                    ? "\(folder) is no BPF file system; mount -t bpf bpf \(folder)" : KernelAdvice.text(error)))
    }

    /// A map that is there already, if it is the one that the object means.
    private static func adopt(
        _ descriptor: BPFDescriptor, _ definition: MapDefinition, _ path: String
    ) throws(EngineError) -> KernelMap {
        var information = MapInfo()
        guard BPFObjects.get(&information, of: descriptor) else {
            throw .map(name: definition.name, because: "what is pinned at \(path) is no map")
        }
        let (type, key, value, entries) = (information.type, information.keySize, information.valueSize, information.maxEntries)
        let wanted = KernelMap.entries(definition)
        guard type == definition.type.rawValue, key == definition.keySize, value == definition.valueSize, entries == wanted else {
            throw .map(
                name: definition.name,
                because: "another map is pinned at \(path): type \(type), \(key) bytes of key, \(value) of value, \(entries) entries, not "
                    + "\(definition.type.rawValue), \(definition.keySize), \(definition.valueSize), \(wanted); remove it, or rename the map")
        }
        return KernelMap(definition, descriptor: descriptor)
    }

    /// `BPF_OBJ_PIN` and `BPF_OBJ_GET`
    private static func run(_ command: BPFCommand, _ path: String, descriptor: BPFDescriptor?) -> Result<Int, Errno> {
        AttributeArena.with { arena in
            var attributes = ObjectPin {
                $0.pathname = arena.address(of: path)
                $0.bpfFd = descriptor?.number ?? 0
            }
            let result = attributes.run(command)
            return result >= 0 ? .success(result) : .failure(Errno(Int32(-result)))
        }
    }
}
