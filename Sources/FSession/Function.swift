import ProcessEngine

/// A function of the target.
public struct Function: Sendable, Hashable {
    /// Its symbol's name, as the symbol table has it.
    public let name: String
    /// Other symbols with the same address.
    public let aliases: [String]
    /// The readable form of a C++, Rust or Swift name; nil where the name is readable as it is.
    public let demangledName: String?
    /// The file name of the executable or library that holds it.
    public let module: String
    /// The path of that file.
    public let modulePath: String
    /// Its address in the target.
    public let address: UInt64
    /// Its size in bytes.
    public let size: UInt64
    /// Why it cannot be traced; nil if it can.
    public let refusal: String?
    /// Why only its entry can be traced, never its exit; nil if both can.
    public let entryOnlyReason: String?

    /// The readable name.
    public var displayName: String { demangledName ?? name }

    init(_ info: FunctionInfo) {
        name = info.name
        aliases = info.aliases
        demangledName = info.demangled
        module = info.module
        modulePath = info.modulePath
        address = info.address
        size = info.size
        refusal = info.refusal
        entryOnlyReason = info.entryOnly
    }
}
