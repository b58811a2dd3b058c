import BTF
import Engine
import LinuxProcess

/// A function's prototype from BTF: the words of `ctx`, and how to show them.
struct KernelPrototype: Sendable {
    /// Words of arguments in `ctx`; the return value is behind them.
    private(set) var argumentWords = 0
    private(set) var context = ContextWords()
    /// Why the kernel cannot trace a function of this type.
    private(set) var refusal: String?

    init(of function: BTF.TypeID, in types: some TypeTable) {
        guard case .function(let prototype, _) = types[function].kind,
            case .prototype(let result, let parameters) = types[prototype].kind
        else {
            refusal = "its type is not known"
            return
        }
        var words: [(range: Range<Int>, isIndirect: Bool)] = []
        var shown: [FunctionPrototype.Parameter] = []
        for parameter in parameters {
            if parameter.type == .void, parameter.name.isEmpty {
                refusal = "it takes a variable number of arguments"
                break
            }
            let count = Int(((types.size(of: parameter.type) ?? 8) + 7) / 8)
            if count > 2 { refusal = "argument '\(parameter.name)' is passed by value and has more than 16 bytes" }
            words.append((argumentWords..<argumentWords + max(count, 1), false))
            argumentWords += max(count, 1)
            shown.append(
                FunctionPrototype.Parameter(
                    name: parameter.name.isEmpty ? nil : parameter.name, type: Self.valueType(parameter.type, types)))
        }
        // `MAX_BPF_FUNC_ARGS`
        if parameters.count > 12 { refusal = "it takes \(parameters.count) arguments; at most 12 can be traced" }
        if let size = types.size(of: result), size > 8 { refusal = "it returns a struct of \(size) bytes" }
        context = ContextWords(
            prototype: FunctionPrototype(
                name: types[function].name, parameters: shown,
                returnType: result == .void ? nil : Self.valueType(result, types)),
            words: words)
    }

    private static func valueType(_ id: BTF.TypeID, _ types: some TypeTable) -> ValueType {
        let resolved = types.resolve(id) ?? id
        let size = Int(clamping: types.size(of: resolved) ?? 0)
        let kind: ValueType.Kind
        switch types[resolved].kind {
        case .integer(let integer):
            kind =
                integer.isBoolean
                ? .boolean
                : integer.isSigned && integer.size == 1
                    ? .character
                    : integer.isSigned ? .signed : .unsigned
        case .pointer: kind = .pointer(to: .other)
        case .enumeration(_, _, let values):
            kind = .enumeration(
                values.prefix(ValueType.maximumEnumerators).map { ValueType.Enumerator(value: $0.value, name: $0.name) })
        case .structure: kind = .structure(fields: [], byReference: false)
        case .union: kind = .union(fields: [], byReference: false)
        case .float: kind = .float
        default: kind = .unknown
        }
        return ValueType(name: types[resolved].name, byteCount: size, kind: kind)
    }
}
