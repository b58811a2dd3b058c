/// A note: what a linker or compiler wrote down about the file (`Elf64_Nhdr`).
package struct Note: Sendable {
    /// Who defined it, e.g. "GNU".
    package let owner: String
    package let type: UInt32
    package let contents: ByteSlice

    /// `NT_GNU_BUILD_ID`, of the owner "GNU".
    package static let buildID: UInt32 = 3
}

extension ELFFile {
    /// All notes, by the sections or, in a file without them, the segments. A damaged note ends its list.
    package var notes: [Note] {
        // Sections first: a separate debug file keeps the program's segment headers, which point nowhere in it.
        var notes: [Note] = []
        for section in sections where section.type == .note {
            guard let bytes = try? contents(of: section) else { continue }
            Self.append(bytes, alignment: section.alignment, to: &notes)
        }
        guard notes.isEmpty else { return notes }
        for segment in segments where segment.type == .note {
            guard let bytes = try? contents(of: segment) else { continue }
            Self.append(bytes, alignment: segment.alignment, to: &notes)
        }
        return notes
    }

    /// The build id that the linker gave this build (`.note.gnu.build-id`).
    package var buildID: [UInt8]? {
        notes.first { $0.owner == "GNU" && $0.type == Note.buildID && $0.contents.count <= 64 }?.contents.bytes
    }

    /// The separate debug file that `.gnu_debuglink` names, and the CRC-32 of its contents.
    package var debugLink: (name: String, crc: UInt32)? {
        guard let section = section(named: ".gnu_debuglink"), let bytes = try? contents(of: section),
            let length = bytes.withCString(at: 0, { $0.count }), length > 0, let name = bytes.string(at: 0),
            let crc: UInt32 = bytes.load(at: (UInt64(length) + 4) & ~3)
        else { return nil }
        return (name, crc)
    }

    /// The CRC-32 of the whole file, which `debugLink` of the stripped one must give.
    package var checksum: UInt32 {
        let table = (0..<256 as Range<UInt32>).map { byte in
            (0..<8).reduce(byte) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        return bytes.withUnsafeBytes { bytes in
            var crc: UInt32 = .max
            for byte in bytes { crc = crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
            return ~crc
        }
    }

    private static let mostNotes = 65_536

    private static func append(_ bytes: ByteSlice, alignment: UInt64, to notes: inout [Note]) {
        let mask: UInt64 = alignment == 8 ? 7 : 3
        var at: UInt64 = 0
        // Hostile sections may overlap each other, hence the bound on the number.
        while notes.count < mostNotes, let nameSize: UInt32 = bytes.load(at: at),
            let size: UInt32 = bytes.load(at: at + 4), let type: UInt32 = bytes.load(at: at + 8)
        {
            let start = (at + 12 + UInt64(nameSize) + mask) & ~mask
            guard nameSize <= 256, let name = bytes.slice(at: at + 12, count: UInt64(nameSize)),
                let contents = bytes.slice(at: start, count: UInt64(size))
            else { return }
            let owner = String(decoding: name.bytes.prefix { $0 != 0 }, as: UTF8.self)
            notes.append(Note(owner: owner, type: type, contents: contents))
            at = (start + UInt64(size) + mask) & ~mask
        }
    }
}
