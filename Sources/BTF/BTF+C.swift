extension BTF {
    /// A declaration in C: `declaration(of: id, name: "f")` gives e.g. `int (*f)(struct event *, ...)`. Without a
    /// name it is the type alone.
    package func declaration(of id: TypeID, name: String = "") -> String {
        var printer = CPrinter(btf: self)
        return printer.declaration(of: id, name: name, depth: 0)
    }

    /// The definition of a struct, union, enum or typedef, or a function's prototype; for other types the type.
    package func definition(of id: TypeID) -> String {
        var printer = CPrinter(btf: self)
        return printer.definition(of: id)
    }
}

/// Writes types as C. Damaged types can go in circles and branch at each turn, so depth and number are limited.
private struct CPrinter {
    let btf: BTF
    /// Roughly the bytes of text that may still be written.
    private var budget = 1 << 20
    private static let deepest = 32

    init(btf: BTF) {
        self.btf = btf
    }

    /// C declares inside out: what a declarator says of a name comes to stand around it, and the type before it all.
    mutating func declaration(of id: BTF.TypeID, name: String, depth: Int, indent: String = "") -> String {
        let type = btf[id]
        budget -= 16 + type.name.utf8.count + name.utf8.count + indent.utf8.count
        guard budget > 0, depth < Self.deepest else { return "…" }
        let deeper = depth + 1
        switch type.kind {
        case .void: return join("void", name)
        case .integer, .float, .typedef: return join(type.name.isEmpty ? "…" : type.name, name)
        case .structure(_, let members):
            return join(composite("struct", type.name, members, deeper, indent), name)
        case .union(_, let members):
            return join(composite("union", type.name, members, deeper, indent), name)
        case .enumeration(_, _, let values):
            return join(type.name.isEmpty ? "enum " + body(values, indent) : "enum \(type.name)", name)
        case .forward(let isUnion): return join((isUnion ? "union " : "struct ") + type.name, name)
        case .pointer(let target): return declaration(of: target, name: "*" + name, depth: deeper, indent: indent)
        case .const(let target): return qualified("const", target, name, deeper, indent)
        case .volatile(let target): return qualified("volatile", target, name, deeper, indent)
        case .restrict(let target): return qualified("restrict", target, name, deeper, indent)
        case .typeTag(let target): return declaration(of: target, name: name, depth: deeper, indent: indent)
        case .array(let element, _, let count):
            let inner = parenthesised(name)
            return declaration(of: element, name: "\(inner)[\(count)]", depth: deeper, indent: indent)
        case .prototype(let result, let parameters):
            let inner = parenthesised(name)
            return declaration(of: result, name: inner + list(parameters, deeper), depth: deeper, indent: indent)
        case .function(let prototype, _):
            return declaration(of: prototype, name: name.isEmpty ? type.name : name, depth: deeper, indent: indent)
        case .variable(let target, _):
            return declaration(of: target, name: name.isEmpty ? type.name : name, depth: deeper, indent: indent)
        case .dataSection, .declarationTag: return join("…", name)
        }
    }

    mutating func definition(of id: BTF.TypeID) -> String {
        let type = btf[id]
        switch type.kind {
        case .structure(_, let members):
            return "struct \(type.name.isEmpty ? "" : type.name + " ")\(body(members, 1, ""))" + ";"
        case .union(_, let members):
            return "union \(type.name.isEmpty ? "" : type.name + " ")\(body(members, 1, ""))" + ";"
        case .enumeration(_, _, let values):
            return "enum \(type.name.isEmpty ? "" : type.name + " ")\(body(values, ""))" + ";"
        case .typedef(let target): return "typedef \(declaration(of: target, name: type.name, depth: 1));"
        default: return declaration(of: id, name: "", depth: 0) + ";"
        }
    }

    /// `*name` binds less than `[]` and `()`.
    private func parenthesised(_ name: String) -> String {
        name.hasPrefix("*") ? "(\(name))" : name
    }

    private func join(_ type: String, _ name: String) -> String {
        name.isEmpty ? type : "\(type) \(name)"
    }

    /// A qualifier of a pointer stands behind its star, that of anything else before the type.
    private mutating func qualified(
        _ word: String, _ target: BTF.TypeID, _ name: String, _ depth: Int, _ indent: String
    ) -> String {
        if case .pointer = btf[target].kind {
            return declaration(of: target, name: name.isEmpty ? word : "\(word) \(name)", depth: depth, indent: indent)
        }
        return "\(word) " + declaration(of: target, name: name, depth: depth, indent: indent)
    }

    private mutating func list(_ parameters: [BTFParameter], _ depth: Int) -> String {
        if parameters.isEmpty { return "(void)" }
        var parts: [String] = []
        for (index, parameter) in parameters.enumerated() {
            guard budget > 0 else { break }
            let isRest = index == parameters.count - 1 && parameter.type == .void && parameter.name.isEmpty
            parts.append(isRest ? "..." : declaration(of: parameter.type, name: parameter.name, depth: depth))
        }
        return "(" + parts.joined(separator: ", ") + ")"
    }

    private mutating func composite(
        _ word: String, _ name: String, _ members: [BTFMember], _ depth: Int, _ indent: String
    ) -> String {
        name.isEmpty ? "\(word) \(body(members, depth, indent))" : "\(word) \(name)"
    }

    private mutating func body(_ members: [BTFMember], _ depth: Int, _ indent: String) -> String {
        var text = "{\n"
        for member in members {
            guard budget > 0 else { break }
            text += indent + "    "
            text += declaration(of: member.type, name: member.name, depth: depth, indent: indent + "    ")
            if member.bitFieldSize != 0 { text += " : \(member.bitFieldSize)" }
            text += ";\n"
        }
        return text + indent + "}"
    }

    private mutating func body(_ values: [BTFEnumerator], _ indent: String) -> String {
        var text = "{\n"
        for value in values {
            budget -= 16 + value.name.utf8.count
            guard budget > 0 else { break }
            text += "\(indent)    \(value.name) = \(value.value),\n"
        }
        return text + indent + "}"
    }
}
