import ELF
import PlainText

/// Finds the separate file that holds the symbols and DWARF of a stripped one.
package enum DebugFile {
    package enum Answer: Sendable {
        case none
        case found(ELFFile, at: Place)
        /// There is one of the right name, which is not used.
        case unused(reason: String)
    }

    /// A file's path, and whose files it is among.
    package struct Place: Sendable {
        package var files: TargetFiles
        package var path: String

        package init(_ path: String, in files: TargetFiles = .own) {
            self.files = files
            self.path = path
        }
    }

    /// The checksum of a larger file is not computed: it takes more than a second.
    private static let largestChecked = 512 << 20

    /// By build id, then by .gnu_debuglink; a file that belongs to another build is passed over.
    /// `place` is where the stripped file is, nil where that has no name.
    package static func find(for file: ELFFile, at place: Place?) -> Answer {
        let buildID = file.buildID
        if let buildID, let found = byBuildID(buildID, in: place?.files ?? .own) { return .found(found.file, at: found.place) }
        guard let place, let link = file.debugLink, !link.name.contains("/"), let slash = place.path.lastIndex(of: "/") else {
            return .none
        }
        let folder = place.path[..<slash]
        for candidate in ["\(folder)/\(link.name)", "\(folder)/.debug/\(link.name)", "/usr/lib/debug\(folder)/\(link.name)"] {
            guard candidate != place.path, let found = try? place.files.elf(candidate) else { continue }
            let there = Place(candidate, in: place.files)
            // Two equal build ids say more than a CRC, and need not read the whole file.
            if let buildID, let other = found.buildID {
                if buildID == other { return .found(found, at: there) }
                continue
            }
            guard found.memory.count <= largestChecked else {
                return .unused(
                    reason:
                        "\(candidate.escapingControls()) is not used: it has no build id, and at \(found.memory.count >> 20) MiB it is too large to be checked"
                )
            }
            if found.checksum == link.crc { return .found(found, at: there) }
        }
        return .none
    }

    /// Among the files of a process, then among this machine's.
    static func byBuildID(_ id: [UInt8], in files: TargetFiles) -> (file: ELFFile, place: Place)? {
        guard id.count > 1 else { return nil }
        let name = id.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
        let path = "/usr/lib/debug/.build-id/\(name[0])/\(name[1...].joined()).debug"
        for files in files == .own ? [files] : [files, .own] {
            if let found = try? files.elf(path), found.buildID == id { return (found, Place(path, in: files)) }
        }
        return nil
    }
}
