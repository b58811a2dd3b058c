import MachineCode
import Search

/// Looks for direct branches without knowing where instructions start: any four bytes behind a byte that
/// could be a branch's opcode are taken as its distance. It finds every long branch, and once in a long while
/// one that is none.
extension X86_64 {
    /// The branches in a module's text that go into one of `interiors`, in the order of the text, each with
    /// the index of the interior that it goes to.
    /// - `interiors`: sorted, not overlapping.
    package static func branches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interiors: [Range<UInt64>]
    ) -> [(interior: Int, branch: CodeBranch)] {
        guard let first = interiors.first, let last = interiors.last else { return [] }
        let all = first.lowerBound..<max(first.upperBound, last.upperBound)
        var hits: [(interior: Int, branch: CodeBranch)] = []
        forEachBranch(text, base: base, in: 0..<text.count) { branch in
            guard all.contains(branch.target) else { return }
            let index = interiors.partitioningIndex { $0.upperBound > branch.target }
            if index < interiors.count, interiors[index].contains(branch.target) { hits.append((index, branch)) }
        }
        if hits.isEmpty { return [] }
        guard let decoder = X86_64Decoder() else { return hits }
        return hits.filter { mayStartInstruction(at: Int($0.branch.address - base), of: text, decoder) }
    }

    /// The branches with an 8-bit distance that go into `interior`, but for those in the ranges `known`, which
    /// are decoded from their starts instead. They lie within 130 bytes; code without symbols is full of them.
    package static func shortBranches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interior: Range<UInt64>, except known: [Range<UInt64>]
    ) -> [CodeBranch] {
        let hits = possibleShortBranches(in: text, base: base, into: interior).filter { hit in
            !known.contains { $0.contains(hit.address) }
        }
        return plausible(hits, in: text, base: base)
    }

    /// Whether any bytes of `text` could be a branch into `targets`. If not, it need not be decoded.
    static func mayBranch(_ text: [UInt8], base: UInt64, into targets: Range<UInt64>) -> Bool {
        text.withUnsafeBytes { text in
            if mayBranchShort(text, base: base, into: targets) { return true }
            var found = false
            forEachBranch(text, base: base, in: 0..<text.count) { found = found || targets.contains($0.target) }
            return found
        }
    }

    /// Whether any bytes of `text` could be a branch with an 8-bit distance into `targets`.
    package static func mayBranchShort(
        _ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>
    ) -> Bool {
        var found = false
        scanShort(text, base: base, into: targets) { _ in found = true }
        return found
    }

    private static func possibleShortBranches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interior: Range<UInt64>
    ) -> [CodeBranch] {
        var hits: [CodeBranch] = []
        scanShort(text, base: base, into: interior) { hits.append($0) }
        return hits
    }

    @inline(__always)
    private static func scanShort(
        _ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>, _ visit: (CodeBranch) -> Void
    ) {
        let end = Int(truncatingIfNeeded: targets.upperBound &- base)
        guard abs(end) < 1 << 40 else { return }
        let first = max(0, end - targets.count - 130)
        let last = min(text.count - 2, end + 130)
        guard first <= last else { return }
        for offset in first...last {
            let byte = text[offset]
            // jcc, jmp, loop and jrcxz
            guard byte & 0xF0 == 0x70 || byte == 0xEB || byte & 0xFC == 0xE0 else { continue }
            let address = base + UInt64(offset)
            let distance = Int64(Int8(bitPattern: text[offset + 1]))
            let target = address &+ 2 &+ UInt64(bitPattern: distance)
            if targets.contains(target) { visit(CodeBranch(address: address, target: target, isCall: false)) }
        }
    }

    /// The branches of `hits` that may be instructions.
    package static func plausible(_ hits: [CodeBranch], in text: UnsafeRawBufferPointer, base: UInt64) -> [CodeBranch] {
        if hits.isEmpty { return [] }
        guard let decoder = X86_64Decoder() else { return hits }
        return hits.filter { mayStartInstruction(at: Int($0.address - base), of: text, decoder) }
    }

    /// Whether an instruction may start at an offset. Decoding falls into step with the real instructions
    /// after a few of them, wherever it begins: an offset that is left out by all of many beginnings before
    /// it is inside an instruction. (One in 100,000 bytes looks like a branch into some function's first
    /// bytes by chance.)
    private static func mayStartInstruction(
        at offset: Int, of text: UnsafeRawBufferPointer, _ decoder: borrowing X86_64Decoder
    ) -> Bool {
        let start = offset - 64
        guard start >= 0 else { return true }
        let window = UnsafeRawBufferPointer(rebasing: text[start..<min(text.count, offset + 15)])
        let reader = X86_64InstructionReader(window)
        var reached = [Bool](repeating: false, count: 65)
        for beginning in 0..<32 { reached[beginning] = true }
        for position in 0..<64 where reached[position] {
            // What is no instruction is passed over byte by byte.
            let size = reader.size(at: position) ?? decoder.decode(Array(window), at: position, address: 0)?.size ?? 1
            if position + size <= 64 { reached[position + size] = true }
        }
        return reached[64]
    }

    /// Every possible branch from an offset on.
    static func branches(in text: UnsafeRawBufferPointer, base: UInt64, from offset: Int) -> [CodeBranch] {
        var found: [CodeBranch] = []
        forEachBranch(text, base: base, in: max(0, offset)..<max(0, offset, text.count)) { found.append($0) }
        return found
    }

    /// Every possible branch that starts within `offsets`.
    @inline(__always)
    package static func forEachBranch(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeBranch) -> Void
    ) {
        var offset = offsets.lowerBound
        let end = min(offsets.upperBound, text.count - 4)
        while offset < end {
            let byte = text[offset]
            var size = 0
            if byte & 0xFE == 0xE8 {
                size = 5  // call, jmp
            } else if byte == 0x0F, text[offset + 1] & 0xF0 == 0x80, offset + 6 <= text.count {
                size = 6  // jcc
            }
            if size != 0 {
                let distance = text.loadUnaligned(fromByteOffset: offset + size - 4, as: Int32.self)
                let address = base &+ UInt64(offset)
                let target = address &+ UInt64(size) &+ UInt64(bitPattern: Int64(distance.littleEndian))
                visit(CodeBranch(address: address, target: target, isCall: byte == 0xE8))
            }
            offset += 1
        }
    }

    /// Whether the instruction behind a call reads flags: jcc, setcc, cmovcc, adc, sbb.
    @inline(__always)
    package static func readsFlags(_ text: UnsafeRawBufferPointer, behind call: CodeBranch, base: UInt64) -> Bool {
        let offset = Int(call.address &- base) + 5
        guard offset + 4 <= text.count else { return false }
        let first = text[offset]
        if first & 0xF0 == 0x70 { return true }
        let isExtended = first & 0xF0 == 0x40
        let opcode = isExtended ? text[offset + 1] : first
        if opcode == 0x0F {
            let second = text[offset + (isExtended ? 2 : 1)]
            return second & 0xF0 == 0x40 || second & 0xE0 == 0x80
        }
        if opcode & 0xFC == 0x80 {
            // adc and sbb of a constant
            return text[offset + (isExtended ? 2 : 1)] & 0x30 == 0x10
        }
        return opcode & 0xF7 < 0x16 && opcode & 0xF0 == 0x10
    }
}
