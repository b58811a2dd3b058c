import ELF

/// Compressed debug sections (`SHF_COMPRESSED`, and `.zdebug_…` before): what they become in memory, before they do.
enum CompressedSections {
    /// Whatever it is compressed from.
    private static let alwaysTaken = 64 << 20
    /// DWARF gets three to six times smaller.
    private static let largestRatio = 24
    private static let most = 2 << 30

    static func areIn(_ file: ELFFile) -> Bool { file.sections.contains(where: isCompressed) }

    /// Why a file's sections are not decompressed; nil for a usual file.
    static func refusal(of file: ELFFile) -> String? {
        var total = 0
        var compressed = 0
        for section in file.sections where isCompressed(section) {
            total += size(of: section, in: file)
            compressed += Int(clamping: min(section.size, UInt64(file.memory.count)))
            if total > most { break }
        }
        guard total > alwaysTaken, total > most || total / largestRatio > compressed else { return nil }
        return "its compressed sections would become \(total >> 20) MiB"
    }

    /// The bytes of a section in memory, 4 GiB at most.
    static func size(of section: Section, in file: ELFFile) -> Int {
        guard let bytes = try? file.bytes(of: section) else { return 0 }
        guard isCompressed(section) else { return bytes.count }
        let size: UInt64? =
            section.flags.contains(.compressed)
            ? bytes.load(at: 8) : bytes.load(UInt64.self, at: 4).map { $0.byteSwapped }
        return Int(min(size ?? 0, 4 << 30))
    }

    private static func isCompressed(_ section: Section) -> Bool {
        section.type != .noBits && (section.flags.contains(.compressed) || section.name.hasPrefix(".zdebug"))
    }
}
