import MachineCode

/// Which bytes of code may be overwritten.
///
/// **The rule.** A byte may be overwritten only if execution reaches it through the entry alone, or if the bytes around it
/// decode, from every place where execution can come from (falling through from before included), to what they did before.
///
/// What follows from it, and where it is looked after:
/// - *The bytes behind the first of a jump at the entry* are reached through the entry alone when nothing branches to them
///   (`EntryBranches` for branches of 32 bits, jump tables, labels and pointers; `ModuleBranchScan` for branches of 8 bits), nothing
///   refers to them (`ModuleReferenceScan`), no call among them returns to them, no other function holds them
///   (`DisplacementRequest.isInsideAnother`), and none starts among them. `EntryAnalysis` decides.
/// - *The first byte of a jump* may be reached from anywhere: whoever falls or branches to a function's entry enters the
///   function, as a call does that leaves to it by a jump. Only the function's own loops must not: each round would be a call.
/// - *Padding before the entry* is not the function's: code before may run through it. A jump may take the place of a whole
///   instruction there that does nothing, and from which nothing else leads but to the entry: who runs through it enters the
///   function, through this jump instead of the one at the entry. Nobody stands or arrives in the middle of it. Where
///   instructions start is known by decoding from the end of what lies before, never by looking backwards: the last five
///   bytes of `66 0F 1F 44 00 00` look like a NOP, and are none; and some processors take `66 E9` for a jump of 16 bits.
/// - *`int3` before the entry* may be overwritten where what lies before it ends in an instruction behind which nothing
///   runs: it stops who reaches it, a jump would not.
extension X86_64 {
    /// How many bytes before the entry a jump may begin; nil: there is no room for one.
    /// - `tail`: bytes of the entry that the patch goes on with.
    static func jumpDistance(in padding: EntryPadding, tail: Int, _ decoder: borrowing X86_64Decoder) -> Int? {
        let bytes = padding.bytes
        var place: Int?
        var offset = 0
        while offset < bytes.count {
            if bytes[offset] == int3 { return distance(inStops: padding, from: offset, tail: tail, decoder) }
            guard let instruction = decoder.decode(bytes, at: offset, address: 0), instruction.kind == .nop,
                offset + instruction.size <= bytes.count
            else { return nil }
            let distance = bytes.count - offset
            if instruction.size >= jumpSize, offset >= padding.firstUsable, distance + tail <= ShortBytes.capacity {
                place = distance
            }
            offset += instruction.size
        }
        return place
    }

    /// The same where the rest of the padding is `int3`.
    private static func distance(
        inStops padding: EntryPadding, from offset: Int, tail: Int, _ decoder: borrowing X86_64Decoder
    ) -> Int? {
        let bytes = padding.bytes
        let start = bytes.count - jumpSize
        guard start >= max(offset, padding.firstUsable), bytes[offset...].allSatisfy({ $0 == int3 }),
            !mayRunOn(behind: padding.codeBefore, decoder)
        else { return nil }
        return jumpSize
    }

    private static let int3: UInt8 = 0xCC

    /// Whether execution may leave code at its end, as far as decoding tells.
    private static func mayRunOn(behind code: [UInt8], _ decoder: borrowing X86_64Decoder) -> Bool {
        var offset = 0
        var ends = false
        while offset < code.count {
            guard let instruction = decoder.decode(code, at: offset, address: 0) else { return true }
            // ud2 ends it, too.
            ends = instruction.endsFlow || code[offset...].starts(with: [0x0F, 0x0B])
            offset += instruction.size
        }
        return offset != code.count || !ends
    }
}
