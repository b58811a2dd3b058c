import MachineCode

/// What is written at a function's entry while it is traced, what must stand there before, and where threads go on that stand
/// in it. All that is known of an entry's bytes is known here: who patches only compares, writes and moves what this says.
package struct EntryPatch: Sendable, Hashable {
    /// An instruction that was moved: where it was, where it is now.
    package struct Place: Sendable, Hashable {
        package var original: UInt64
        package var moved: UInt64
    }

    /// The function's address.
    package let function: UInt64
    /// Where it is written: at the function's address, behind a landing pad, or in the padding before it.
    package let address: UInt64
    /// What it overwrites: a jump's bytes, or more where it begins in the padding.
    package let original: ShortBytes
    /// What is behind its jump: the rest of the padding, the function's landing pad, if it has one, and the jump back.
    package let tail: ShortBytes
    /// How many bytes of instructions it overwrites.
    private let entrySize: UInt64
    /// Where the moved instructions are.
    let codeAddress: UInt64
    /// Where the function's body is entered: there, or behind NOPs that were overwritten.
    var bodyEntry: UInt64
    private var moves: [Move] = []

    /// A place by its distances from the function's address and from `bodyEntry`.
    private struct Move: Sendable, Hashable {
        var original: Int16
        var moved: Int16
        var isExtra: Bool
    }

    init(
        function: UInt64, address: UInt64, original: ShortBytes, tail: ShortBytes, entrySize: UInt64, codeAddress: UInt64,
        bodyEntry: UInt64
    ) {
        self.function = function
        self.address = address
        self.original = original
        self.tail = tail
        self.entrySize = entrySize
        self.codeAddress = codeAddress
        self.bodyEntry = bodyEntry
    }

    // MARK: - Bytes

    /// The bytes that lead to an image; nil if no jump reaches it.
    package func bytes(to image: UInt64) -> ShortBytes? {
        Architecture.jump(from: address, to: image).map { $0 + tail }
    }

    /// The image that bytes at the entry lead to, if they are this patch's; any image.
    package func image(of bytes: ShortBytes) -> UInt64? {
        guard bytes.count == original.count, bytes.dropFirst(Architecture.jumpSize).elementsEqual(tail) else { return nil }
        return Architecture.jumpTarget(of: bytes, at: address)
    }

    /// The bytes of instructions that it overwrites.
    package var overwritten: Range<UInt64> {
        let end = address + UInt64(original.count)
        return end - entrySize..<end
    }

    // MARK: - Threads

    /// Where nobody may go on once it is written: at the very entry one may.
    package var interior: Range<UInt64> { overwritten.lowerBound + 1..<overwritten.upperBound }

    /// Where a thread that stands at `address` goes on once it is written; nil when no instruction was there, or the thread may stay.
    package func placeWhenPatched(_ address: UInt64) -> UInt64? {
        interior.contains(address) ? places.first { $0.original == address }?.moved : nil
    }

    /// Where a thread that stands at `address` in the moved code goes on once the function has its bytes again.
    package func placeWhenRestored(_ address: UInt64) -> UInt64? {
        // No entry takes more.
        guard bodyEntry == codeAddress, address >= codeAddress, address - codeAddress < 4096 else { return nil }
        return (places.last { $0.moved == address } ?? extraPlaces.first { $0.moved == address })?.original
    }

    /// Where a thread between the two jumps of an entry stands, and where it goes on once its place is padding again; nil where
    /// there is one jump.
    package var betweenJumps: (patched: UInt64, original: UInt64)? { address < function ? (address, function) : nil }

    // MARK: - Moved instructions

    mutating func setPlaces(_ places: [Place], extra: [Place] = []) {
        func move(_ place: Place, isExtra: Bool) -> Move {
            Move(
                original: Int16(Int64(bitPattern: place.original &- function)),
                moved: Int16(Int64(bitPattern: place.moved &- bodyEntry)), isExtra: isExtra)
        }
        moves = places.map { move($0, isExtra: false) } + extra.map { move($0, isExtra: true) }
    }

    /// The same instructions at the same distances as another entry's.
    mutating func setPlaces(as other: EntryPatch) { moves = other.moves }

    private func places(extra: Bool) -> [Place] {
        moves.filter { $0.isExtra == extra }.map {
            Place(
                original: function &+ UInt64(bitPattern: Int64($0.original)),
                moved: bodyEntry &+ UInt64(bitPattern: Int64($0.moved)))
        }
    }

    /// Every moved instruction in order. Several originals share a place where NOPs were dropped.
    package var places: [Place] { places(extra: false) }
    /// Moved instructions that have no single original, each with the original address that a thread there goes on at.
    package var extraPlaces: [Place] { places(extra: true) }
}

/// The patch of an fsession that is gone, as far as its record tells.
package struct LeftPatch: Sendable {
    package let address: UInt64
    /// What it overwrote.
    package let original: ShortBytes

    /// Nil for bytes that no patch overwrites.
    package init?(at address: UInt64, original: ShortBytes) {
        guard original.count >= Architecture.jumpSize else { return nil }
        self.address = address
        self.original = original
    }

    /// Where what stands there now leads, if it is a patch. `read` gives so many bytes from there on.
    package func image(read: (Int) -> [UInt8]?) -> UInt64? {
        read(Architecture.jumpSize).flatMap { Architecture.jumpTarget(of: ShortBytes($0), at: address) }
    }

    /// As of `EntryPatch`: where a thread goes on that cannot stay where it stands.
    package var betweenJumps: (patched: UInt64, original: UInt64)? {
        Architecture.place(in: CodeRange(address: address, bytes: Array(original)))
    }
}
