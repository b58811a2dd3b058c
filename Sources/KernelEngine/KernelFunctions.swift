import BTF
import Engine
import Glibc
import LinuxProcess

/// A function of the kernel, of a module, or of a loaded program, with its type.
struct KernelFunction: Sendable {
    let name: String
    /// "kernel" for vmlinux, else the module's name, "prog" for programs.
    let module: String
    let target: LoadTarget
    let prototype: KernelPrototype
    /// Why it cannot be traced; nil as far as that is known before the kernel is asked.
    var refusal: String?
    /// Why only its entry can be traced.
    var entryOnly: String?
    var address: UInt64 = 0
    /// Of a loaded program: several may have one name.
    var programID: UInt32?

    /// Tells it from all others.
    var key: String { programID.map { "\(name)#\($0)" } ?? name }

    var info: FunctionInfo {
        FunctionInfo(
            name: name, module: module, modulePath: module, address: address, size: 0, refusalReason: refusal,
            entryOnlyReason: entryOnly)
    }
}

/// Chooses functions by pattern: those with a type, less those that the kernel cannot trace.
struct KernelFunctions {
    var traceable = TraceableFunctions()

    /// The functions that a pattern matches, in the order of the types.
    mutating func matching(_ pattern: FunctionPattern, _ kernel: inout KernelTypes) throws(EngineError) -> [KernelFunction] {
        if let module = pattern.module, module.text == "prog" { return try LoadedPrograms.matching(pattern.function) }
        traceable.read(pattern.function)
        var found: [KernelFunction] = []
        for source in try sources(pattern, &kernel) {
            let module = source.name == "vmlinux" ? "kernel" : source.name
            if pattern.function.isPattern {
                var seen: Set<String> = []
                for (name, id) in source.types.functions()
                where pattern.function.matches(name) && seen.insert(name).inserted {
                    // Most of what has a type and cannot be traced was inlined; a pattern does not mean that.
                    if traceable.count(name, module) == 0 { continue }
                    found.append(function(name, id, module, source))
                }
            } else if let id = source.types.id(named: pattern.function.text, .function) {
                found.append(function(pattern.function.text, id, module, source))
            }
        }
        if found.isEmpty { throw try nothing(pattern, &kernel) }
        return found
    }

    private func sources(_ pattern: FunctionPattern, _ kernel: inout KernelTypes) throws(EngineError) -> [KernelTypes.Source] {
        guard let module = pattern.module, module.text != "kernel" else {
            if !pattern.function.isPattern, kernel.vmlinux.types.id(named: pattern.function.text, .function) != nil {
                return [kernel.vmlinux]
            }
            return try kernel.all()
        }
        var sources: [KernelTypes.Source] = []
        for name in ["vmlinux"] + KernelTypes.moduleNames.sorted() where module.matches(name) {
            if let source = try kernel.module(name) { sources.append(source) }
        }
        if sources.isEmpty {
            let loaded = KernelTypes.moduleNames.sorted()
            throw .noModule(
                name: module.text, nearest: NearestNames.of(module.text, in: loaded + ["kernel", "prog"]),
                loaded: ["kernel", "prog"] + loaded.prefix(8))
        }
        return sources
    }

    private func function(
        _ name: String, _ id: BTF.TypeID, _ module: String, _ source: KernelTypes.Source
    ) -> KernelFunction {
        let prototype = KernelPrototype(of: id, in: source.types)
        var refusal: String?
        if let count = traceable.count(name, module) {
            switch count {
            case 0: refusal = "the kernel cannot trace it: it is inlined, notrace, or not compiled in"
            case 1: break
            default: refusal = "the name stands for \(count) functions at different addresses; trace one of its callers"
            }
        }
        refusal = KernelFunctionPolicy.refusal(of: name) ?? refusal ?? prototype.refusal
        return KernelFunction(
            name: name, module: module, target: LoadTarget(function: id, holder: source.descriptor),
            prototype: prototype, refusal: refusal,
            entryOnly: KernelFunctionPolicy.neverReturns(name) ? "it never returns" : nil)
    }

    /// Why a pattern matches nothing: with the names nearest to it, or a function that has no type.
    private mutating func nothing(_ pattern: FunctionPattern, _ kernel: inout KernelTypes) throws(EngineError) -> EngineError {
        let name = pattern.function.text
        if !pattern.function.isPattern,
            let reason = KernelFunctionPolicy.reasonWithoutType(
                places: traceable.places(of: name), addresses: KernelSymbols.addresses(of: [name])[name]?.count ?? 0)
        {
            throw .refused(function: name, because: reason)
        }
        var names: [String] = []
        for source in try sources(FunctionPattern(module: pattern.module?.text, function: "*"), &kernel) {
            names += source.types.functions().map(\.name)
        }
        return .noFunction(pattern: pattern.description, nearest: NearestNames.of(name, in: names))
    }
}
