import BPF
import TargetRuntime

/// What a helper of a process takes and gives, as its row in `helper_rows.h` of TargetRuntime says.
package struct HelperPrototype: Sendable {
    var arguments: [Argument]
    var result: Result
    /// It calls a function of the program.
    var callsBack: Bool { arguments.contains { if case .function = $0 { true } else { false } } }

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

    static func of(_ id: UInt32) -> HelperPrototype? { table[id] }

    /// All that there are, by number.
    static let table: [UInt32: HelperPrototype] = {
        var table: [UInt32: HelperPrototype] = [:]
        var index = 0
        while let row = fs_helper_row(index)?.pointee {
            index += 1
            table[row.number] = HelperPrototype(row)
        }
        return table
    }()

    /// How many rows Swift knows all words of.
    package static var count: Int { table.count }

    /// Nil for a row with a word that is not known here.
    private init?(_ row: fs_helper_row) {
        guard let result = Result(fs_gives(UInt32(row.gives))) else { return nil }
        let words = withUnsafeBytes(of: row.takes) { $0.map { fs_takes(UInt32($0)) } }.prefix { $0 != FS_TAKES__ }
        arguments = words.compactMap(Argument.init)
        self.result = result
        guard arguments.count == words.count else { return nil }
    }
}

extension HelperPrototype.Argument {
    private static func map(_ traits: MapTraits) -> Self {
        .map(MapType.allCases.filter { $0.traits.isSuperset(of: traits.union(.inProcess)) })
    }

    fileprivate init?(_ word: fs_takes) {
        switch word {
        case FS_TAKES_ANYTHING: self = .anything
        case FS_TAKES_ADDRESS: self = .address
        case FS_TAKES_MAP_OF_VALUES: self = .map(.values)
        case FS_TAKES_MAP_PER_CPU: self = .map([.values, .perCPU])
        case FS_TAKES_MAP_SEQUENCE: self = .map(.sequence)
        case FS_TAKES_MAP_RINGBUF: self = .map([.ringBuffer])
        case FS_TAKES_MAP_PERF: self = .map([.perfEventArray])
        case FS_TAKES_MAP_STACKS: self = .map([.stackTrace])
        case FS_TAKES_MAP_OF_PROGRAMS: self = .map([.progArray])
        case FS_TAKES_KEY: self = .mapKey
        case FS_TAKES_VALUE: self = .mapValue
        case FS_TAKES_NEW_VALUE: self = .newMapValue
        case FS_TAKES_MEMORY: self = .memory
        case FS_TAKES_NEW_MEMORY: self = .newMemory
        case FS_TAKES_NEW_WORD: self = .newMemoryOf(8)
        case FS_TAKES_TEXT: self = .text
        case FS_TAKES_NEW_TEXT: self = .newText
        case FS_TAKES_NEW_TEXT_OR_NULL: self = .newTextOrNull
        case FS_TAKES_WORDS: self = .words
        case FS_TAKES_SIZE: self = .size
        case FS_TAKES_SIZE_OR_ZERO: self = .sizeOrZero
        case FS_TAKES_STRING: self = .string
        case FS_TAKES_CONTEXT: self = .context
        case FS_TAKES_ROUND_FUNCTION: self = .function(.round)
        case FS_TAKES_ELEMENT_FUNCTION: self = .function(.element)
        case FS_TAKES_FUNCTION_CONTEXT: self = .callbackContext
        case FS_TAKES_ALLOCATION_SIZE: self = .allocationSize
        case FS_TAKES_RECORD: self = .record
        default: return nil
        }
    }
}

extension HelperPrototype.Result {
    fileprivate init?(_ word: fs_gives) {
        switch word {
        case FS_GIVES_SCALAR: self = .scalar
        case FS_GIVES_CPU: self = .range(0...4095)
        case FS_GIVES_NODE: self = .range(0...0xf_ffff)
        case FS_GIVES_U32: self = .range(0...0xffff_ffff)
        case FS_GIVES_WORD_COUNT: self = .range(0...255)
        case FS_GIVES_SIZE_OR_ERROR: self = .sizeOrError
        case FS_GIVES_VALUE_OR_NULL: self = .mapValueOrNull
        case FS_GIVES_RECORD_OR_NULL: self = .recordOrNull
        case FS_GIVES_TAIL_CALL: self = .tailCall
        default: return nil
        }
    }
}
