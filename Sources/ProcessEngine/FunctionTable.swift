import ELF
import Glibc
import LinuxProcess
import PlainText
import Trampoline

/// The functions of a process (or of one file), found by pattern. Symbols are read when they are asked for.
struct FunctionTable {
    /// A module and what was read of it.
    private struct Entry {
        var module: Module
        /// What it is known by here: its path, for further copies of it something behind that (``ModuleKey``).
        let key: String
        var symbols: ModuleSymbols?
        var prototypes: Prototypes?
        /// What an analysis of its code found, and which functions it looked at.
        var branches: (layout: ModuleAnalysis.Layout, found: EntryBranches)?
        var linker: DynamicLinker?
        var unwinder: ModuleUnwinder?
        var jumps: JumpGraph?
    }

    private let processID: Int32
    private var list: ModuleList?
    private var entries: [String: Entry] = [:]
    private(set) var order: [String] = []
    /// What holds for the functions of modules, by path, as far as it was asked for.
    private var policies: [String: [UInt64: FunctionPolicy]] = [:]
    private(set) var problem: String?
    private var remarked: Set<String> = []

    init(processID: Int32) {
        self.processID = processID
        do throws(ProcessError) {
            list = try ModuleList(pid: processID)
        } catch {
            problem = "\(error)"
        }
        adopt()
    }

    private mutating func adopt() {
        let modules = list?.modules.filter { !$0.isVDSO } ?? []
        policies = [:]
        let known = Dictionary(entries.values.map { ($0.module.id, $0) }) { first, _ in first }
        var new: [Entry] = modules.compactMap { module in
            known[module.id].map { entry in
                var entry = entry
                entry.module = module
                return entry
            }
        }
        var taken = Set(new.map(\.key))
        for module in modules where known[module.id] == nil {
            let key = taken.contains(module.path) ? ModuleKey.ofCopy(path: module.path, loadBias: module.loadBias) : module.path
            if taken.insert(key).inserted { new.append(Entry(module: module, key: key)) }
        }
        new.sort { $0.module.range.lowerBound < $1.module.range.lowerBound }
        order = new.map(\.key)
        entries = Dictionary(new.map { ($0.key, $0) }) { first, _ in first }
    }

    /// Looks again; gives the keys of the modules that have come.
    mutating func refresh() -> [String] {
        let before = Set(entries.values.map(\.module.id))
        _ = try? list?.refresh()
        adopt()
        return order.filter { path in entries[path].map { !before.contains($0.module.id) } ?? false }
    }

    // MARK: - Modules

    /// The code of the executable: new code is placed near it.
    var executableRange: Range<UInt64> {
        let module = list?.executable ?? list?.modules.first { !$0.isVDSO }
        return module?.range ?? 0x40_0000..<0x40_1000
    }

    var isGoProgram: Bool { list?.executable?.file.isGo ?? false }

    /// The keys of all modules.
    var allModules: Set<String> { Set(order) }

    func executableRange(of path: String) -> Range<UInt64>? { entries[path]?.module.range }

    private func matches(_ module: Module, _ glob: Glob) -> Bool {
        if glob.text == "exe" { return module.isExecutable }
        return ModuleName.matches(glob, path: module.path, soname: module.soname)
    }

    /// Whether a module of that name is loaded.
    func hasModule(_ glob: Glob) -> Bool { entries.values.contains { matches($0.module, glob) } }

    /// Whether one of those paths is a module of that name.
    func hasModule(_ glob: Glob, among paths: Set<String>) -> Bool {
        paths.contains { entries[$0].map { matches($0.module, glob) } ?? false }
    }

    /// The loaded modules whose names are nearest to one that is not loaded.
    func nearestModules(to wanted: Glob) -> [String] {
        let loaded = order.compactMap { entries[$0]?.module.name }
        return NearestNames.of(wanted.text, in: loaded + loaded.compactMap(ModuleName.stem) + (list?.executable == nil ? [] : ["exe"]))
    }

    // MARK: - Remarks

    /// What was left out of the modules that were looked at since the last time, and why: a line each.
    mutating func takeRemarks() -> [String] {
        var found: [String] = []
        for (path, error) in list?.unreadable ?? [] { found.append(Self.line(path, "\(error)")) }
        for path in order {
            guard let entry = entries[path] else { continue }
            found += (entry.symbols?.remarks ?? []).map { Self.line(path, $0) }
            found += (entry.prototypes?.remarks ?? []).map { Self.line(path, $0) }
        }
        let new = found.filter { remarked.insert($0).inserted }
        guard new.count > Self.mostRemarks else { return new }
        return new.prefix(Self.mostRemarks) + ["… and \(new.count - Self.mostRemarks) other remarks on files"]
    }

    private static let mostRemarks = 8

    private static func line(_ path: String, _ remark: String) -> String {
        remark.contains(path.escapingControls()) ? remark : "\(path.escapingControls()): \(remark)"
    }

    // MARK: - Functions

    private mutating func symbols(of path: String) -> ModuleSymbols? {
        if let symbols = entries[path]?.symbols { return symbols }
        readSymbols(of: [path])
        return entries[path]?.symbols
    }

    /// Reads what was not read yet, on all processors.
    mutating func readSymbols(of paths: [String]) {
        let unread = paths.compactMap { entries[$0] }.filter { $0.symbols == nil }
        let read = Parallel.map(unread.indices, chunk: 1) { index in
            let symbols = ModuleSymbols(unread[index].module)
            unread[index].module.file.dropPages()
            return symbols
        }
        for (entry, symbols) in zip(unread, read) {
            var symbols = symbols
            if symbols.functions.contains(where: { $0.kind == .indirect }), let memory = try? ProcessMemory(pid: processID) {
                IndirectFunctions.resolve(&symbols, of: entry.module, among: list?.modules ?? [], memory: memory)
                entry.module.file.dropPages()
            }
            entries[entry.key]?.symbols = symbols
        }
    }

    /// The functions that a pattern matches, by module and address.
    mutating func matching(_ pattern: FunctionPattern, onlyIn only: Set<String>? = nil) -> [FunctionInfo] {
        var found: [FunctionInfo] = []
        let paths = order.filter { path in
            guard let module = entries[path]?.module, only?.contains(path) ?? true else { return false }
            return pattern.module.map { matches(module, $0) } ?? true
        }
        findPolicies(of: paths)
        for path in paths {
            guard let module = entries[path]?.module, let symbols = symbols(of: path) else { continue }
            let policies = policies[path] ?? [:]
            let infos = Parallel.map(symbols.functions.indices) {
                FunctionInfo(
                    symbols.functions[$0], moduleName: module.name, modulePath: path, loadBias: module.loadBias,
                    if: pattern.function, policies)
            }
            var addresses: Set<UInt64> = []
            if infos.count > 1 { addresses.reserveCapacity(infos.count) }
            for info in infos {
                guard let info, addresses.insert(info.address).inserted else { continue }
                found.append(info)
            }
        }
        return found
    }

    /// What holds for the functions of these modules by their names, and by those of functions that they leave to by a jump,
    /// in whatever module these are.
    private mutating func findPolicies(of paths: [String]) {
        guard paths.contains(where: { policies[$0] == nil }) else { return }
        var graphs: [String: JumpGraph] = [:]
        var wanted: Set<String> = []
        var next = Set(paths).union(policies.keys)
        while !next.isEmpty {
            for path in next {
                guard let module = entries[path]?.module, let symbols = symbols(of: path) else { continue }
                let graph = entries[path]?.jumps ?? JumpGraph(module.file, symbols)
                module.file.dropPages()
                entries[path]?.jumps = graph
                graphs[path] = graph
                wanted.formUnion(graph.importedNames)
            }
            next = Set(
                order.filter { path in
                    graphs[path] == nil && symbols(of: path).map { JumpGraph.has($0.functions, wanted) } ?? false
                })
        }
        policies = JumpPolicies.solve(graphs)
        for path in paths where policies[path] == nil { policies[path] = [:] }
    }

    /// The functions with exactly that symbol's name in any module.
    mutating func named(_ name: String) -> [FunctionInfo] {
        let glob = Glob(name)
        return order.flatMap { path -> [FunctionInfo] in
            guard let module = entries[path]?.module, let symbols = symbols(of: path) else { return [] }
            return symbols.functions(named: name).compactMap {
                FunctionInfo($0, moduleName: module.name, modulePath: path, loadBias: module.loadBias, if: glob)
            }
        }
    }

    func module(at path: String) -> Module? { entries[path]?.module }

    /// What a module has of an unwinder.
    mutating func unwinder(of path: String) -> ModuleUnwinder? {
        if let known = entries[path]?.unwinder { return known }
        guard let file = entries[path]?.module.file, let symbols = symbols(of: path) else { return nil }
        let unwinder = ModuleUnwinder(file, symbols)
        entries[path]?.unwinder = unwinder
        return unwinder
    }

    /// What the dynamic linker calls when its list of libraries has changed.
    var libraryNotification: FunctionInfo? {
        mutating get { named("_dl_debug_state").first { $0.refusalReason == nil } }
    }

    /// The dynamic linker that does so.
    var dynamicLinker: DynamicLinker? {
        mutating get {
            guard let path = libraryNotification?.modulePath, let entry = entries[path] else { return nil }
            if let linker = entry.linker { return linker }
            let linker = DynamicLinker(in: entry.module)
            entries[path]?.linker = linker
            return linker
        }
    }

    /// Why a pattern matches nothing, with the names that are nearest to what it asks for.
    mutating func nothingMatches(_ pattern: FunctionPattern) -> EngineError {
        let modules = order.filter { path in
            guard let module = entries[path]?.module else { return false }
            return pattern.module.map { matches(module, $0) } ?? true
        }
        if modules.isEmpty, let wanted = pattern.module {
            if wanted.text == "exe", list?.executable == nil, let (_, error) = list?.unreadable.first { return .request("\(error)") }
            return .noModule(
                name: wanted.text, nearest: nearestModules(to: wanted), loaded: order.compactMap { entries[$0]?.module.name })
        }
        var names: [String] = []
        for path in modules { names += symbols(of: path)?.functions.flatMap(FunctionInfo.names) ?? [] }
        return .noFunction(
            pattern: pattern.description, nearest: NearestNames.of(pattern.function.text, in: names))
    }

    /// A symbol's address in the target, functions and variables alike: the executable's first.
    func symbolAddress(_ name: String) -> UInt64? {
        for path in order {
            guard let module = entries[path]?.module else { continue }
            for table in [try? module.file.dynamicSymbols, try? module.file.symbols] {
                guard let table else { continue }
                for symbol in table
                where symbol.isDefined && symbol.type != .threadLocal && symbol.type != .section && symbol.type != .file {
                    if table.name(of: symbol) == name { return symbol.value &+ module.loadBias }
                }
            }
        }
        return nil
    }

    // MARK: - Prototypes

    /// Where a function's arguments are: by its debug information, else the six integer registers.
    mutating func convention(of function: FunctionInfo) -> Prototypes.Convention {
        guard var entry = entries[function.modulePath] else { return .unknown }
        if entry.prototypes == nil {
            entry.prototypes = Prototypes(entry.module.file, at: entry.module.place, entry.symbols)
        }
        let convention = entry.prototypes?.convention(at: function.address &- entry.module.loadBias) ?? .unknown
        entries[function.modulePath]?.prototypes = entry.prototypes
        return convention
    }

    /// The conventions of many functions, read in one go.
    mutating func conventions(of functions: [FunctionInfo]) -> [Prototypes.Convention] {
        var result = Array(repeating: Prototypes.Convention.unknown, count: functions.count)
        var first = 0
        while first < functions.count {
            // Those of one module mostly follow one another.
            let path = functions[first].modulePath
            var last = first
            while last + 1 < functions.count, functions[last + 1].modulePath == path { last += 1 }
            let indices = first...last
            first = last + 1
            guard let entry = entries[path] else { continue }
            var prototypes = entry.prototypes ?? Prototypes(entry.module.file, at: entry.module.place, entry.symbols)
            let bias = entry.module.loadBias
            prototypes.read(indices.lazy.map { functions[$0].address &- bias })
            for index in indices { result[index] = prototypes.convention(at: functions[index].address &- bias) }
            entries[path]?.prototypes = prototypes
        }
        return result
    }

    // MARK: - Code

    /// Whether exceptions may be caught somewhere in the process: some module has handlers. The C library has
    /// some, too, for thread cancellation, but loads the unwinder only when it needs it.
    var hasExceptionHandlers: Bool {
        entries.values.contains { entry in
            !entry.module.name.hasPrefix("libc.so") && !entry.module.name.hasPrefix("libc-")
                && entry.module.file.section(named: ".gcc_except_table") != nil
        }
    }

    /// What displacing some functions of a module needs to know of its code. `patched`: what our jumps overwrote.
    mutating func analysis(
        of path: String, for infos: [FunctionInfo], memory: borrowing ProcessMemory, patched: [CodeRange]
    ) throws(EngineError) -> ModuleAnalysis {
        guard let module = entries[path]?.module, let symbols = symbols(of: path) else {
            throw .request("\(ModuleKey.path(path)) is no module of the process")
        }
        var code: [CodeRange] = []
        for range in module.codeRanges {
            do throws(ProcessError) {
                code.append(
                    CodeRange(
                        address: range.lowerBound, bytes: try memory.readBulk(at: range.lowerBound, count: range.count)))
            } catch {
                throw .target(pid: processID, doing: "read the code of \(ModuleKey.path(path))", because: "\(error)")
            }
        }
        let known = entries[path]?.branches
        let layout =
            (known?.layout
            ?? .init(
                starts: symbols.functions.map { $0.address &+ module.loadBias }, sizes: symbols.functions.map(\.size)))
            .adding(infos.map { ($0.address, $0.size) })
        let isKnown = known?.layout.starts.count == layout.starts.count
        let range = module.range
        let analysis = ModuleAnalysis(
            code: code, patched: patched.filter { range.contains($0.address) }, layout: layout,
            pointers: CodePointers(module.file, labels: symbols.labels, bias: module.loadBias), branches: isKnown ? known?.found : nil,
            unwoundRange: UnwindIndex.ranges(of: module.file, bias: module.loadBias))
        // Its data was read for pointers and jump tables.
        module.file.dropPages()
        entries[path]?.branches = (layout, analysis.branches)
        return analysis
    }
}
