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
    package var kernelName: String {
        switch self {
        case .hash: "hash"
        case .array: "array"
        case .progArray: "prog_array"
        case .perfEventArray: "perf_event_array"
        case .perCPUHash: "percpu_hash"
        case .perCPUArray: "percpu_array"
        case .stackTrace: "stack_trace"
        case .cgroupArray: "cgroup_array"
        case .lruHash: "lru_hash"
        case .lruPerCPUHash: "lru_percpu_hash"
        case .lpmTrie: "lpm_trie"
        case .arrayOfMaps: "array_of_maps"
        case .hashOfMaps: "hash_of_maps"
        case .devMap: "devmap"
        case .sockMap: "sockmap"
        case .cpuMap: "cpumap"
        case .xskMap: "xskmap"
        case .sockHash: "sockhash"
        case .cgroupStorage: "cgroup_storage"
        case .reusePortSockArray: "reuseport_sockarray"
        case .perCPUCgroupStorage: "percpu_cgroup_storage"
        case .queue: "queue"
        case .stack: "stack"
        case .skStorage: "sk_storage"
        case .devMapHash: "devmap_hash"
        case .structOps: "struct_ops"
        case .ringBuffer: "ringbuf"
        case .inodeStorage: "inode_storage"
        case .taskStorage: "task_storage"
        case .bloomFilter: "bloom_filter"
        case .userRingBuffer: "user_ringbuf"
        case .cgroupLocalStorage: "cgrp_storage"
        case .arena: "arena"
        case .instructionArray: "insn_array"
        }
    }
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
