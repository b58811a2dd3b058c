import BPF
import BTF
import Engine
import LinuxBPF

/// What the running kernel has, by its own types.
enum KernelFeatures {
    /// `BPF_TRACE_FSESSION` and the kfuncs that belong to it.
    static func hasSessions(_ types: BTFIndex) -> Bool {
        has(.session, types) == true && types.id(named: SessionKfunc.cookie.rawValue, .function) != nil
    }

    /// Whether its types name the way that programs of a kind are attached; nil for kinds that every kernel with types has.
    static func has(_ kind: ProgramKind, _ types: BTFIndex) -> Bool? {
        KernelKind(kind).type.attachType.map { enumerators(of: "bpf_attach_type", types)[$0.constant] != nil }
    }

    static func enumerators(of enumeration: String, _ types: BTFIndex) -> [String: Int64] {
        guard let id = types.id(named: enumeration, .enumeration), case .enumeration(_, _, let values) = types[id].kind else { return [:] }
        return Dictionary(values.map { ($0.name, $0.value) }) { first, _ in first }
    }

    /// Says which kernel has this kind of programs where the running one has not: it would name them in its types.
    static func require(_ kind: ProgramKind, of program: String, _ types: BTFIndex) throws(EngineError) {
        guard has(kind, types) == false else { return }
        let constant = KernelKind(kind).type.attachType?.constant ?? ""
        throw .kernel(
            doing: "attach '\(program)'",
            because: "this kernel has no \(kind.rawValue) programs (\(constant)); \(KernelHistory.since(kind)) and later have them")
    }
}
