/// A possible branch.
package struct CodeBranch: Sendable, Hashable {
    package var address: UInt64
    package var target: UInt64
    package var isCall: Bool

    package init(address: UInt64, target: UInt64, isCall: Bool) {
        self.address = address
        self.target = target
        self.isCall = isCall
    }
}

/// A possible use of an address other than by a branch.
package struct CodeReference: Sendable, Hashable {
    package var target: UInt64
    /// What stands there is read; else only its address is taken.
    package var isLoad: Bool

    package init(target: UInt64, isLoad: Bool) {
        self.target = target
        self.isLoad = isLoad
    }
}

/// A table that a function may jump through.
package struct JumpTable: Sendable, Hashable {
    package var address: UInt64
    /// Of addresses, else of distances from the table.
    package var isAbsolute: Bool

    package init(address: UInt64, isAbsolute: Bool) {
        self.address = address
        self.isAbsolute = isAbsolute
    }

    /// Bytes.
    var entrySize: Int { isAbsolute ? 8 : 4 }
}

/// How the code of an architecture is read where nobody knows, or not yet, where its instructions start.
package protocol CodeScanner {
    /// Every branch with a long distance that starts within `offsets`, and some that are none.
    static func forEachBranch(_ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeBranch) -> Void)

    /// Every instruction within `offsets` that refers to an address other than by a branch, and some that do not.
    static func forEachReference(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeReference) -> Void)

    /// The branches of `hits` that may be instructions.
    static func plausible(_ hits: [CodeBranch], in text: UnsafeRawBufferPointer, base: UInt64) -> [CodeBranch]

    /// Whether the instruction behind a call reads flags that the function left.
    static func readsFlags(_ text: UnsafeRawBufferPointer, behind call: CodeBranch, base: UInt64) -> Bool

    /// Whether any bytes of `text` could be a branch with a short distance into `targets`.
    static func mayBranchShort(_ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>) -> Bool

    /// The branches with a short distance that go into `interior`, but for those in the ranges `known`, which
    /// are decoded from their starts instead.
    static func shortBranches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interior: Range<UInt64>, except known: [Range<UInt64>]
    ) -> [CodeBranch]

    /// Where jumps through a register or a table may be in `text`, by ascending address.
    static func tableJumps(in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64]

    /// The tables that a function may jump through, or what looks like some.
    static func tables(in text: UnsafeRawBufferPointer, base: UInt64, of function: Range<UInt64>) -> [JumpTable]

    /// Adds what is within `offsets`; the parameters are those of `LeavingJumps.add`.
    static func scanForLeaving(
        _ found: inout LeavingJumps, _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, code: Range<UInt64>,
        slots: Range<UInt64>, range: (UInt64) -> Range<UInt64>, isSlot: (UInt64) -> Bool, isStart: (UInt64) -> Bool)

    /// Whether an instruction may have its opcode at an address of `text`.
    static func isPlausible(_ address: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> Bool

    /// The jumps with a short distance to `target`.
    static func shortJumps(to target: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64]

    /// Whether an instruction starts there when the function is read from its start, as far as it can be read.
    static func isInstruction(
        _ address: UInt64, of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64
    ) -> Bool

    /// Reads a function from its start to its end.
    static func shape(of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64) -> LeavingJumps.Shape
}
