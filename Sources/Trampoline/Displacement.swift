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

/// The first instructions of a function, moved elsewhere.
package struct DisplacedEntry: Sendable, Hashable {
    /// An instruction that was moved: where it was, where it is now.
    package struct Place: Sendable, Hashable {
        package var original: UInt64
        package var moved: UInt64
    }

    /// The function's address.
    package var address: UInt64
    /// Where the jump is written: at the function's address, behind a landing pad, or in the padding before it.
    package var patchAddress: UInt64
    /// What the patch overwrites: a jump's bytes, or more where it begins in the padding.
    package var originalBytes: ShortBytes
    /// The patch behind its jump: the rest of the padding, the function's landing pad, if it has one, and the
    /// jump back.
    package var patchTail: ShortBytes = []
    /// The bytes of code that the patch overwrites.
    package var overwritten: Range<UInt64> { patchAddress + UInt64(originalBytes.count) - entrySize..<patchAddress + UInt64(originalBytes.count) }
    /// How many those are.
    package var entrySize: UInt64
    /// Bytes of code that hold moved instructions and padding; those behind the patch stay as they are.
    package var displacedCount: Int
    /// The moved instructions and the jump to the rest. Empty when only NOPs were overwritten.
    package var code: [UInt8]
    /// Where `code` must be.
    package var codeAddress: UInt64
    /// Where the function's body is entered: `FunctionEntry.relocatedEntry`.
    package var bodyEntry: UInt64
    /// How to unwind from `code`; nil when that is empty.
    package var unwind: UnwindEntry?
    private var moves: [Move] = []

    /// A place by its distances from the function's address and from `bodyEntry`.
    private struct Move: Sendable, Hashable {
        var original: Int16
        var moved: Int16
        var isExtra: Bool
    }

    init(
        address: UInt64, patchAddress: UInt64, originalBytes: ShortBytes, patchTail: ShortBytes, entrySize: UInt64,
        displacedCount: Int, codeAddress: UInt64, bodyEntry: UInt64
    ) {
        self.address = address
        self.patchAddress = patchAddress
        self.originalBytes = originalBytes
        self.patchTail = patchTail
        self.entrySize = entrySize
        self.displacedCount = displacedCount
        code = []
        self.codeAddress = codeAddress
        self.bodyEntry = bodyEntry
    }

    mutating func setPlaces(_ places: [Place], extra: [Place] = []) {
        func move(_ place: Place, isExtra: Bool) -> Move {
            Move(
                original: Int16(Int64(bitPattern: place.original &- address)),
                moved: Int16(Int64(bitPattern: place.moved &- bodyEntry)), isExtra: isExtra)
        }
        moves = places.map { move($0, isExtra: false) } + extra.map { move($0, isExtra: true) }
    }

    /// The same instructions at the same distances as another entry's.
    mutating func setPlaces(as other: DisplacedEntry) { moves = other.moves }

    private func places(extra: Bool) -> [Place] {
        moves.filter { $0.isExtra == extra }.map {
            Place(
                original: address &+ UInt64(bitPattern: Int64($0.original)),
                moved: bodyEntry &+ UInt64(bitPattern: Int64($0.moved)))
        }
    }

    /// Every moved instruction in order. Several originals share a place where NOPs were dropped.
    package var places: [Place] { places(extra: false) }
    /// Instructions in `code` that have no single original, each with the original address that a thread
    /// there goes on at.
    package var extraPlaces: [Place] { places(extra: true) }

    /// Where a thread that stands at `address` in the function goes on once the jump is there; nil when it
    /// may stay, as one at the very entry may.
    package func moved(_ address: UInt64) -> UInt64? {
        guard address > overwritten.lowerBound, address < overwritten.upperBound else { return nil }
        return places.first { $0.original == address }?.moved
    }

    /// Where a thread that stands at `address` in `code` goes on once the function has its bytes again.
    package func original(of address: UInt64) -> UInt64? {
        // No entry takes more.
        guard bodyEntry == codeAddress, address >= codeAddress, address - codeAddress < 4096 else { return nil }
        return (places.last { $0.moved == address } ?? extraPlaces.first { $0.moved == address })?.original
    }
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
            "too short: \(size) bytes and no padding behind, a jump takes 5"
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
