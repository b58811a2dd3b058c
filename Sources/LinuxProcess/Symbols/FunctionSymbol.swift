/// A function of a module: all its names at one address.
package struct FunctionSymbol: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case function
        /// STT_GNU_IFUNC: the address is that of a resolver, which is called once to choose an implementation.
        case indirect
    }

    /// Address in the file; add the module's load bias for the address in memory.
    package var address: UInt64
    /// Bytes of code; bounded by the next symbol or the section's end where the file gives none.
    package var size: UInt64
    package var kind: Kind
    /// The most public binding of all its names.
    package var binding: Binding
    /// The name that a user would expect: global before weak before local, few leading underscores.
    package var name: String
    /// Other names of the same address.
    package var aliases: [String]
    /// Of an indirect function: where the chosen implementation is (address in the file), once it is known.
    package var resolvedAddress: UInt64?
    /// Bytes of that implementation, by its symbol or unwind entry; nil when neither is there.
    package var resolvedSize: UInt64?

    package enum Binding: UInt8, Sendable, Comparable {
        case local, weak, global
        package static func < (a: Binding, b: Binding) -> Bool { a.rawValue < b.rawValue }
    }

    /// The name and the aliases.
    package var names: [String] { [name] + aliases }
}
