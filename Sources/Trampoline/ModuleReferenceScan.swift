/// Looks for instructions that use the first bytes of a function for something else than to call it: `lea` of an
/// address behind the first byte, which a jump through a register may go to, and `mov` from any of the bytes,
/// which are data then. As with `ModuleBranchScan`, any bytes that could be such an instruction are taken for one.
package enum ModuleReferenceScan {
    private static let lea: UInt8 = 0x8D
    private static let load: UInt8 = 0x8B

    /// The references from `text` to `interiors`, each with the index of the interior.
    /// - `interiors`: sorted, not overlapping; the bytes behind the first of each function's jump.
    package static func references(
        in text: UnsafeRawBufferPointer, base: UInt64, into interiors: [Range<UInt64>]
    ) -> [(interior: Int, target: UInt64)] {
        guard let first = interiors.first, let last = interiors.last, text.count >= 6 else { return [] }
        let all = first.lowerBound - 1..<max(first.upperBound, last.upperBound)
        var found: [(interior: Int, target: UInt64)] = []
        for offset in 0...text.count - 6 {
            // A memory operand that is relative to rip.
            guard text[offset + 1] & 0xC7 == 0x05, text[offset] == lea || text[offset] == load else { continue }
            let distance = text.loadUnaligned(fromByteOffset: offset + 2, as: Int32.self)
            let target = base &+ UInt64(offset + 6) &+ UInt64(bitPattern: Int64(distance.littleEndian))
            guard all.contains(target) else { continue }
            var low = 0
            var high = interiors.count
            while low < high {
                let middle = (low + high) / 2
                if interiors[middle].upperBound <= target { low = middle + 1 } else { high = middle }
            }
            guard low < interiors.count else { continue }
            // The address of the first byte is a pointer to the function.
            let start = text[offset] == load ? interiors[low].lowerBound - 1 : interiors[low].lowerBound
            if target >= start { found.append((low, target)) }
        }
        return found
    }
}
