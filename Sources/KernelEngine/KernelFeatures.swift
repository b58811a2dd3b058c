import BPF
import BTF
import Engine

/// What the running kernel has, by its own types.
enum KernelFeatures {
    /// `BPF_TRACE_FSESSION` and the kfuncs that belong to it.
    static func hasSessions(_ types: BTFIndex) -> Bool {
        hasAttachType("BPF_TRACE_FSESSION", types) && types.id(named: SessionKfunc.cookie.rawValue, .function) != nil
    }

    static func hasAttachType(_ name: String, _ types: BTFIndex) -> Bool {
        hasEnumerator(name, of: "bpf_attach_type", types)
    }

    static func hasEnumerator(_ name: String, of enumeration: String, _ types: BTFIndex) -> Bool {
        guard let id = types.id(named: enumeration, .enumeration),
            case .enumeration(_, _, let values) = types[id].kind
        else { return false }
        return values.contains { $0.name == name }
    }

    /// Says which kernel has this kind of programs where the running one has not: it would name them in its types.
    static func require(_ kind: ProgramKind, of program: String, _ types: BTFIndex) throws(EngineError) {
        let known = KernelKind(kind)
        guard let constant = known.constant, !hasAttachType(constant, types) else { return }
        throw .kernel(
            doing: "attach '\(program)'",
            because: "this kernel has no \(kind.rawValue) programs (\(constant)); Linux \(known.since) and later have them")
    }
}
