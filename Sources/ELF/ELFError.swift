import Glibc
import PlainText

/// Why a file could not be read as ELF; the description is one line for the user.
package enum ELFError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file could not be opened or mapped; `errno` says why.
    case cannotRead(path: String, errno: Int32)
    /// The first four bytes are not `\x7fELF`.
    case notELF(name: String)
    /// ELF, but of a sort that is not read here: 32-bit, big-endian, compressed sections.
    case unsupported(name: String, what: String)
    /// A table or section reaches past the end of the file.
    case truncated(name: String, what: String, end: UInt64, size: UInt64)
    /// The file became shorter while it was read.
    case shortened(name: String)
    /// A field contradicts another one.
    case malformed(name: String, what: String)

    package var description: String { text.escapingControls() }

    private var text: String {
        switch self {
        case .cannotRead(let path, let code):
            "cannot read \(path): \(String(cString: strerror(code)))"
        case .notELF(let name):
            "\(name) is not an ELF file"
        case .unsupported(let name, let what):
            "\(name): \(what)"
        case .truncated(let name, let what, let end, let size):
            "\(name) is truncated: \(what) ends at \(end), beyond the file's \(size) bytes"
        case .shortened(let name):
            "\(name) was shortened, or could not be read any more, while it was read; try again when it is whole"
        case .malformed(let name, let what):
            "\(name) is damaged: \(what)"
        }
    }
}
