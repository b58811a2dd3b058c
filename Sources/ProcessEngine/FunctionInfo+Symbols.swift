import ELF
import LinuxProcess
import MachineCode
import Trampoline

/// How modules are named in patterns.
enum ModuleName {
    static func matches(_ glob: Glob, path: String, soname: String?) -> Bool {
        let name = last(path)
        if glob.matches(path) || glob.matches(name) { return true }
        if let soname, glob.matches(soname) { return true }
        return stem(name).map { glob.matches($0) } ?? false
    }

    static func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// `libz` of `libz.so.1.2.13`, `libfoo-2` of `libfoo-2.so`.
    static func stem(_ name: String) -> String? {
        var rest = name[...]
        while let dot = rest.firstIndex(of: ".") {
            if rest[dot...].hasPrefix(".so") { return String(name[..<dot]) }
            rest = rest[rest.index(after: dot)...]
        }
        return nil
    }
}

extension FunctionInfo {
    /// The function of a symbol, if one of its names matches: as the file has it, or readable.
    /// - Parameter policies: of the module's functions, where they are known already, by address of the file.
    init?(
        _ symbol: FunctionSymbol, moduleName: String, modulePath: String, loadBias: UInt64, if glob: Glob,
        _ policies: [UInt64: FunctionPolicy]? = nil
    ) {
        guard let match = Self.match(symbol, glob) else { return nil }
        self.init(
            name: match.name, aliases: match.name == symbol.name ? symbol.aliases : symbol.names.filter { $0 != match.name },
            demangled: match.demangled, module: moduleName, modulePath: modulePath,
            address: (symbol.resolvedAddress ?? symbol.address) &+ loadBias,
            size: symbol.kind == .indirect ? symbol.resolvedSize ?? 64 : symbol.size)
        if symbol.kind == .indirect, symbol.resolvedAddress == nil {
            refusalReason = "an indirect function (IFUNC) whose implementation nothing in the process refers to yet"
        }
        switch policies.map({ Self.policy(of: symbol, $0) }) ?? FunctionPolicy.of(names: symbol.names) {
        case .any: break
        case .entryOnly(let reason): entryOnlyReason = reason
        case .never(let reason): refusalReason = reason
        }
    }

    private static func policy(of symbol: FunctionSymbol, _ policies: [UInt64: FunctionPolicy]) -> FunctionPolicy {
        let own = policies[symbol.address] ?? .any
        guard let resolved = symbol.resolvedAddress else { return own }
        return own.stricter(policies[resolved] ?? .any)
    }

    /// The name of the symbol that matches: as it is, else in its readable form, which may leave out much (`ReadableName`).
    private static func match(_ symbol: FunctionSymbol, _ glob: Glob) -> (name: String, demangled: String?)? {
        if glob.matches(symbol.name) { return (symbol.name, nil) }
        if let name = symbol.aliases.first(where: { glob.matches($0) }) { return (name, nil) }
        guard glob.mayBeReadable else { return nil }
        for name in symbol.names where isMangled(name) {
            guard let text = Demangler.demangle(name) else { continue }
            if ReadableName.forms(of: text, mangled: name).contains(where: glob.matches) { return (name, text) }
        }
        return nil
    }

    private static func isMangled(_ name: String) -> Bool {
        name.hasPrefix("_Z") || name.hasPrefix("_R") || name.hasPrefix("$s") || name.hasPrefix("_$s")
    }

    /// What a symbol may be called in a pattern: for those who misspelt it.
    static func names(of symbol: FunctionSymbol) -> [String] {
        symbol.names.flatMap { name -> [String] in
            guard isMangled(name), let text = Demangler.demangle(name) else { return [name] }
            return [name, ReadableName.forms(of: text, mangled: name).last ?? text]
        }
    }
}

/// What tracing a function would overwrite.
package struct EntryDecision: Sendable {
    package enum Outcome: Sendable {
        case patched(DisplacedEntry)
        /// By which rule.
        case refused(String)
    }

    package var name: String
    package var outcome: Outcome
}

/// The functions of a file that no process needs to have loaded.
package enum FileFunctions {
    package static func matching(
        _ pattern: FunctionPattern, inFile path: String
    ) throws(EngineError) -> [FunctionInfo] {
        let (functions, analysis, conventions) = try read(pattern, path)
        return Parallel.map(functions.indices) { index in
            var info = functions[index]
            info.refusalReason = info.refusalReason ?? analysis.refusal(of: info, conventions[index])
            return info
        }
    }

    /// What tracing every function of a file would overwrite: as in a process that has it loaded.
    package static func decisions(inFile path: String) throws(EngineError) -> [EntryDecision] {
        let (found, analysis, conventions) = try read(FunctionPattern("*"), path)
        return Parallel.map(found.indices) { index in
            EntryDecision(name: found[index].name, outcome: outcome(found[index], conventions[index], analysis))
        }
    }

    private static func outcome(
        _ info: FunctionInfo, _ convention: CallingConvention, _ analysis: ModuleAnalysis
    ) -> EntryDecision.Outcome {
        if let refusal = info.refusalReason { return .refused(refusal) }
        do throws(DisplacementError) {
            return .patched(try analysis.plan(of: info, convention))
        } catch {
            return .refused(error.reason)
        }
    }

    private static func read(
        _ pattern: FunctionPattern, _ path: String
    ) throws(EngineError) -> (functions: [FunctionInfo], analysis: ModuleAnalysis, conventions: [CallingConvention]) {
        let file: ELFFile
        do throws(ELFError) {
            file = try ELFFile(path: path)
        } catch {
            throw .request("\(error)")
        }
        guard file.machine.rawValue == Registers.machine else {
            throw .request("\(path) is for \(file.machine); only files for this machine's architecture can be traced")
        }
        if file.isGo {
            throw .request(
                "\(path) is a Go program; Go moves its stacks, and the frame of a trampoline on one would crash it; use Go's own tools, such as delve"
            )
        }
        if let module = pattern.module, module.text != "exe",
            !ModuleName.matches(module, path: path, soname: file.soname)
        {
            throw .noFunction(
                pattern: pattern.description, nearest: ["\(ModuleName.last(path)):\(pattern.function.text)"])
        }
        let symbols = ModuleSymbols(file: file, at: DebugFile.Place(path))
        let policies = JumpPolicies.solve([path: JumpGraph(file, symbols)])[path]
        let found = symbols.functions.compactMap {
            FunctionInfo(
                $0, moduleName: ModuleName.last(path), modulePath: path, loadBias: 0, if: pattern.function, policies)
        }
        if found.isEmpty {
            throw .noFunction(
                pattern: pattern.description,
                nearest: NearestNames.of(pattern.function.text, in: symbols.functions.flatMap(FunctionInfo.names)))
        }
        let code = file.withoutOverlaps(file.sections.filter { $0.flags.contains(.execute) && $0.type == .bits }).compactMap { section in
            (try? file.bytes(of: section)).map { CodeRange(address: section.address, bytes: $0.bytes) }
        }
        let analysis = ModuleAnalysis(
            code: code,
            layout: .init(starts: symbols.functions.map(\.address), sizes: symbols.functions.map(\.size)),
            pointers: CodePointers(file, labels: symbols.labels, bias: 0), unwoundRange: UnwindIndex.ranges(of: file, bias: 0))
        var prototypes = Prototypes(file, at: DebugFile.Place(path), symbols)
        prototypes.read(Set(found.map(\.address)))
        return (found, analysis, found.map { prototypes.convention(at: $0.address).calling })
    }
}
