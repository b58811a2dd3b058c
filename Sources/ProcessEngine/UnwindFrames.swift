import Trampoline

/// What a linker would have put into `.eh_frame_hdr` and `.eh_frame` of our code: for unwinders that want to see a module.
///
///     version, encodings │ where .eh_frame is │ count │ (start, description)… sorted │ CIE │ FDE… │ end
struct UnwindFrames {
    private let entries: ArraySlice<UnwindEntry>
    /// Where each one's description is, from the start of the whole.
    private let offsets: [Int]
    private let cie: [UInt8]
    /// `.eh_frame_hdr` alone, and all of it.
    let headerSize: Int
    let size: Int

    /// - Parameter entries: sorted, not empty.
    init(_ entries: ArraySlice<UnwindEntry>) {
        self.entries = entries
        // All descriptions begin with the same CIE.
        cie = entries.first.map { Array($0.description.bytes[..<$0.description.offset]) } ?? []
        headerSize = (12 + entries.count * 8).roundedUp(to: 8)
        var offset = headerSize + cie.count
        var offsets: [Int] = []
        offsets.reserveCapacity(entries.count)
        for entry in entries {
            offsets.append(offset)
            offset += entry.description.bytes.count - entry.description.offset
        }
        self.offsets = offsets
        size = offset + 8
    }

    /// For its place, which reaches all of the code by 32 bits.
    func bytes(at address: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes.reserveCapacity(size)
        // Version 1; distances from here, counts of 32 bits, distances from the header.
        writer.bytes += [1, 0x1B, 0x03, 0x3B]
        writer.append(UInt32(headerSize - 4))
        writer.append(UInt32(entries.count))
        for (entry, offset) in zip(entries, offsets) {
            writer.append(UInt32(truncatingIfNeeded: entry.start &- address))
            writer.append(UInt32(offset))
        }
        writer.pad(to: headerSize)
        writer.bytes += cie
        for (entry, offset) in zip(entries, offsets) {
            // Length, the way back to the CIE, start, size; then as it is.
            writer.bytes += entry.description.bytes[entry.description.offset..<entry.description.offset + 4]
            writer.append(UInt32(offset + 4 - headerSize))
            writer.append(entry.start)
            writer.append(entry.end - entry.start)
            writer.bytes += entry.description.bytes[(entry.description.offset + 24)...]
        }
        writer.append(UInt64(0))
        return writer.bytes
    }
}
