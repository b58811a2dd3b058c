import BPF
import BTF
import Engine
import Glibc
import LinuxBPF
import LinuxProcess

/// A map of the kernel.
struct KernelMap: EngineMap {
    let definition: MapDefinition
    let descriptor: BPFDescriptor
    let valueCount: Int

    /// What programs count themselves; the kernel counts no updates that found no room.
    var dropped: UInt64 { 0 }

    /// `BPF_MAP_CREATE`, with the first contents of variables, which are frozen where they are constant.
    init(_ definition: MapDefinition, types: ObjectTypes?, innerMap: BPFDescriptor? = nil) throws(EngineError) {
        var attributes = MapCreate {
            $0.mapType = definition.type.rawValue
            $0.keySize = definition.keySize
            $0.valueSize = definition.valueSize
            $0.maxEntries = Self.entries(definition)
            $0.mapFlags = definition.flags
            $0.innerMapFd = innerMap?.number ?? 0
            $0.mapName = definition.name
        }
        let plain = attributes
        // Types are for showing; where the kernel does not want them for this sort of map, it goes without.
        if let types, let descriptor = types.descriptor, definition.keyTypeID != nil || definition.valueTypeID != nil {
            attributes.btfFd = descriptor.number
            attributes.btfKeyTypeId = definition.keyTypeID?.rawValue ?? 0
            attributes.btfValueTypeId = definition.valueTypeID?.rawValue ?? 0
        }
        var result = attributes.open(.mapCreate)
        if case .failure = result {
            attributes = plain
            result = attributes.open(.mapCreate)
        }
        switch result {
        case .success(let descriptor): self.descriptor = descriptor
        case .failure(let error):
            let advice = plain.explanation(of: .mapCreate) ?? KernelHistory.advice(on: definition.type)
            throw .map(name: definition.name, because: "the kernel says: \(KernelAdvice.text(error))" + (advice.map { ": \($0)" } ?? ""))
        }
        self.definition = definition
        valueCount = definition.type.traits.contains(.perCPU) ? ProcessorCount.possible : 1
        if let contents = definition.initialContents {
            let error = write([0, 0, 0, 0], [contents], flags: 0)
            guard error == 0 else {
                throw .map(name: definition.name, because: "its first contents cannot be written: \(Errno(-error))")
            }
            if definition.section == .rodata {
                var attributes = MapElement { $0.mapFd = descriptor.number }
                _ = attributes.run(.mapFreeze)
            }
        }
    }

    /// One that exists already.
    init(_ definition: MapDefinition, descriptor: BPFDescriptor) {
        self.definition = definition
        self.descriptor = descriptor
        valueCount = definition.type.traits.contains(.perCPU) ? ProcessorCount.possible : 1
    }

    /// How many entries, or for a ring bytes, the kernel is asked for.
    static func entries(_ definition: MapDefinition) -> UInt32 {
        switch definition.type {
        case .ringBuffer: ringBytes(definition.maxEntries)
        case .perfEventArray where definition.maxEntries == 0: UInt32(ProcessorCount.possible)
        default: definition.maxEntries
        }
    }

    /// The kernel takes powers of two that are multiples of a page.
    private static func ringBytes(_ wanted: UInt32) -> UInt32 {
        var bytes: UInt32 = 4096
        while bytes < wanted, bytes < 1 << 31 { bytes *= 2 }
        return bytes
    }

    private func run(_ command: BPFCommand, _ key: [UInt8], _ value: inout [UInt8], flags: UInt64 = 0) -> Int32 {
        key.withUnsafeBytes { key in
            value.withUnsafeMutableBytes { value in
                var attributes = MapElement {
                    $0.mapFd = descriptor.number
                    $0.key = UInt64(UInt(bitPattern: key.baseAddress))
                    $0.value = UInt64(value)
                    $0.flags = flags
                }
                return Int32(attributes.run(command))
            }
        }
    }

    func lookUp(_ key: [UInt8], _ element: inout [UInt8]) -> Int32 { run(.mapLookupElem, key, &element) }

    func update(_ key: [UInt8], _ element: inout [UInt8], flags: UInt64) -> Int32 {
        run(.mapUpdateElem, key, &element, flags: flags)
    }

    func remove(_ key: [UInt8]) -> Int32 {
        var none: [UInt8] = []
        return run(.mapDeleteElem, key, &none)
    }

    /// With `BPF_F_ALL_CPUS` or `BPF_F_CPU` in `flags` there is one value, for all or for that CPU.
    func valueCount(_ flags: UInt64) -> Int {
        flags & (LinuxFlag.bpfFCpu | LinuxFlag.bpfFAllCpus) != 0 ? 1 : valueCount
    }

    func keys() -> [[UInt8]] {
        var keys: [[UInt8]] = []
        var next = [UInt8](repeating: 0, count: max(keySize, 8))
        var last: [UInt8] = []
        while keys.count < Int(definition.maxEntries), run(.mapGetNextKey, last, &next) == 0 {
            last = Array(next.prefix(keySize))
            keys.append(last)
        }
        return keys
    }
}

enum ProcessorCount {
    /// CPUs that may ever be there: so many values per-CPU maps have.
    static let possible: Int = {
        // "0-7" or "0-3,8-11"
        let text = (try? WholeFile.text("/sys/devices/system/cpu/possible")) ?? ""
        let last = text.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }.max()
        return (last ?? 0) + 1
    }()
}
