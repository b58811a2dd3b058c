import MachineCode

/// Instructions have four bytes each and are aligned: what looks like a branch is one, or data among the code.
extension ARM64 {
    package static func forEachBranch(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeBranch) -> Void
    ) {
        let code = ARM64Code(bytes: text, base: base)
        for offset in code.starts(in: offsets) where code.word(at: offset) >> 26 & 7 == 0b101 {
            let instruction = code.instruction(at: offset)
            guard let target = instruction.target else { continue }
            visit(CodeBranch(address: base &+ UInt64(offset), target: target, isCall: instruction.kind == .call))
        }
    }

    /// An address is often made of two instructions: so many behind an `adrp` are looked at for the other one.
    private static let pairDistance = 4

    package static func forEachReference(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeReference) -> Void
    ) {
        let code = ARM64Code(bytes: text, base: base)
        for offset in code.starts(in: offsets) {
            let instruction = code.instruction(at: offset)
            guard let target = instruction.target else { continue }
            switch instruction.kind {
            case .load: visit(CodeReference(target: target, isLoad: true))
            case .address(_, isPage: false): visit(CodeReference(target: target, isLoad: false))
            case .address(let register, isPage: true):
                let behind = offset + 4..<min(text.count, offset + 4 + 4 * pairDistance)
                guard behind.lowerBound < behind.upperBound else { continue }
                for next in code.starts(in: behind) {
                    guard let (low, isLoad) = lowPart(code.word(at: next), of: register) else { continue }
                    visit(CodeReference(target: target &+ low, isLoad: isLoad))
                }
            default: break
            }
        }
    }

    /// What an `add`, or a load, adds to a register that holds a page's address.
    private static func lowPart(_ word: UInt32, of register: UInt32) -> (UInt64, isLoad: Bool)? {
        guard word >> 5 & 31 == register else { return nil }
        let constant = UInt64(word >> 10 & 0xfff)
        if word & 0xffc0_0000 == 0x9100_0000 { return (constant, false) }
        // Of general registers, with a sign or without one.
        if word & 0x3f00_0000 == 0x3900_0000, word & 0x00c0_0000 != 0 { return (constant << UInt64(word >> 30), true) }
        return nil
    }

    package static func plausible(_ hits: [CodeBranch], in text: UnsafeRawBufferPointer, base: UInt64) -> [CodeBranch] { hits }

    /// Whether the instruction behind a call reads flags: `b.cond`, `csel`, `ccmp`, `adc`, and what is like them.
    package static func readsFlags(_ text: UnsafeRawBufferPointer, behind call: CodeBranch, base: UInt64) -> Bool {
        let offset = Int(truncatingIfNeeded: call.address &- base &+ 4)
        guard offset >= 0, offset + 4 <= text.count else { return false }
        let word = ARM64Code(bytes: text, base: base).word(at: offset)
        if word & 0xff00_0000 == 0x5400_0000 || word & 0xffff_ffe0 == 0xd53b_4200 { return true }  // mrs of the flags
        if word & 0x1f20_0000 == 0x1a00_0000 { return word >> 21 & 7 != 6 }
        return word & 0xff20_0400 == 0x1e20_0400  // fccmp, fcsel
    }

    /// There are no branches but those that `forEachBranch` finds.
    package static func mayBranchShort(_ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>) -> Bool { false }

    package static func shortBranches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interior: Range<UInt64>, except known: [Range<UInt64>]
    ) -> [CodeBranch] { [] }

    package static func shortJumps(to target: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] { [] }

    package static func isPlausible(_ address: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> Bool {
        address % 4 == 0 && address >= base && address - base < UInt64(text.count)
    }

    package static func isInstruction(
        _ address: UInt64, of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64
    ) -> Bool { function.contains(address) && isPlausible(address, in: text, base: base) }
}
