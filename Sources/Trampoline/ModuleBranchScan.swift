import Search

/// Looks for direct branches without knowing where instructions start: any four bytes behind a byte that
/// could be a branch's opcode are taken as its distance. It finds every long branch, and once in a long while
/// one that is none.
package enum ModuleBranchScan {
    /// A possible branch with a 32-bit distance.
    package struct Branch: Sendable, Hashable {
        package var address: UInt64
        package var target: UInt64
        package var isCall: Bool

        package init(address: UInt64, target: UInt64, isCall: Bool) {
            self.address = address
            self.target = target
            self.isCall = isCall
        }
    }

    /// The branches in a module's text that go into one of `interiors`, in the order of the text, each with
    /// the index of the interior that it goes to.
    /// - `interiors`: sorted, not overlapping.
    package static func branches(
        in text: UnsafeRawBufferPointer, base: UInt64, into interiors: [Range<UInt64>]
    ) -> [(interior: Int, branch: Branch)] {
        guard let first = interiors.first, let last = interiors.last else { return [] }
        let all = first.lowerBound..<max(first.upperBound, last.upperBound)
        var hits: [(interior: Int, branch: Branch)] = []
        scan(text, base: base, in: 0..<text.count) { branch in
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
    ) -> [Branch] {
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
            scan(text, base: base, in: 0..<text.count) { found = found || targets.contains($0.target) }
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
    ) -> [Branch] {
        var hits: [Branch] = []
        scanShort(text, base: base, into: interior) { hits.append($0) }
        return hits
    }

    @inline(__always)
    private static func scanShort(
        _ text: UnsafeRawBufferPointer, base: UInt64, into targets: Range<UInt64>, _ visit: (Branch) -> Void
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
            if targets.contains(target) { visit(Branch(address: address, target: target, isCall: false)) }
        }
    }

    /// The branches of `hits` that may be instructions.
    static func plausible(_ hits: [Branch], in text: UnsafeRawBufferPointer, base: UInt64) -> [Branch] {
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
    static func branches(in text: UnsafeRawBufferPointer, base: UInt64, from offset: Int) -> [Branch] {
        var found: [Branch] = []
        scan(text, base: base, in: max(0, offset)..<max(0, offset, text.count)) { found.append($0) }
        return found
    }

    /// Every possible branch that starts within `offsets`.
    @inline(__always)
    static func scan(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (Branch) -> Void
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
                visit(Branch(address: address, target: target, isCall: byte == 0xE8))
            }
            offset += 1
        }
    }
}
