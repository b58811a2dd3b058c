import LinuxProcess
import Synchronization

/// A function of the target that a pattern matched. There may be a hundred thousand of them, each in several
/// tables, so the tables share what does not change.
package struct FunctionInfo: Sendable {
    private let identity: Identity
    /// Why it cannot be traced; nil if it can.
    package var refusalReason: String?
    /// Why only its entry can be traced; nil if its exit can be, too.
    package var entryOnlyReason: String?

    package init(
        name: String, aliases: [String] = [], demangled: String? = nil, module: String, modulePath: String,
        address: UInt64, size: UInt64, refusalReason: String? = nil, entryOnlyReason: String? = nil
    ) {
        self.refusalReason = refusalReason
        self.entryOnlyReason = entryOnlyReason
        identity = Identity(
            name: name, aliases: aliases, module: module, modulePath: modulePath, address: address, size: size,
            demangled: demangled)
    }

    package var name: String { identity.name }
    /// The other names of the same address.
    package var aliases: [String] { identity.aliases }
    /// The readable form of a C++, Rust or Swift name, where it differs.
    package var demangled: String? { identity.demangled }
    package var module: String { identity.module }
    package var modulePath: String { identity.modulePath }
    package var address: UInt64 { identity.address }
    package var size: UInt64 { identity.size }

    package var displayName: String { demangled ?? name }

    private final class Identity: Sendable {
        let name: String
        let aliases: [String]
        let module: String
        let modulePath: String
        let address: UInt64
        let size: UInt64
        /// Worked out when it is first asked for: most functions are never called while they are traced.
        private let readable: Mutex<Readable>

        private enum Readable {
            case unknown
            case known(String?)
        }

        init(
            name: String, aliases: [String], module: String, modulePath: String, address: UInt64, size: UInt64,
            demangled: String?
        ) {
            self.name = name
            self.aliases = aliases
            self.module = module
            self.modulePath = modulePath
            self.address = address
            self.size = size
            readable = Mutex(demangled.map { .known($0) } ?? .unknown)
        }

        var demangled: String? {
            readable.withLock { readable in
                if case .known(let text) = readable { return text }
                var text = Demangler.demangle(name)
                for alias in aliases where text == nil { text = Demangler.demangle(alias) }
                readable = .known(text)
                return text
            }
        }
    }
}
