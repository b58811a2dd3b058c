import BPF
import BTF
import PlainText

/// What a global function is handed: it is verified by itself for every such argument, and calls of it are checked
/// against this and not walked into.
enum GlobalParameter: Hashable, Sendable {
    case scalar
    case context
    /// A pointer to that many bytes, or null where it may be.
    case memory(Int32, isNullable: Bool)

    /// What a program says of a parameter besides its type: `__arg_ctx`, `__arg_nonnull`.
    struct Tags {
        fileprivate var isContext = false
        fileprivate var isNotNull = false
        /// The first one that has no meaning here.
        fileprivate var unknown: String?
    }

    /// A parameter of a function of the program.
    struct Place: Hashable {
        var function: BTF.TypeID
        var number: Int
    }

    /// The tags of all parameters: declaration tags "arg:…" of functions.
    static func tags(in btf: BTF) -> [Place: Tags] {
        var tags: [Place: Tags] = [:]
        for id in btf.ids {
            guard case .declarationTag(let function, let component) = btf[id].kind, component >= 0,
                btf[id].name.hasPrefix("arg:"), case .function = btf[function].kind
            else { continue }
            let place = Place(function: function, number: Int(component))
            switch btf[id].name.dropFirst(4) {
            case "ctx": tags[place, default: Tags()].isContext = true
            case "nonnull": tags[place, default: Tags()].isNotNull = true
            default: tags[place, default: Tags()].unknown = btf[id].name.escapingControls()
            }
        }
        return tags
    }

    /// Sets what is known of a subprogram's linkage and parameters. One with a type that cannot be checked by itself
    /// stays what a static one is, walked into at each call.
    static func describe(
        _ subprogram: ObjectProgram.Subprogram, in btf: BTF?, _ tags: [Place: Tags],
        _ function: inout PreparedProgram.Function
    ) throws(VerifierFailure) {
        guard let typeID = subprogram.typeID, let btf else { return }
        guard case .function(let prototype, _) = btf[typeID].kind,
            case .prototype(let result, let parameters) = btf[prototype].kind
        else {
            throw VerifierFailure(
                slot: subprogram.start, message: "invalid type id \(typeID) in func info of \(subprogram.name)()",
                hint: "the object's BTF is damaged: compile it again with -g")
        }
        guard parameters.count <= 5 else {
            throw VerifierFailure(
                slot: subprogram.start,
                message: "Global function \(subprogram.name)() with \(parameters.count) > 5 args. Buggy compiler.",
                hint: "functions of BPF programs have five parameters at most")
        }
        function.returnsNumber = isScalar(result, btf)
        guard subprogram.isGlobal, function.returnsNumber else { return }
        var described: [GlobalParameter] = []
        for (number, parameter) in parameters.enumerated() {
            let tags = tags[Place(function: typeID, number: number)]
            if let unknown = tags?.unknown {
                throw VerifierFailure(
                    slot: subprogram.start, message: "arg#\(number) of \(subprogram.name)() has unsupported set of tags",
                    hint: "in a process \"\(unknown)\" has no meaning: there are arg:ctx and arg:nonnull")
            }
            guard let description = describe(parameter.type, btf, tags ?? Tags()) else {
                guard tags == nil else {
                    throw VerifierFailure(
                        slot: subprogram.start,
                        message: "arg#\(number) of \(subprogram.name)() is tagged, and no pointer to a type that has a size")
                }
                return
            }
            described.append(description)
        }
        function.isGlobal = true
        function.parameters = described
    }

    private static func isScalar(_ id: BTF.TypeID, _ btf: BTF) -> Bool {
        guard let resolved = btf.resolve(id) else { return false }
        switch btf[resolved].kind {
        case .integer(let integer): return integer.size <= 8
        case .enumeration: return true
        default: return false
        }
    }

    private static func describe(_ id: BTF.TypeID, _ btf: BTF, _ tags: Tags) -> GlobalParameter? {
        if isScalar(id, btf) { return tags.isContext || tags.isNotNull ? nil : .scalar }
        guard let resolved = btf.resolve(id), case .pointer(let target) = btf[resolved].kind else { return nil }
        // Whatever its type: void *, u64 *, a structure.
        if tags.isContext { return .context }
        guard let pointee = btf.resolve(target), let size = btf.size(of: pointee), size > 0, size <= 1 << 28 else {
            return nil
        }
        switch btf[pointee].kind {
        // The context is a pointer to 64-bit numbers, too.
        case .integer where size == 8 && !tags.isNotNull: return nil
        // What clang makes of `void *` and of incomplete types has no size, and is walked into.
        case .structure, .union, .integer, .enumeration, .array:
            return .memory(Int32(truncatingIfNeeded: size), isNullable: !tags.isNotNull)
        default: return nil
        }
    }
}
