/// What the debug information says of a function: enough to print a call and to find its arguments.
package struct FunctionPrototype: Sendable, Hashable {
    /// A parameter in the order of the declaration; `this` of a C++ member function is the first.
    package struct Parameter: Sendable, Hashable {
        package var name: String?
        package var type: ValueType
        /// Passed by the compiler, not written in the source (`this`, `__vtt_parm`).
        package var isArtificial: Bool
        /// Where the debug information says that it is at entry; only optimized code has this.
        package var entryPlace: CallLayout.Argument?

        package init(
            name: String?, type: ValueType, isArtificial: Bool = false, entryPlace: CallLayout.Argument? = nil
        ) {
            self.name = name
            self.type = type
            self.isArtificial = isArtificial
            self.entryPlace = entryPlace
        }
    }

    /// The rules by which the function is called.
    package enum Convention: Sendable, Hashable {
        /// The platform's C convention.
        case standard
        /// Rust's own, which is not specified, and not told apart from `extern "C"` by the debug information.
        case rust
        /// Swift's own.
        case swift
        /// Changed by the optimizer (`DW_CC_nocall`, or the places of parameters contradict the C convention), or of
        /// another language: arguments can be anywhere.
        case other
    }

    /// `DW_AT_name`, without the scopes around it.
    package var name: String
    /// `DW_AT_linkage_name`: the mangled name, where it differs.
    package var linkageName: String?
    package var parameters: [Parameter]
    /// nil for `void`.
    package var returnType: ValueType?
    package var isVariadic: Bool
    package var noReturn: Bool
    package var convention: Convention

    package init(
        name: String, linkageName: String? = nil, parameters: [Parameter], returnType: ValueType?,
        isVariadic: Bool = false, noReturn: Bool = false, convention: Convention = .standard
    ) {
        self.name = name
        self.linkageName = linkageName
        self.parameters = parameters
        self.returnType = returnType
        self.isVariadic = isVariadic
        self.noReturn = noReturn
        self.convention = convention
    }
}

/// The type of a parameter or a return value, reduced to what printing and passing it need.
package struct ValueType: Sendable, Hashable {
    package enum Pointee: Sendable, Hashable {
        /// `char`, so that the pointer can be shown as a string.
        case character
        case function
        case other
    }

    package struct Enumerator: Sendable, Hashable {
        package var value: Int64
        package var name: String

        package init(value: Int64, name: String) {
            self.value = value
            self.name = name
        }
    }

    /// A member or base class; of variants and unions several share their bytes.
    package struct Field: Sendable, Hashable {
        package var name: String?
        package var bitOffset: Int
        /// nil unless it is a bit-field.
        package var bitCount: Int?
        package var type: ValueType

        package init(name: String?, bitOffset: Int, bitCount: Int? = nil, type: ValueType) {
            self.name = name
            self.bitOffset = bitOffset
            self.bitCount = bitCount
            self.type = type
        }
    }

    package indirect enum Kind: Sendable, Hashable {
        case signed
        case unsigned
        case boolean
        case character
        /// Binary or decimal floating point that lives in a vector register, `_Float16` to `_Float128`.
        case float
        /// The 80-bit format: 64 bits with the leading 1, an exponent of 15, a sign.
        case longDouble
        case pointer(to: Pointee)
        /// The first enumerators only, at most `maximumEnumerators`.
        case enumeration([Enumerator])
        /// `fields` is empty above `maximumExpandedBytes`, where they no longer matter for passing the value.
        /// `byReference`: a C++ class that is passed as a pointer to a copy, because copying it takes a call.
        case structure(fields: [Field], byReference: Bool)
        case union(fields: [Field], byReference: Bool)
        case array(of: ValueType, count: Int)
        case vector
        case complex(isFloating: Bool)
        /// Incomplete, or nothing that this reader understands.
        case unknown
    }

    package static let maximumEnumerators = 256
    package static let maximumExpandedBytes = 64

    /// As the language writes it: `const char *`.
    package var name: String
    package var byteCount: Int
    package var alignment: Int
    package var kind: Kind

    package init(name: String, byteCount: Int, alignment: Int? = nil, kind: Kind) {
        self.name = name
        self.byteCount = byteCount
        self.alignment = alignment ?? max(1, byteCount)
        self.kind = kind
    }
}
