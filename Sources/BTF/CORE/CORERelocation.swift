/// A place in a program that depends on how the running kernel lays out a type (`struct bpf_core_relo`).
package struct CORERelocation: Hashable, Sendable {
    /// The instruction.
    package var slot: Int
    /// The type as the program was compiled with it.
    package let type: BTF.TypeID
    /// The path to the member or enumerator, e.g. "0:1:2".
    package let access: String
    package let kind: Kind

    package init(slot: Int, type: BTF.TypeID, access: String, kind: Kind) {
        self.slot = slot
        self.type = type
        self.access = access
        self.kind = kind
    }

    /// `enum bpf_core_relo_kind`: what of the type the instruction wants to know.
    package enum Kind: UInt32, Sendable {
        case byteOffset = 0
        case byteSize = 1
        case fieldExists = 2
        case signed = 3
        case leftShift = 4
        case rightShift = 5
        case localTypeID = 6
        case targetTypeID = 7
        case typeExists = 8
        case typeSize = 9
        case enumeratorExists = 10
        case enumeratorValue = 11
        case typeMatches = 12

        /// Whether it asks of something that may be missing.
        var isQuestion: Bool { [.fieldExists, .typeExists, .enumeratorExists, .typeMatches].contains(self) }
        var isOfField: Bool { rawValue <= Kind.rightShift.rawValue }
        var isOfEnumerator: Bool { self == .enumeratorExists || self == .enumeratorValue }
    }
}

/// What an instruction is to hold.
package struct COREResult: Hashable, Sendable {
    /// Nil: the kernel has no such type or member, and the instruction must never be reached.
    package var value: UInt64?
    /// Bytes to access, where an offset belongs to a load or store and the member has another size than in the program.
    package var byteCount: Int?
    /// The target is what the program's BTF says, of a module: index of the candidate's source.
    package var source = 0
}

/// Why a relocation cannot be made.
package struct COREError: Error, Sendable, CustomStringConvertible {
    package let description: String
}
