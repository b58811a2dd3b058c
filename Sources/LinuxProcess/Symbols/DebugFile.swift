import CLinux
import ELF
import Glibc

/// Finds the separate file that holds the symbols and DWARF of a stripped one.
package enum DebugFile {
    /// By build id, then by .gnu_debuglink; a file that belongs to another build is passed over.
    /// `path` is the stripped file's, within the folder `root` (that of a process; "" for this machine's own).
    package static func find(for file: ELFFile, path: String?, root: String) -> (file: ELFFile, path: String)? {
        let buildID = file.buildID
        if let buildID, buildID.count > 1 {
            let name = buildID.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
            let place = "/usr/lib/debug/.build-id/\(name[0])/\(name[1...].joined()).debug"
            for candidate in root.isEmpty ? [place] : [root + place, place] {
                if let found = try? ELFFile(path: candidate), found.buildID == buildID { return (found, candidate) }
            }
        }
        guard let path, let link = file.debugLink, !link.name.contains("/"), let slash = path.lastIndex(of: "/") else {
            return nil
        }
        let folder = path[..<slash]
        for place in ["\(folder)/\(link.name)", "\(folder)/.debug/\(link.name)", "/usr/lib/debug\(folder)/\(link.name)"] {
            let candidate = root + place
            guard place != path, let found = try? ELFFile(path: candidate) else { continue }
            // Two equal build ids say more than a CRC, and need not read the whole file.
            if let buildID, let other = found.buildID {
                if buildID == other { return (found, candidate) }
                continue
            }
            if found.bytes.withUnsafeBytes(CRC32.checksum) == link.crc { return (found, candidate) }
        }
        return nil
    }
}

/// The CRC-32 of .gnu_debuglink (IEEE 802.3, reflected).
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 != 0 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            var value: UInt32 = 0xffff_ffff
            for byte in bytes { value = table[Int((value ^ UInt32(byte)) & 0xff)] ^ value >> 8 }
            return ~value
        }
    }
}
