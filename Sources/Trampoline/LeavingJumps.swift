import MachineCode

/// The jumps by which functions of a module may leave to others, found in one pass over its code. As with
/// `CodeScanner`, any bytes that could be such an instruction are taken for one; `isPlausible` tells of a few of them
/// whether they are.
package struct LeavingJumps: Sendable {
    /// An instruction and what it refers to.
    package struct Reference: Sendable, Hashable {
        package var source: UInt64
        package var target: UInt64

        package init(source: UInt64, target: UInt64) {
            self.source = source
            self.target = target
        }
    }

    /// Jumps with a long distance, conditional ones too, out of the function or part of one that they lie in.
    package var direct: [Reference] = []
    /// Jumps to where a slot says.
    package var throughSlots: [Reference] = []
    /// What is loaded of a slot: a jump through a register may follow.
    package var loads: [Reference] = []
    /// Where the address of a function is taken: likewise.
    package var addresses: [Reference] = []

    package init() {}

    /// - Parameters:
    ///   - range: of the function that an address lies in, or of the part of one, or of what is between two.
    ///   - slots: where the addresses of functions are kept.
    ///   - isSlot: whether that is more than a variable.
    ///   - isStart: whether a function starts there.
    package mutating func add(
        _ text: UnsafeRawBufferPointer, base: UInt64, code: Range<UInt64>, slots: Range<UInt64>,
        range: @Sendable (UInt64) -> Range<UInt64>, isSlot: @Sendable (UInt64) -> Bool, isStart: @Sendable (UInt64) -> Bool
    ) {
        // Read only, for as long as this call.
        nonisolated(unsafe) let text = text
        let parts = Parallel.map(0..<(text.count + Self.bytesAtOnce - 1) / Self.bytesAtOnce, chunk: 1) { part in
            let start = part * Self.bytesAtOnce
            var found = LeavingJumps()
            Architecture.scanForLeaving(
                &found, text, base: base, in: start..<min(text.count, start + Self.bytesAtOnce), code: code, slots: slots, range: range,
                isSlot: isSlot, isStart: isStart)
            return found
        }
        for part in parts {
            direct += part.direct
            throughSlots += part.throughSlots
            loads += part.loads
            addresses += part.addresses
        }
    }

    private static let bytesAtOnce = 1 << 20

    /// What the end of a function does, and whether it jumps to where a register says.
    package struct Shape: Sendable {
        package var jumpsThroughRegister = false
        /// What follows runs next.
        package var runsOn = false
        /// There is a return.
        package var returns = false
        /// Where its direct jumps go.
        package var jumps: [UInt64] = []
    }
}
