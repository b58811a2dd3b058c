import MachineCode

/// Looks for instructions that use the first bytes of a function for something else than to call it: `lea` of an
/// address behind the first byte, which a jump through a register may go to, and `mov` from any of the bytes,
/// which are data then. As with branches, any bytes that could be such an instruction are taken for one.
extension X86_64 {
    private static let lea: UInt8 = 0x8D
    private static let load: UInt8 = 0x8B

    /// Every possible reference in `text` that starts within `offsets`.
    @inline(__always)
    package static func forEachReference(
        _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, _ visit: (CodeReference) -> Void
    ) {
        let end = min(offsets.upperBound, text.count - 5)
        guard offsets.lowerBound < end else { return }
        for offset in offsets.lowerBound..<end {
            // A memory operand that is relative to rip.
            guard text[offset + 1] & 0xC7 == 0x05, text[offset] == lea || text[offset] == load else { continue }
            let distance = text.loadUnaligned(fromByteOffset: offset + 2, as: Int32.self)
            let target = base &+ UInt64(offset + 6) &+ UInt64(bitPattern: Int64(distance.littleEndian))
            visit(CodeReference(target: target, isLoad: text[offset] == load))
        }
    }
}
