import Glibc

/// Why a file gives no debug information.
package enum DebugInfoError: Error, Sendable, Hashable, CustomStringConvertible {
    case cannotOpen(path: String, errno: Int32)
    case notELF(path: String)
    /// A relocatable file: its addresses mean nothing before it is linked.
    case notLinked(path: String)
    case noDebugInformation(path: String)
    case unreadable(path: String, reason: String)

    package var description: String {
        switch self {
        case .cannotOpen(let path, let number):
            "cannot open '\(path)' for its debug information: \(String(cString: strerror(number)))"
        case .notELF(let path):
            "cannot read debug information from '\(path)': it is not an ELF file"
        case .notLinked(let path):
            "cannot read debug information from '\(path)': it is not linked; name the program or library made from it"
        case .noDebugInformation(let path):
            "'\(path)' has no debug information; compile with -g or install its debug symbols"
        case .unreadable(let path, let reason):
            "cannot read the debug information of '\(path)': \(reason)"
        }
    }
}
