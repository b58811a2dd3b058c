import CLibDW

/// Reads type entries into `ValueType`s; remembers each, so that its cost does not depend on how they nest.
struct TypeReader {
    private static let maximumDepth = 40
    private static let maximumFields = 4096
    /// Leaves of a value that is expanded; unions can multiply them.
    private static let maximumLeaves = 1024

    let language: CompilationUnit.Language
    var spellings: TypeSpelling
    private var known: [UInt: Known] = [:]

    private struct Known {
        var type: ValueType
        var leafCount: Int
    }

    init(language: CompilationUnit.Language, scopes: [UInt: String]) {
        self.language = language
        spellings = TypeSpelling(language: language, scopes: scopes)
    }

    mutating func value(of entry: DebuggingEntry) -> ValueType {
        read(entry, depth: 0).type
    }

    private mutating func read(_ entry: DebuggingEntry, depth: Int) -> Known {
        if let known = known[entry.key] { return known }
        let name = spellings.spelling(of: entry)
        let unknown = Known(type: ValueType(name: name, byteCount: 0, kind: .unknown), leafCount: 1)
        guard depth < Self.maximumDepth else { return unknown }
        // A type that contains itself finds this.
        known[entry.key] = unknown
        var result = describe(entry, depth: depth) ?? unknown
        result.type.name = name
        if let alignment = entry.size(Int(DW_AT_alignment)), alignment.nonzeroBitCount == 1, alignment <= 4096 {
            result.type.alignment = alignment
        }
        known[entry.key] = result
        return result
    }

    private mutating func describe(_ entry: DebuggingEntry, depth: Int) -> Known? {
        let size = entry.size(Int(DW_AT_byte_size))
        switch entry.tag {
        case Int(DW_TAG_base_type):
            return leaf(base(entry, size: size ?? 0))
        case Int(DW_TAG_pointer_type), Int(DW_TAG_reference_type), Int(DW_TAG_rvalue_reference_type):
            return leaf(ValueType(name: "", byteCount: size ?? 8, kind: .pointer(to: pointee(of: entry))))
        case Int(DW_TAG_ptr_to_member_type):
            return leaf(memberPointer(entry))
        case Int(DW_TAG_enumeration_type):
            return leaf(enumeration(entry, size: size, depth: depth))
        case Int(DW_TAG_structure_type), Int(DW_TAG_class_type), Int(DW_TAG_interface_type), Int(DW_TAG_union_type):
            return aggregate(entry, size: size, depth: depth)
        case Int(DW_TAG_array_type):
            return array(entry, size: size, depth: depth)
        case Int(DW_TAG_unspecified_type):
            // decltype(nullptr)
            guard let name = entry.string(Int(DW_AT_name)), name.contains("nullptr") else { return nil }
            return leaf(ValueType(name: "", byteCount: 8, kind: .pointer(to: .other)))
        case let tag where Self.isTransparent(tag):
            guard let inner = entry.reference(Int(DW_AT_type)) else { return nil }
            return read(inner, depth: depth + 1)
        default:
            return nil
        }
    }

    private func leaf(_ type: ValueType) -> Known { Known(type: type, leafCount: 1) }

    /// Names and qualifiers, which do not change how a value is passed.
    static func isTransparent(_ tag: Int) -> Bool {
        switch tag {
        case Int(DW_TAG_typedef), Int(DW_TAG_const_type), Int(DW_TAG_volatile_type), Int(DW_TAG_restrict_type),
            Int(DW_TAG_atomic_type), Int(DW_TAG_immutable_type), Int(DW_TAG_packed_type), Int(DW_TAG_shared_type),
            Int(DW_TAG_template_alias), Int(DW_TAG_subrange_type):
            true
        default:
            false
        }
    }

    // MARK: Scalars

    private func base(_ entry: DebuggingEntry, size: Int) -> ValueType {
        let name = entry.string(Int(DW_AT_name)) ?? ""
        let encoding = Int(entry.unsigned(Int(DW_AT_encoding)) ?? 0)
        func type(_ kind: ValueType.Kind, alignment: Int? = nil) -> ValueType {
            ValueType(name: name, byteCount: size, alignment: alignment, kind: kind)
        }
        switch encoding {
        case Int(DW_ATE_boolean):
            return type(.boolean)
        case Int(DW_ATE_signed_char), Int(DW_ATE_unsigned_char):
            if name == "char" || name == "char8_t" { return type(.character) }
            return type(encoding == Int(DW_ATE_signed_char) ? .signed : .unsigned)
        case Int(DW_ATE_UTF):
            return type(.character)
        case Int(DW_ATE_signed), Int(DW_ATE_unsigned), Int(DW_ATE_address):
            if name == "wchar_t" { return type(.character) }
            // _BitInt is aligned as the words that hold it.
            let alignment = name.contains("_BitInt") ? min(size, 8) : nil
            return type(encoding == Int(DW_ATE_signed) ? .signed : .unsigned, alignment: alignment)
        case Int(DW_ATE_float):
            // Both formats of 16 bytes have the same encoding: only the name tells them apart.
            let isQuadruple = name.contains("128") || name.contains("kind=16")
            return type(size == 16 && !isQuadruple ? .longDouble : .float)
        case Int(DW_ATE_decimal_float):
            return type(.float)
        case Int(DW_ATE_complex_float):
            return type(.complex(isFloating: true), alignment: max(1, size / 2))
        case Int(DW_ATE_imaginary_float):
            return type(.unknown)
        case Int(DW_ATE_lo_user):
            // GCC's complex integers.
            return type(.complex(isFloating: false), alignment: max(1, size / 2))
        default:
            return type(.unknown)
        }
    }

    /// What a pointer points to, through names and qualifiers.
    private func pointee(of pointer: DebuggingEntry) -> ValueType.Pointee {
        var current = pointer
        for _ in 0..<Self.maximumDepth {
            guard let next = current.reference(Int(DW_AT_type)) else { return .other }
            let tag = next.tag
            if tag == Int(DW_TAG_subroutine_type) { return .function }
            if tag == Int(DW_TAG_base_type) {
                let size = next.size(Int(DW_AT_byte_size)) ?? 0
                return size == 1 && base(next, size: 1).kind == .character ? .character : .other
            }
            guard Self.isTransparent(tag) else { return .other }
            current = next
        }
        return .other
    }

    /// C++: an offset, or for functions an address and an adjustment of `this`.
    private func memberPointer(_ entry: DebuggingEntry) -> ValueType {
        let word = ValueType(name: "", byteCount: 8, kind: .signed)
        var target = entry.reference(Int(DW_AT_type))
        for _ in 0..<Self.maximumDepth {
            guard let current = target, Self.isTransparent(current.tag) else { break }
            target = current.reference(Int(DW_AT_type))
        }
        guard target?.tag == Int(DW_TAG_subroutine_type) else { return word }
        return ValueType(
            name: "", byteCount: 16, alignment: 8,
            kind: .structure(
                fields: [
                    ValueType.Field(name: nil, bitOffset: 0, type: word),
                    ValueType.Field(name: nil, bitOffset: 64, type: word),
                ], byReference: false))
    }

    private mutating func enumeration(_ entry: DebuggingEntry, size: Int?, depth: Int) -> ValueType {
        var enumerators: [ValueType.Enumerator] = []
        entry.forEachChild { child in
            if child.tag == Int(DW_TAG_enumerator), let name = child.string(Int(DW_AT_name)) {
                let value =
                    child.signed(Int(DW_AT_const_value))
                    ?? child.unsigned(Int(DW_AT_const_value)).map { Int64(bitPattern: $0) }
                if let value { enumerators.append(ValueType.Enumerator(value: value, name: name)) }
            }
            return enumerators.count < ValueType.maximumEnumerators
        }
        var byteCount = size
        if byteCount == nil, let inner = entry.reference(Int(DW_AT_type)) {
            byteCount = read(inner, depth: depth + 1).type.byteCount
        }
        guard let byteCount, byteCount > 0 else { return ValueType(name: "", byteCount: 0, kind: .unknown) }
        return ValueType(name: "", byteCount: byteCount, kind: .enumeration(enumerators))
    }

    // MARK: Arrays

    private mutating func array(_ entry: DebuggingEntry, size: Int?, depth: Int) -> Known? {
        guard let inner = entry.reference(Int(DW_AT_type)) else { return nil }
        let element = read(inner, depth: depth + 1)
        var count = 1
        var dimensions = 0
        entry.forEachChild { child in
            guard child.tag == Int(DW_TAG_subrange_type) || child.tag == Int(DW_TAG_enumeration_type) else {
                return true
            }
            dimensions += 1
            let (product, overflow) = count.multipliedReportingOverflow(by: Self.count(ofDimension: child))
            count = overflow ? 0 : product
            return dimensions < 64
        }
        guard dimensions > 0 else { return nil }
        let (product, overflow) = element.type.byteCount.multipliedReportingOverflow(by: count)
        guard !overflow, product < 1 << 40 else { return nil }
        let byteCount = size ?? product
        if entry.flag(Int(DW_AT_GNU_vector)) {
            return leaf(ValueType(name: "", byteCount: byteCount, kind: .vector))
        }
        // Elements without a size take no part in passing the value.
        let expanded = byteCount <= ValueType.maximumExpandedBytes && element.type.byteCount > 0
        let leafCount = expanded ? max(1, element.leafCount * min(count, byteCount)) : 1
        guard leafCount <= Self.maximumLeaves else { return nil }
        return Known(
            type: ValueType(
                name: "", byteCount: byteCount, alignment: element.type.alignment,
                kind: .array(of: element.type, count: count)),
            leafCount: leafCount)
    }

    /// The elements of one dimension; 0 if it has no fixed number.
    static func count(ofDimension entry: DebuggingEntry) -> Int {
        if let count = entry.size(Int(DW_AT_count)) { return count }
        guard let upper = entry.signed(Int(DW_AT_upper_bound)), upper < 1 << 40 else { return 0 }
        let lower = entry.signed(Int(DW_AT_lower_bound)) ?? 0
        guard lower > -(1 << 40), upper >= lower else { return 0 }
        return Int(upper - lower) + 1
    }

    // MARK: Structures

    /// The standard library's scalars, which Swift describes as structures without members, by their mangled names.
    private func swiftKind(_ entry: DebuggingEntry) -> ValueType.Kind? {
        guard let name = entry.string(Int(DW_AT_linkage_name)) else { return nil }
        switch name {
        case "$sSiD", "$ss4Int8VD", "$ss5Int16VD", "$ss5Int32VD", "$ss5Int64VD": return .signed
        case "$sSuD", "$ss5UInt8VD", "$ss6UInt16VD", "$ss6UInt32VD", "$ss6UInt64VD": return .unsigned
        case "$sSbD": return .boolean
        case "$sSfD", "$sSdD": return .float
        case "$sSVD", "$sSvD", "$ss13OpaquePointerVD": return .pointer(to: .other)
        // A reference to an object.
        default: return name.hasSuffix("CD") ? .pointer(to: .other) : nil
        }
    }

    /// The members of a structure while it is read.
    private struct Members {
        var fields: [ValueType.Field] = []
        var count = 0
        var leafCount = 0
        var alignment = 1
        var isPacked = false
        var needsCopyCall = false
        var expands: Bool
    }

    private mutating func aggregate(_ entry: DebuggingEntry, size: Int?, depth: Int) -> Known? {
        guard let size else {
            // The declaration of a type that has a unit of its own (DW_FORM_ref_sig8).
            guard let definition = entry.reference(Int(DW_AT_signature)) else { return nil }
            return read(definition, depth: depth + 1)
        }
        if entry.flag(Int(DW_AT_declaration)) { return nil }
        if language == .swift, let kind = swiftKind(entry) {
            return leaf(ValueType(name: "", byteCount: size, kind: kind))
        }
        var members = Members(expands: size <= ValueType.maximumExpandedBytes)
        collect(entry, into: &members, depth: depth)
        guard members.leafCount <= Self.maximumLeaves else { return nil }
        if members.isPacked || size % members.alignment != 0 { members.alignment = 1 }

        var byReference = false
        if let convention = entry.unsigned(Int(DW_AT_calling_convention)) {
            byReference = convention == UInt64(DW_CC_pass_by_reference)
        } else if language == .cPlusPlus {
            byReference = members.needsCopyCall
        }
        let isUnion = entry.tag == Int(DW_TAG_union_type)
        return Known(
            type: ValueType(
                name: "", byteCount: size, alignment: members.alignment,
                kind: isUnion
                    ? .union(fields: members.fields, byReference: byReference)
                    : .structure(fields: members.fields, byReference: byReference)),
            leafCount: max(1, members.leafCount))
    }

    private mutating func collect(_ entry: DebuggingEntry, into members: inout Members, depth: Int) {
        guard depth < Self.maximumDepth else { return }
        let typeName = entry.string(Int(DW_AT_name))
        entry.forEachChild { child in
            switch child.tag {
            case Int(DW_TAG_member), Int(DW_TAG_inheritance):
                member(child, into: &members, depth: depth)
            case Int(DW_TAG_variant_part), Int(DW_TAG_variant):
                // Rust's enums: every variant at its place, over each other.
                collect(child, into: &members, depth: depth + 1)
            case Int(DW_TAG_subprogram):
                if !members.needsCopyCall, language == .cPlusPlus {
                    members.needsCopyCall = isCopyOrDestructor(child, of: typeName)
                }
            default:
                break
            }
            members.count += 1
            return members.count < Self.maximumFields
        }
    }

    private mutating func member(_ child: DebuggingEntry, into members: inout Members, depth: Int) {
        // Static members.
        if child.flag(Int(DW_AT_external)) || child.flag(Int(DW_AT_declaration)) { return }
        guard let inner = child.reference(Int(DW_AT_type)) else { return }
        let known = read(inner, depth: depth + 1)
        var field = ValueType.Field(
            name: child.string(Int(DW_AT_name)), bitOffset: 0, type: known.type)
        let byteOffset = child.size(Int(DW_AT_data_member_location)) ?? 0
        field.bitOffset = byteOffset * 8
        if let bitCount = child.size(Int(DW_AT_bit_size)) {
            field.bitCount = bitCount
            if let offset = child.size(Int(DW_AT_data_bit_offset)) {
                field.bitOffset = offset
            } else if let fromTop = child.size(Int(DW_AT_bit_offset)) {
                // DWARF 2 counts from the most significant bit of the storage unit.
                let storage = child.size(Int(DW_AT_byte_size)) ?? known.type.byteCount
                field.bitOffset += storage * 8 - fromTop - bitCount
                if field.bitOffset < 0 { field.bitOffset = 0 }
            }
        }
        var alignment = known.type.alignment
        if let own = child.size(Int(DW_AT_alignment)), own.nonzeroBitCount == 1, own <= 4096 { alignment = own }
        if field.bitCount == nil, byteOffset % max(1, alignment) != 0 {
            members.isPacked = true
        }
        members.alignment = max(members.alignment, alignment)

        switch known.type.kind {
        case .structure(_, byReference: true), .union(_, byReference: true): members.needsCopyCall = true
        default: break
        }
        // A table of virtual functions, or a virtual base, is not copied by copying bytes.
        if child.unsigned(Int(DW_AT_virtuality)) ?? 0 != 0 || field.name?.hasPrefix("_vptr") == true {
            members.needsCopyCall = true
        }
        members.leafCount += known.leafCount
        if members.expands, members.leafCount <= Self.maximumLeaves { members.fields.append(field) }
    }

    /// A destructor, or copy or move constructor, that the program itself defines: with one of them a value is
    /// passed by reference. Used for compilers that do not write `DW_AT_calling_convention` at classes.
    private func isCopyOrDestructor(_ method: DebuggingEntry, of typeName: String?) -> Bool {
        guard let typeName, let name = method.string(Int(DW_AT_name)), !method.flag(Int(DW_AT_artificial)),
            method.unsigned(Int(DW_AT_defaulted)) != UInt64(DW_DEFAULTED_in_class)
        else { return false }
        let plain = typeName.prefix { $0 != "<" }
        if name.hasPrefix("~") { return true }
        guard name == plain || name == typeName else { return false }
        var parameters: [DebuggingEntry] = []
        method.forEachChild { child in
            if child.tag == Int(DW_TAG_formal_parameter) { parameters.append(child) }
            return parameters.count < 3
        }
        guard parameters.count == 2, var type = parameters[1].reference(Int(DW_AT_type)) else { return false }
        guard type.tag == Int(DW_TAG_reference_type) || type.tag == Int(DW_TAG_rvalue_reference_type) else {
            return false
        }
        for _ in 0..<4 {
            guard let next = type.reference(Int(DW_AT_type)) else { return false }
            if next.string(Int(DW_AT_name)) == typeName { return true }
            type = next
        }
        return false
    }
}
