import BPF
import BTF

/// What a global function is handed: it is verified by itself for every such argument, and calls of it are checked
/// against this and not walked into.
enum GlobalParameter: Hashable, Sendable {
    case scalar
    case context
    /// A pointer to that many bytes, or null.
    case memory(Int32)

    /// Sets what is known of a subprogram's linkage and parameters. One with a type that cannot be checked by itself
    /// stays what a static one is, walked into at each call.
    static func describe(
        _ subprogram: ObjectProgram.Subprogram, in btf: BTF?, _ function: inout PreparedProgram.Function
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
        guard subprogram.isGlobal, isScalar(result, btf) else { return }
        var described: [GlobalParameter] = []
        for parameter in parameters {
            guard let description = describe(parameter.type, btf) else { return }
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

    private static func describe(_ id: BTF.TypeID, _ btf: BTF) -> GlobalParameter? {
        if isScalar(id, btf) { return .scalar }
        guard let resolved = btf.resolve(id), case .pointer(let target) = btf[resolved].kind,
            let pointee = btf.resolve(target), let size = btf.size(of: pointee), size > 0, size <= 1 << 28
        else { return nil }
        switch btf[pointee].kind {
        // The context is a pointer to 64-bit numbers, too.
        case .integer where size == 8: return nil
        // What clang makes of `void *` and of incomplete types has no size, and is walked into.
        case .structure, .union, .integer, .enumeration, .array: return .memory(Int32(truncatingIfNeeded: size))
        default: return nil
        }
    }
}
