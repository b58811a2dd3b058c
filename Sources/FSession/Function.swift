import Engine

extension Session {
    /// A function of the target.
    public struct Function: Sendable, Hashable {
        private let info: FunctionInfo

        init(_ info: FunctionInfo) { self.info = info }

        /// Its symbol's name, as the symbol table has it.
        public var name: String { info.name }
        /// Other symbols with the same address.
        public var aliases: [String] { info.aliases }
        /// The readable form of a C++, Rust or Swift name; nil where the name is readable as it is.
        public var demangledName: String? { info.demangled }
        /// The file name of the executable or library that holds it.
        public var module: String { info.module }
        /// The path of that file.
        public var modulePath: String { ModuleKey.path(info.modulePath) }
        /// Its address in the target.
        public var address: UInt64 { info.address }
        /// Its size in bytes.
        public var size: UInt64 { info.size }
        /// Why it cannot be traced; nil if it can.
        public var refusal: String? { info.refusalReason }
        /// Why only its entry can be traced, never its exit; nil if both can.
        public var entryOnlyReason: String? { info.entryOnlyReason }

        /// The readable name.
        public var displayName: String { demangledName ?? name }

        /// Whether both are the same function at the same address.
        public static func == (a: Function, b: Function) -> Bool {
            a.address == b.address && a.name == b.name && a.modulePath == b.modulePath && a.size == b.size
                && a.refusal == b.refusal && a.entryOnlyReason == b.entryOnlyReason
        }

        /// Goes with `==`.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(address)
            hasher.combine(name)
        }
    }
}
