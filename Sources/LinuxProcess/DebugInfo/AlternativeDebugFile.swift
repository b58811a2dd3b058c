import ELF

/// The file that dwz has moved what several debug files have in common to.
enum AlternativeDebugFile {
    /// `.gnu_debugaltlink`: a path and a build id.
    struct Link {
        var path: String
        var buildID: [UInt8]

        init?(_ file: ELFFile) {
            guard let section = file.section(named: ".gnu_debugaltlink") else { return nil }
            let bytes = try? file.contents(of: section)
            path = bytes?.string(at: 0) ?? ""
            let start = UInt64(path.utf8.count) + 1
            let rest = bytes.flatMap { $0.slice(at: start, count: UInt64($0.count) - min(start, UInt64($0.count))) }
            buildID = rest.map { $0.count <= 64 ? $0.bytes : [] } ?? []
        }

        /// - Parameter place: of the file that has the link.
        func find(_ place: DebugFile.Place?) -> ELFFile? {
            if let found = DebugFile.byBuildID(buildID, in: place?.files ?? .own) { return found.file }
            guard let place, !path.isEmpty, let slash = place.path.lastIndex(of: "/") else { return nil }
            let candidate = path.hasPrefix("/") ? path : "\(place.path[..<slash])/\(path)"
            guard let found = try? place.files.elf(candidate), found.buildID == buildID else { return nil }
            return found
        }
    }

    /// An ELF file with debug information that describes nothing.
    static var empty: ELFFile {
        get throws(DebugInfoError) {
            let names = "\0.debug_info\0.shstrtab\0"
            var bytes: [UInt8] = []
            func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
            func section(name: UInt32, type: UInt32, offset: UInt64, size: UInt64) {
                append(name); append(type); append(UInt64(0)); append(UInt64(0))
                append(offset); append(size); append(UInt32(0)); append(UInt32(0)); append(UInt64(1)); append(UInt64(0))
            }
            bytes += [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
            // ET_DYN; no entry, no program headers; section headers behind the header, three of them.
            append(UInt16(3)); append(Machine.x86_64.rawValue); append(UInt32(1)); append(UInt64(0)); append(UInt64(0))
            append(UInt64(64)); append(UInt32(0)); append(UInt16(64)); append(UInt16(56)); append(UInt16(0))
            append(UInt16(64)); append(UInt16(3)); append(UInt16(2))
            section(name: 0, type: 0, offset: 0, size: 0)
            section(name: 1, type: 1, offset: 256, size: 8)
            section(name: 13, type: 3, offset: 264, size: UInt64(names.utf8.count))
            bytes += [UInt8](repeating: 0, count: 8) + names.utf8
            do throws(ELFError) {
                return try ELFFile(bytes: bytes, name: "no debug information")
            } catch {
                throw .unreadable(path: "no debug information", reason: "\(error)")
            }
        }
    }
}
