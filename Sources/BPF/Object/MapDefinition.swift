import BTF

/// `BPF_MAP_TYPE_*`, those of `linux/bpf.h`. Which of them work is for the engine to say.
package enum MapType: UInt32, Sendable, CaseIterable {
    case hash = 1
    case array = 2
    case progArray = 3
    case perfEventArray = 4
    case perCPUHash = 5
    case perCPUArray = 6
    case stackTrace = 7
    case cgroupArray = 8
    case lruHash = 9
    case lruPerCPUHash = 10
    case lpmTrie = 11
    case arrayOfMaps = 12
    case hashOfMaps = 13
    case devMap = 14
    case sockMap = 15
    case cpuMap = 16
    case xskMap = 17
    case sockHash = 18
    case cgroupStorage = 19
    case reusePortSockArray = 20
    case perCPUCgroupStorage = 21
    case queue = 22
    case stack = 23
    case skStorage = 24
    case devMapHash = 25
    case structOps = 26
    case ringBuffer = 27
    case inodeStorage = 28
    case taskStorage = 29
    case bloomFilter = 30
    case userRingBuffer = 31
    case cgroupLocalStorage = 32
    case arena = 33
    case instructionArray = 34

    /// As C spells it, without `BPF_MAP_TYPE_`, in lower case: "lru_hash".
    package var kernelName: String { row.name }

    package var traits: MapTraits { Self.allTraits[Int(rawValue)] }

    /// By number: they are asked for at every lookup that is verified, and to put a set together takes longer.
    private static let allTraits: [MapTraits] = {
        var traits = [MapTraits](repeating: [], count: allCases.reduce(0) { max($0, Int($1.rawValue) + 1) })
        for type in allCases { traits[Int(type.rawValue)] = type.row.traits }
        return traits
    }()

    /// All that is known of a type.
    private var row: (name: String, traits: MapTraits) {
        switch self {
        case .hash: ("hash", [.inProcess, .hash, .values])
        case .array: ("array", [.inProcess, .array, .values])
        case .progArray: ("prog_array", [.inProcess, .array])
        case .perfEventArray: ("perf_event_array", [.inProcess, .array, .ring])
        case .perCPUHash: ("percpu_hash", [.inProcess, .hash, .values, .perCPU])
        case .perCPUArray: ("percpu_array", [.inProcess, .array, .values, .perCPU])
        case .stackTrace: ("stack_trace", [.inProcess, .hash])
        case .cgroupArray: ("cgroup_array", .array)
        case .lruHash: ("lru_hash", [.inProcess, .hash, .values])
        case .lruPerCPUHash: ("lru_percpu_hash", [.inProcess, .hash, .values, .perCPU])
        case .lpmTrie: ("lpm_trie", [.hash, .values])
        case .arrayOfMaps: ("array_of_maps", .array)
        case .hashOfMaps: ("hash_of_maps", .hash)
        case .devMap: ("devmap", .array)
        case .sockMap: ("sockmap", .array)
        case .cpuMap: ("cpumap", .array)
        case .xskMap: ("xskmap", .array)
        case .sockHash: ("sockhash", .hash)
        case .cgroupStorage: ("cgroup_storage", [.hash, .values])
        case .reusePortSockArray: ("reuseport_sockarray", .array)
        case .perCPUCgroupStorage: ("percpu_cgroup_storage", [.hash, .values, .perCPU])
        case .queue: ("queue", [.inProcess, .sequence])
        case .stack: ("stack", [.inProcess, .sequence])
        case .skStorage: ("sk_storage", [.hash, .values])
        case .devMapHash: ("devmap_hash", .hash)
        case .structOps: ("struct_ops", .array)
        case .ringBuffer: ("ringbuf", [.inProcess, .ring])
        case .inodeStorage: ("inode_storage", [.hash, .values])
        case .taskStorage: ("task_storage", [.hash, .values])
        case .bloomFilter: ("bloom_filter", .sequence)
        case .userRingBuffer: ("user_ringbuf", [])
        case .cgroupLocalStorage: ("cgrp_storage", [.hash, .values])
        case .arena: ("arena", [])
        case .instructionArray: ("insn_array", [.array, .values])
        }
    }
}

/// What holds for all maps of a type.
package struct MapTraits: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Processes have it, too.
    package static let inProcess = MapTraits(rawValue: 1 << 0)
    /// Elements by keys of any sort, which come and go.
    package static let hash = MapTraits(rawValue: 1 << 1)
    /// Elements by number, which are all there from the start: `max_entries` of them.
    package static let array = MapTraits(rawValue: 1 << 2)
    /// Elements without keys.
    package static let sequence = MapTraits(rawValue: 1 << 3)
    /// Records for the controller.
    package static let ring = MapTraits(rawValue: 1 << 4)
    /// A lookup gives the address of an element's value.
    package static let values = MapTraits(rawValue: 1 << 5)
    /// An element has a value for each CPU; in a process, for each thread slot.
    package static let perCPU = MapTraits(rawValue: 1 << 6)
    /// An array whose elements programs read and write.
    package static let valueArray: MapTraits = [.array, .values]
}

/// A map as the object describes it: one of `.maps`, or the variables of a section.
package struct MapDefinition: Sendable {
    /// The C name; the section's name for variables.
    package let name: String
    package let type: MapType
    package let keySize: UInt32
    package let valueSize: UInt32
    package let maxEntries: UInt32
    /// `BPF_F_*`.
    package let flags: UInt32
    package let keyTypeID: BTF.TypeID?
    /// For variables the section's `DATASEC`.
    package let valueTypeID: BTF.TypeID?
    package let section: DataSection
    /// The value of element 0 at the start, for variables.
    package internal(set) var initialContents: [UInt8]?
    /// The programs that a prog array holds from the start, by index.
    package let programSlots: [Int: String]
    /// The maps that a map of maps holds from the start, by index.
    package let mapSlots: [Int: String]
    /// `LIBBPF_PIN_BY_NAME`: one map for all objects that have it, under its name in the BPF file system.
    package let isPinned: Bool
    private let inners: [MapDefinition]
    /// What the maps in a map of maps are like.
    package var inner: MapDefinition? { inners.first }

    package init(
        name: String, type: MapType, keySize: UInt32, valueSize: UInt32, maxEntries: UInt32, flags: UInt32 = 0,
        keyTypeID: BTF.TypeID? = nil, valueTypeID: BTF.TypeID? = nil, section: DataSection = .none,
        initialContents: [UInt8]? = nil, programSlots: [Int: String] = [:], mapSlots: [Int: String] = [:],
        inner: MapDefinition? = nil, isPinned: Bool = false
    ) {
        self.name = name
        self.type = type
        self.keySize = keySize
        self.valueSize = valueSize
        self.maxEntries = maxEntries
        self.flags = flags
        self.keyTypeID = keyTypeID
        self.valueTypeID = valueTypeID
        self.section = section
        self.initialContents = initialContents
        self.programSlots = programSlots
        self.mapSlots = mapSlots
        self.isPinned = isPinned
        inners = inner.map { [$0] } ?? []
    }

    /// What sort of variables a map holds.
    package enum DataSection: Sendable {
        /// None: a map of `.maps`.
        case none
        /// Constants; programs must not write them.
        case rodata
        case data
        case bss

        /// The sort that a section's name tells, e.g. ".rodata.str1.1".
        init(sectionName: String) {
            let kinds: [(String, DataSection)] = [(".rodata", .rodata), (".data", .data), (".bss", .bss)]
            self = kinds.first { sectionName == $0.0 || sectionName.hasPrefix($0.0 + ".") }?.1 ?? .none
        }
    }
}
