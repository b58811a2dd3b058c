/// Why type information could not be read; the description is one line for the user.
package enum BTFError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The first bytes are not BTF's magic number.
    case notBTF
    /// BTF of a sort that is not read here.
    case unsupported(String)
    /// Something reaches past the end.
    case truncated(what: String)
    /// A field contradicts another one.
    case malformed(String)

    package var description: String {
        switch self {
        case .notBTF: "the type information is not BTF"
        case .unsupported(let what): "the BTF type information cannot be read: \(what)"
        case .truncated(let what): "the BTF type information is truncated: \(what) ends beyond it"
        case .malformed(let what): "the BTF type information is damaged: \(what)"
        }
    }
}
