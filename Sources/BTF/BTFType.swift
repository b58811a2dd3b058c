extension BTF {
    /// A type's number. 0 is `void`; the others count from 1 in the order of the file.
    package struct TypeID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
        package let rawValue: UInt32

        package init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        package static let void = TypeID(rawValue: 0)
        package var description: String { String(rawValue) }
        package static func < (left: TypeID, right: TypeID) -> Bool { left.rawValue < right.rawValue }
    }
}

/// One entry of the type information (`struct btf_type`).
package struct BTFType: Hashable, Sendable {
    /// Empty where C gives none, as for pointers and anonymous structs.
    package let name: String
    package internal(set) var kind: Kind

    /// `BTF_KIND_*`, with what belongs to each.
    package enum Kind: Hashable, Sendable {
        case void
        case integer(BTFInteger)
        case pointer(BTF.TypeID)
        case array(element: BTF.TypeID, index: BTF.TypeID, count: UInt32)
        case structure(size: UInt32, members: [BTFMember])
        case union(size: UInt32, members: [BTFMember])
        /// `ENUM` and `ENUM64`.
        case enumeration(size: UInt32, isSigned: Bool, values: [BTFEnumerator])
        case forward(isUnion: Bool)
        case typedef(BTF.TypeID)
        case volatile(BTF.TypeID)
        case const(BTF.TypeID)
        case restrict(BTF.TypeID)
        case typeTag(BTF.TypeID)
        case function(prototype: BTF.TypeID, linkage: BTFLinkage)
        /// The last parameter without a type stands for `...`.
        case prototype(result: BTF.TypeID, parameters: [BTFParameter])
        case variable(BTF.TypeID, linkage: BTFLinkage)
        /// The variables of an ELF section, e.g. `.maps`.
        case dataSection(size: UInt32, variables: [BTFSectionVariable])
        case float(size: UInt32)
        /// A tag on a type or, if `component` ≥ 0, on its member or parameter with that number.
        case declarationTag(BTF.TypeID, component: Int32)
    }
}

/// `BTF_KIND_INT`.
package struct BTFInteger: Hashable, Sendable {
    package let size: UInt32
    /// Less than 8 × size only in the bit fields of old compilers.
    package let bits: UInt8
    package let bitOffset: UInt8
    package let isSigned: Bool
    package let isCharacter: Bool
    package let isBoolean: Bool
}

/// A member of a struct or union.
package struct BTFMember: Hashable, Sendable {
    package let name: String
    package let type: BTF.TypeID
    package let bitOffset: UInt32
    /// 0 where the member is no bit field.
    package let bitFieldSize: UInt8
}

/// A value of an enum, sign-extended to 64 bits in a signed one.
package struct BTFEnumerator: Hashable, Sendable {
    package let name: String
    package let value: Int64
}

/// A parameter of a function.
package struct BTFParameter: Hashable, Sendable {
    package let name: String
    package let type: BTF.TypeID
}

/// A variable or extern function in a data section.
package struct BTFSectionVariable: Hashable, Sendable {
    package let type: BTF.TypeID
    package internal(set) var offset: UInt32
    package let size: UInt32
}

/// `BTF_FUNC_*` and `BTF_VAR_*`, whose numbers agree.
package enum BTFLinkage: UInt32, Sendable {
    case `static` = 0
    case global = 1
    case extern = 2
}
