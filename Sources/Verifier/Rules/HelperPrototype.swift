import BPF

/// What a helper takes and gives: the helpers that exist in a process (docs/helpers.md).
struct HelperPrototype: Sendable {
    var arguments: [Argument]
    var result: Result
    /// It calls a function of the program.
    var callsBack: Bool { arguments.contains { if case .function = $0 { true } else { false } } }

    init(_ arguments: [Argument], _ result: Result = .scalar) {
        self.arguments = arguments
        self.result = result
    }

    enum Argument: Hashable, Sendable {
        /// Any number.
        case anything
        /// An address that is read without faulting: a number, or any pointer.
        case address
        /// One of these maps.
        case map([MapType])
        /// As many bytes as the map's keys have, to read.
        case mapKey
        /// As many bytes as the map's values have, to read.
        case mapValue
        /// As many bytes as the map's values have, to be written, also if the helper fails.
        case newMapValue
        /// Memory to read; its size comes next.
        case memory
        /// The same, or null if the size is 0.
        case memoryOrNull
        /// What is to be printed, or null if the size is 0: numbers, and pointers to strings.
        case words
        /// Memory to be written, all of it, also if the helper fails; its size comes next.
        case newMemory
        /// Memory for a string, which is written with its end, also if the helper fails; what lies behind it stays. Its
        /// size comes next.
        case newText
        /// The same, or null if the size is 0; nothing is written if the helper fails.
        case newTextOrNull
        /// Memory that is read to the end of the string that is there; its size comes next.
        case text
        /// Memory to be written, of this size, also if the helper fails.
        case newMemoryOf(Int)
        /// The size of the memory before.
        case size
        /// The same; it may be 0.
        case sizeOrZero
        /// A constant string in frozen memory.
        case string
        case context
        case function(Callback)
        /// What the callback is handed.
        case callbackContext
        /// A constant: the size of what is allocated.
        case allocationSize
        /// A ring buffer record; it is given back.
        case record
    }

    /// How a helper calls a function of the program.
    enum Callback: Hashable, Sendable {
        /// `bpf_loop`: r1 the round, r2 the context.
        case round
        /// `bpf_for_each_map_elem`: r1 the map, r2 the key, r3 the value, r4 the context.
        case element
    }

    enum Result: Hashable, Sendable {
        case scalar
        /// A number in this range.
        case range(ClosedRange<Int64>)
        /// No more than the size that was handed in, or an error.
        case sizeOrError
        /// A value of the map, or null.
        case mapValueOrNull
        /// Memory of ``Argument/allocationSize`` bytes, or null; it must be given back.
        case recordOrNull
        /// The program does not go on, but where there is nothing to call.
        case tailCall
    }

    static func of(_ id: UInt32) -> HelperPrototype? {
        Helper(rawValue: id).flatMap { table[$0] }
    }

    private static func maps(_ traits: MapTraits) -> [MapType] {
        MapType.allCases.filter { $0.traits.isSuperset(of: traits.union(.inProcess)) }
    }

    private static let keyed = maps(.values)
    private static let perCPU = maps([.values, .perCPU])
    private static let sequences = maps(.sequence)
    private static let error: ClosedRange<Int64> = -4095...0

    private static let table: [Helper: HelperPrototype] = {
        var table: [Helper: HelperPrototype] = [
            .mapLookupElem: HelperPrototype([.map(keyed), .mapKey], .mapValueOrNull),
            .mapUpdateElem: HelperPrototype([.map(keyed), .mapKey, .mapValue, .anything]),
            .mapDeleteElem: HelperPrototype([.map(keyed), .mapKey]),
            .mapLookupPercpuElem: HelperPrototype([.map(perCPU), .mapKey, .anything], .mapValueOrNull),
            .mapPushElem: HelperPrototype([.map(sequences), .mapValue, .anything]),
            .mapPopElem: HelperPrototype([.map(sequences), .newMapValue]),
            .mapPeekElem: HelperPrototype([.map(sequences), .newMapValue]),
            .forEachMapElem: HelperPrototype(
                [.map(keyed), .function(.element), .callbackContext, .anything]),
            .loop: HelperPrototype([.anything, .function(.round), .callbackContext, .anything]),
            .ringbufOutput: HelperPrototype([.map([.ringBuffer]), .memory, .sizeOrZero, .anything]),
            .ringbufReserve: HelperPrototype([.map([.ringBuffer]), .allocationSize, .anything], .recordOrNull),
            .ringbufSubmit: HelperPrototype([.record, .anything]),
            .ringbufDiscard: HelperPrototype([.record, .anything]),
            .ringbufQuery: HelperPrototype([.map([.ringBuffer]), .anything]),
            .perfEventOutput: HelperPrototype([.context, .map([.perfEventArray]), .anything, .memory, .sizeOrZero]),
            // As in the kernel, what is printed is not looked at: programs load as many registers as they print.
            .tracePrintk: HelperPrototype([.memory, .size]),
            .traceVprintk: HelperPrototype([.memory, .size, .words, .sizeOrZero]),
            .snprintf: HelperPrototype([.newTextOrNull, .sizeOrZero, .string, .words, .sizeOrZero]),
            .strncmp: HelperPrototype([.text, .size, .string]),
            .ktimeGetNs: HelperPrototype([]),
            .ktimeGetBootNs: HelperPrototype([]),
            .ktimeGetCoarseNs: HelperPrototype([]),
            .ktimeGetTaiNs: HelperPrototype([]),
            .jiffies64: HelperPrototype([]),
            .getCurrentPidTgid: HelperPrototype([]),
            .getCurrentUidGid: HelperPrototype([]),
            .getCurrentComm: HelperPrototype([.newMemory, .size]),
            .getSmpProcessorId: HelperPrototype([], .range(0...4095)),
            .getNumaNodeId: HelperPrototype([], .range(0...0xf_ffff)),
            .getPrandomU32: HelperPrototype([], .range(0...0xffff_ffff)),
            .probeWriteUser: HelperPrototype([.anything, .memory, .size]),
            .getStack: HelperPrototype([.context, .newMemory, .sizeOrZero, .anything], .sizeOrError),
            .getStackid: HelperPrototype([.context, .map([.stackTrace]), .anything]),
            .getFuncIp: HelperPrototype([.context]),
            .getAttachCookie: HelperPrototype([.context]),
            .getFuncArg: HelperPrototype([.context, .anything, .newMemoryOf(8)]),
            .getFuncRet: HelperPrototype([.context, .newMemoryOf(8)]),
            .getFuncArgCnt: HelperPrototype([.context], .range(0...255)),
            .tailCall: HelperPrototype([.context, .map([.progArray]), .anything], .tailCall),
        ]
        for helper: Helper in [.probeRead, .probeReadUser, .probeReadKernel, .copyFromUser] {
            table[helper] = HelperPrototype([.newMemory, .sizeOrZero, .address])
        }
        for helper: Helper in [.probeReadStr, .probeReadUserStr, .probeReadKernelStr] {
            table[helper] = HelperPrototype([.newText, .sizeOrZero, .address], .sizeOrError)
        }
        return table
    }()
}
