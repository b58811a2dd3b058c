import CLibDW

/// Writes a type as its language does. C puts part of a type behind the name (`int (*)(void)`, `char[4]`), so a
/// spelling has two parts.
struct TypeSpelling {
    private static let maximumDepth = 40
    private static let maximumLength = 512

    let language: CompilationUnit.Language
    let scopes: [UInt: String]
    private var known: [UInt: Parts] = [:]

    private struct Parts {
        var prefix: String
        var suffix = ""

        /// The type alone, without a name in the middle.
        var whole: String { suffix.hasPrefix("(") ? prefix + " " + suffix : prefix + suffix }

        /// Whether a `*` before the name needs no blank.
        var endsInDeclarator: Bool {
            prefix.hasSuffix("*") || prefix.hasSuffix("&") || prefix.hasSuffix("(")
        }
    }

    init(language: CompilationUnit.Language, scopes: [UInt: String]) {
        self.language = language
        self.scopes = scopes
    }

    mutating func spelling(of entry: DebuggingEntry) -> String {
        let spelled = parts(of: entry, depth: 0)
        return spelled.whole
    }

    private mutating func parts(of entry: DebuggingEntry, depth: Int) -> Parts {
        if let known = known[entry.key] { return known }
        guard depth < Self.maximumDepth else { return Parts(prefix: "…") }
        // A type that is spelled by itself finds this.
        known[entry.key] = Parts(prefix: "…")
        var result = spell(entry, depth: depth)
        if result.prefix.utf8.count + result.suffix.utf8.count > Self.maximumLength {
            result = Parts(prefix: String(result.prefix.prefix(Self.maximumLength / 2)) + "…")
        }
        known[entry.key] = result
        return result
    }

    private mutating func target(of entry: DebuggingEntry, depth: Int) -> Parts {
        guard let inner = entry.reference(Int(DW_AT_type)) else { return Parts(prefix: "void") }
        return parts(of: inner, depth: depth + 1)
    }

    private mutating func spell(_ entry: DebuggingEntry, depth: Int) -> Parts {
        switch entry.tag {
        case Int(DW_TAG_pointer_type):
            return pointer(entry, "*", depth: depth)
        case Int(DW_TAG_reference_type):
            return pointer(entry, "&", depth: depth)
        case Int(DW_TAG_rvalue_reference_type):
            return pointer(entry, "&&", depth: depth)
        case Int(DW_TAG_const_type):
            return qualified(entry, "const", depth: depth)
        case Int(DW_TAG_volatile_type):
            return qualified(entry, "volatile", depth: depth)
        case Int(DW_TAG_restrict_type):
            return qualified(entry, "restrict", depth: depth)
        case Int(DW_TAG_atomic_type):
            return qualified(entry, "_Atomic", depth: depth)
        case Int(DW_TAG_array_type):
            return array(entry, depth: depth)
        case Int(DW_TAG_subroutine_type):
            let result = target(of: entry, depth: depth)
            return Parts(
                prefix: result.prefix, suffix: parameters(of: entry, skipFirst: false, depth: depth) + result.suffix)
        case Int(DW_TAG_ptr_to_member_type):
            return memberPointer(entry, depth: depth)
        case Int(DW_TAG_structure_type), Int(DW_TAG_class_type), Int(DW_TAG_interface_type):
            return named(entry, keyword: "struct")
        case Int(DW_TAG_union_type):
            return named(entry, keyword: "union")
        case Int(DW_TAG_enumeration_type):
            return named(entry, keyword: "enum")
        case Int(DW_TAG_immutable_type), Int(DW_TAG_packed_type), Int(DW_TAG_shared_type):
            return target(of: entry, depth: depth)
        default:
            if let name = entry.string(Int(DW_AT_name)) {
                // Clang names no complex type by its parts.
                if name == "complex", entry.tag == Int(DW_TAG_base_type) {
                    return Parts(prefix: Self.complex(entry.size(Int(DW_AT_byte_size)) ?? 0))
                }
                return Parts(prefix: (scopes[entry.key] ?? "") + name)
            }
            guard entry.attribute(Int(DW_AT_type)) != nil else { return Parts(prefix: "?") }
            return target(of: entry, depth: depth)
        }
    }

    private static func complex(_ size: Int) -> String {
        switch size {
        case 4: "complex _Float16"
        case 8: "complex float"
        case 16: "complex double"
        default: "complex long double"
        }
    }

    private func named(_ entry: DebuggingEntry, keyword: String) -> Parts {
        let name = entry.string(Int(DW_AT_name))
        switch language {
        case .c:
            return Parts(prefix: keyword + " " + (name ?? "{…}"))
        case .swift:
            return Parts(
                prefix: (scopes[entry.key] ?? "") + (name ?? entry.string(Int(DW_AT_linkage_name)) ?? "?"))
        default:
            return Parts(prefix: (scopes[entry.key] ?? "") + (name ?? keyword + " {…}"))
        }
    }

    private mutating func pointer(_ entry: DebuggingEntry, _ sign: String, depth: Int) -> Parts {
        // Rust names its pointers.
        if let name = entry.string(Int(DW_AT_name)) { return Parts(prefix: name) }
        var parts = target(of: entry, depth: depth)
        if parts.suffix.hasPrefix("(") || parts.suffix.hasPrefix("[") {
            parts.prefix += " (" + sign
            parts.suffix = ")" + parts.suffix
        } else {
            parts.prefix += (parts.endsInDeclarator ? "" : " ") + sign
        }
        return parts
    }

    private mutating func qualified(_ entry: DebuggingEntry, _ word: String, depth: Int) -> Parts {
        var parts = target(of: entry, depth: depth)
        if parts.endsInDeclarator {
            parts.prefix += word
        } else if parts.prefix.hasSuffix("const") || parts.prefix.hasSuffix("volatile")
            || parts.prefix.hasSuffix("restrict")
        {
            parts.prefix += " " + word
        } else {
            parts.prefix = word + " " + parts.prefix
        }
        return parts
    }

    private mutating func array(_ entry: DebuggingEntry, depth: Int) -> Parts {
        var parts = target(of: entry, depth: depth)
        var dimensions = ""
        entry.forEachChild { child in
            if child.tag == Int(DW_TAG_subrange_type) {
                let count = TypeReader.count(ofDimension: child)
                dimensions += count > 0 ? "[\(count)]" : "[]"
            }
            return dimensions.utf8.count < Self.maximumLength
        }
        if language == .rust, !dimensions.isEmpty {
            return Parts(prefix: "[" + parts.prefix + "; " + dimensions.dropFirst())
        }
        parts.suffix = dimensions + parts.suffix
        return parts
    }

    private mutating func parameters(of entry: DebuggingEntry, skipFirst: Bool, depth: Int) -> String {
        var list: [String] = []
        var length = 0
        var skip = skipFirst
        entry.forEachChild { child in
            if child.tag == Int(DW_TAG_formal_parameter) {
                if skip {
                    skip = false
                    return true
                }
                let parts = target(of: child, depth: depth)
                list.append(parts.whole)
                length += list[list.count - 1].utf8.count
            } else if child.tag == Int(DW_TAG_unspecified_parameters) {
                list.append("...")
            }
            return length < Self.maximumLength && list.count < 64
        }
        if list.isEmpty { return language == .c ? "(void)" : "()" }
        return "(" + list.joined(separator: ", ") + ")"
    }

    private mutating func memberPointer(_ entry: DebuggingEntry, depth: Int) -> Parts {
        let parent = entry.reference(Int(DW_AT_containing_type)).map { parts(of: $0, depth: depth + 1).prefix } ?? "?"
        guard let member = entry.reference(Int(DW_AT_type)) else { return Parts(prefix: "void " + parent + "::*") }
        if member.tag == Int(DW_TAG_subroutine_type) {
            let result = target(of: member, depth: depth + 1)
            return Parts(
                prefix: result.prefix + " (" + parent + "::*",
                suffix: ")" + parameters(of: member, skipFirst: true, depth: depth + 1) + result.suffix)
        }
        var spelled = parts(of: member, depth: depth + 1)
        spelled.prefix += " " + parent + "::*"
        return spelled
    }
}
