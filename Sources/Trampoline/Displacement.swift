import MachineCode

/// Bytes of code and where they are.
package struct CodeRange: Sendable, Hashable {
    package var address: UInt64
    package var bytes: [UInt8]

    package init(address: UInt64, bytes: [UInt8]) {
        self.address = address
        self.bytes = bytes
    }
}

/// What lies between a function and what is before it.
package struct EntryPadding: Sendable, Hashable {
    /// From the last place on where an instruction is known to start: the end of a function, or of a part of one that
    /// unwinders are told of.
    package var bytes: [UInt8]
    /// That function or part.
    package var codeBefore: [UInt8]
    /// The first byte that the function before may not need for its own jump.
    package var firstUsable: Int

    package init(bytes: [UInt8], codeBefore: [UInt8] = [], firstUsable: Int = 0) {
        self.bytes = bytes
        self.codeBefore = codeBefore
        self.firstUsable = firstUsable
    }

    /// So much of it is looked at.
    package static let longest: UInt64 = 64
    /// What a jump needs.
    package static var shortest: UInt64 { UInt64(Architecture.jumpSize) }
}

/// A function whose entry is to become a jump.
package struct DisplacementRequest: Sendable {
    /// The function, as far as its symbol says; of a long one the start is enough, where `loopsFrom` and
    /// `enteredAt` tell of the long branches in the rest.
    package var function: CodeRange
    /// What lies behind it, up to the next symbol; padding there may be overwritten.
    package var following: [UInt8]
    /// Addresses in the function that are entered from elsewhere: other symbols, and what
    /// `CodeScanner` found.
    package var enteredAt: [UInt64]
    /// Where the function jumps back to its own entry by a long branch that `function` does not show.
    package var loopsFrom: UInt64?
    /// Functions close by, whose short branches may reach this one's entry.
    package var neighbours: [CodeRange]
    /// Whether the function begins inside another one, which may run through its first bytes with anything on
    /// the stack, or have an instruction across them.
    package var isInsideAnother: Bool
    /// An address in it that code refers to other than by a branch.
    package var referredTo: UInt64?
    /// The padding right before the function. Where the entry has no room for a long jump that is made there, and the entry
    /// becomes a short one back to it.
    package var padding: EntryPadding?
    /// A call whose caller reads the flags that the function leaves.
    package var flagsReadAt: UInt64?

    package init(
        function: CodeRange, following: [UInt8] = [], enteredAt: [UInt64] = [], loopsFrom: UInt64? = nil,
        neighbours: [CodeRange] = [], isInsideAnother: Bool = false, referredTo: UInt64? = nil,
        flagsReadAt: UInt64? = nil
    ) {
        self.function = function
        self.following = following
        self.enteredAt = enteredAt
        self.loopsFrom = loopsFrom
        self.neighbours = neighbours
        self.isInsideAnother = isInsideAnother
        self.referredTo = referredTo
        self.flagsReadAt = flagsReadAt
    }
}

/// The first instructions of a function, moved elsewhere, and the patch that takes their place.
package struct DisplacedEntry: Sendable, Hashable {
    package var patch: EntryPatch
    /// Bytes of code that hold moved instructions and padding; those behind the patch stay as they are.
    package var displacedCount: Int
    /// The moved instructions and the jump to the rest. Empty when only NOPs were overwritten.
    package var code: [UInt8] = []
    /// How to unwind from `code`; nil when that is empty.
    package var unwind: UnwindEntry?
    /// What stays before the patch signs the return address with, which `code` does again.
    package var returnAddressKey: ReturnAddressKey?

    /// Where `code` must be.
    package var codeAddress: UInt64 { patch.codeAddress }
    /// Where the function's body is entered: `FunctionEntry.relocatedEntry`.
    package var bodyEntry: UInt64 { patch.bodyEntry }
}

/// Why a function's entry cannot become a jump.
package enum DisplacementError: Error, Sendable, Hashable, CustomStringConvertible {
    case empty
    case tooShort(size: Int)
    case branchIntoEntry(from: UInt64?, to: UInt64)
    case loopAtEntry(from: UInt64)
    case callAmongDisplaced(at: UInt64)
    case callOfNextInstruction(at: UInt64)
    case immovable(at: UInt64, name: String)
    case undecodable(at: UInt64)
    case insideAnother
    case readAsData(at: UInt64)
    case leavesFlags(at: UInt64)
    case writesCallersFrame(at: UInt64)
    case tooManyStackWords(Int, limit: Int)
    case outOfReach(from: UInt64, to: UInt64)
    case decoderUnavailable

    /// Whether an entry that needs less room may do.
    package var isForWantOfRoom: Bool {
        switch self {
        case .tooShort, .branchIntoEntry, .callAmongDisplaced, .immovable, .undecodable: true
        default: false
        }
    }

    /// The same reason without its addresses, to count by.
    package var reason: String {
        switch self {
        case .empty: "no code"
        case .tooShort: "too short"
        case .branchIntoEntry: "a branch into the displaced bytes"
        case .loopAtEntry: "a loop to the entry"
        case .callAmongDisplaced: "a call among the displaced instructions"
        case .callOfNextInstruction: "reads its own address with a call"
        case .immovable: "an instruction that cannot move"
        case .undecodable: "unknown instruction"
        case .readAsData: "used as data"
        case .insideAnother: "begins inside another function"
        case .leavesFlags: "leaves flags to its callers"
        case .writesCallersFrame: "works in its caller's frame"
        case .tooManyStackWords: "too many arguments on the stack"
        case .outOfReach: "out of reach"
        case .decoderUnavailable: "no decoder"
        }
    }

    package var description: String {
        switch self {
        case .empty:
            "the symbol has no code"
        case .tooShort(let size):
            "too short: \(size) bytes and no padding behind, a jump takes \(Architecture.jumpSize)"
        case .branchIntoEntry(let from, let to):
            "a branch \(from.map { "at \(Self.hex($0)) " } ?? "from elsewhere ")goes to \(Self.hex(to)), "
                + "among the bytes that the jump would overwrite"
        case .loopAtEntry(let from):
            "the function jumps back to its own entry at \(Self.hex(from)), so a call could not be told from a loop"
        case .callAmongDisplaced(let address):
            "a call at \(Self.hex(address)) would return into the bytes that the jump would overwrite"
        case .callOfNextInstruction(let address):
            "the call at \(Self.hex(address)) reads its own address, which would change"
        case .immovable(let address, let name):
            "the instruction \(name) at \(Self.hex(address)) cannot be moved"
        case .undecodable(let address):
            "the instruction at \(Self.hex(address)) is not known"
        case .readAsData(let address):
            "code reads \(Self.hex(address)) as data or takes its address; the jump would overwrite it"
        case .insideAnother:
            "begins inside another function, which may run through its first bytes"
        case .leavesFlags(let address):
            "its caller looks at the flags behind the call at \(Self.hex(address)), which a trampoline does not keep"
        case .writesCallersFrame(let address):
            "the instruction at \(Self.hex(address)) writes into its caller's frame, which would be the trampoline's copy"
        case .tooManyStackWords(let words, let limit):
            "may take \(words) words of arguments off its caller's stack, and has no prototype; up to \(limit) are copied then"
        case .outOfReach(let from, let to):
            "\(Self.hex(to)) cannot be reached from \(Self.hex(from)), where the entry would be moved; free "
                + "address space within 2 GiB is needed"
        case .decoderUnavailable:
            "the instruction decoder (libcapstone) could not be opened"
        }
    }

    private static func hex(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }
}
