import BPF
import BTF
import CLinux
import Engine
import Glibc
import LinuxProcess

/// Sessions in the running kernel, by bpf(2).
///
/// Everything that it makes lives as long as its descriptors: when fsession ends, however it ends, the kernel takes
/// all of it out.
package actor KernelEngine {
    package nonisolated let processID: Int32 = 0
    package nonisolated let queue = EventQueue()
    package nonisolated let registry = LinkRegistry()

    let reader: KernelReader
    var kernel: KernelTypes
    var functions = KernelFunctions()
    /// Whether the kernel has sessions of its own.
    let isNative: Bool
    private var readsPrints = false

    /// An object that was loaded: its programs are loaded once more for each function, as the kernel wants it.
    private struct Loaded {
        var loader: ProgramLoader
        /// Where the maps of the split begin; each program with a cookie has its own.
        var cookieMaps: [String: Int] = [:]
    }
    private var objects: [Loaded] = []
    /// By program id: its object and its name.
    private var programs: [Int: (object: Int, name: String)] = [:]

    var links: [Int: KernelLink] = [:]
    var nextLink = 0
    var trace: KernelTracing?
    /// Runs that the kernel skipped of links that are gone.
    private var missed: UInt64 = 0
    private var finished: EngineSummary?

    package init() throws(EngineError) {
        kernel = try KernelTypes()
        isNative = KernelFeatures.hasSessions(kernel.vmlinux.types)
        reader = KernelReader(queue: queue)
    }

    /// Whether this machine's kernel has sessions; else they are split.
    package static var hasNativeSessions: Bool {
        guard let kernel = try? KernelTypes() else { return false }
        return KernelFeatures.hasSessions(kernel.vmlinux.types)
    }

    // MARK: Objects

    private func load(_ object: Object) throws(EngineError) -> EngineObject {
        let types = try ObjectTypes(object)
        var maps: [KernelMap] = []
        for definition in object.maps {
            guard definition.type != .perfEventArray else {
                throw .map(
                    name: definition.name,
                    because: "perf event arrays are not read in the kernel; use BPF_MAP_TYPE_RINGBUF")
            }
            maps.append(try KernelMap(definition, types: types))
        }
        var loaded = Loaded(
            loader: try ProgramLoader(object, types: types, maps: maps, kernel: &kernel))
        if !isNative {
            for program in object.programs where program.section.kind.single == .session {
                let split = SessionSplit(program: program, externs: object.externs, types: nil, firstMap: 0)
                guard split.usesCookie else { continue }
                loaded.cookieMaps[program.name] = maps.count
                for definition in SessionSplit.maps() { maps.append(try KernelMap(definition, types: nil)) }
            }
            loaded.loader = try ProgramLoader(object, types: types, maps: maps, kernel: &kernel)
        }
        for map in maps where map.definition.type == .ringBuffer { try reader.add(.records(map)) }
        if !readsPrints, object.programs.contains(where: \.prints) {
            try reader.add(.prints)
            readsPrints = true
        }
        objects.append(loaded)
        var result: [EngineProgram] = []
        for program in object.programs {
            programs[programs.count] = (objects.count - 1, program.name)
            result.append(EngineProgram(id: programs.count - 1, name: program.name, section: program.section))
        }
        return EngineObject(object: object, maps: Array(maps.prefix(object.maps.count)), programs: result)
    }

    // MARK: Links

    private func link(_ requests: [AttachRequest]) throws(EngineError) -> LinkReport {
        var report = LinkReport()
        var new: [Int: KernelLink] = [:]
        for request in requests {
            guard let (index, name) = programs[request.program.id], let program = objects[index].loader.program(name) else {
                throw .request("no program '\(request.program.name)' is loaded")
            }
            guard program.section.kind.isAtFunctions else {
                let place = request.pattern ?? FunctionPattern(program.section)
                let attached = try Attacher(program, objects[index].loader, place: place, cookie: request.cookie)
                    .attach(&kernel, &functions.traceable)
                let id = nextLink
                nextLink += 1
                new[id] = KernelLink(
                    key: KernelLink.Key(program: request.program.id, module: "", function: place?.description ?? ""),
                    attached: attached.programs)
                for place in attached.places {
                    report.linked.append(
                        registry.append {
                            LinkedFunction(
                                id: $0, link: id, function: place, program: name, argumentCount: 0, context: ContextWords())
                        })
                }
                if !attached.text.isEmpty {
                    queue.append([.print(time: clinux_monotonic(), processID: 0, threadID: 0, text: attached.text)])
                }
                continue
            }
            let pattern = try request.functions()
            var reasons: [String] = []
            var linked = 0
            for function in try functions.matching(pattern, &kernel) {
                let key = KernelLink.Key(program: request.program.id, module: function.module, function: function.key)
                do throws(EngineError) {
                    try check(function, program.section.kind.single, key, links.values.map(\.key) + new.values.map(\.key))
                    let attached = try attach(program, of: index, to: function, cookie: request.cookie)
                    let id = nextLink
                    nextLink += 1
                    new[id] = KernelLink(key: key, attached: attached)
                    linked += 1
                    report.linked.append(
                        registry.append {
                            LinkedFunction(
                                id: $0, link: id, function: function.info, program: name,
                                argumentCount: function.prototype.argumentWords, context: function.prototype.context)
                        })
                } catch {
                    guard pattern.function.isPattern, !error.isFinal else { throw error }
                    reasons.append(error.reason)
                    report.refused.append(RefusedFunction(function: function.info, reason: error.reason))
                }
            }
            if linked == 0 { throw .allRefused(pattern: pattern.description, reasons: reasons) }
        }
        links.merge(new) { $1 }
        return report
    }

    private func check(
        _ function: KernelFunction, _ kind: ProgramKind, _ key: KernelLink.Key, _ known: [KernelLink.Key]
    ) throws(EngineError) {
        if let refusal = function.refusal { throw .refused(function: function.name, because: refusal) }
        if let reason = function.entryOnly, kind != .fentry {
            throw .refused(function: function.name, because: "\(reason): only an fentry program can be attached to it")
        }
        if known.contains(key) {
            throw .refused(function: function.name, because: "the program is attached to it already (EBUSY)")
        }
    }

    /// Attaches a program to a function; gives what holds it there.
    private func attach(
        _ program: ObjectProgram, of object: Int, to function: KernelFunction, cookie: UInt64
    ) throws(EngineError) -> AttachedPrograms {
        let loader = objects[object].loader
        guard program.section.kind.single == .session, !isNative else {
            let loaded = try loader.load(program, as: ProgramType(program.section.kind.single), for: function.target)
            return AttachedPrograms([try KernelLink.create(loaded, program.name, function, cookie: cookie)])
        }
        let split = SessionSplit(
            program: program, externs: loader.object.externs, types: loader.types.split(of: program.name),
            firstMap: objects[object].cookieMaps[program.name] ?? 0)
        return try Self.attach(split, loader, function, cookie: cookie)
    }

    /// The entry first: an exit never runs for a call whose entry did not.
    static func attach(
        _ split: SessionSplit, _ loader: ProgramLoader, _ function: KernelFunction, cookie: UInt64
    ) throws(EngineError) -> AttachedPrograms {
        let words = function.prototype.argumentWords
        let entry = try loader.load(try split.half(.entry, arguments: words), as: .fentry, for: function.target)
        let exit = try loader.load(try split.half(.exit, arguments: words), as: .fexit, for: function.target)
        let first = try KernelLink.create(entry, split.program.name, function, cookie: cookie)
        let second = try KernelLink.create(exit, split.program.name, function, cookie: cookie)
        return AttachedPrograms([second, first])
    }

    // MARK: The end

    private func finish() async -> EngineSummary {
        if let finished { return finished }
        for id in links.keys.sorted(by: >) { close(id) }
        missed &+= trace?.close() ?? 0
        let summary = summaryNow()
        finished = summary
        await reader.stop()
        queue.finish()
        return summary
    }

    private func close(_ id: Int) {
        guard var link = links.removeValue(forKey: id) else { return }
        missed &+= link.close()
    }

    private func summaryNow() -> EngineSummary {
        if let finished { return finished }
        var summary = EngineSummary()
        summary.missed = links.values.reduce(missed &+ (trace?.missed ?? 0)) { $0 &+ $1.attached.missed }
        if let trace { trace.add(to: &summary) }
        for loaded in objects {
            for (program, place) in loaded.cookieMaps.sorted(by: { $0.key < $1.key }) {
                let missed = loaded.loader.maps[place + 1].word(0)
                if missed > 0 { summary.drops.append((map: "the cookies of \(program)", count: missed)) }
            }
        }
        return summary
    }
}

extension KernelEngine: SessionEngine {
    package func functions(matching pattern: FunctionPattern) throws(EngineError) -> [FunctionInfo] {
        var found = try functions.matching(pattern, &kernel)
        let addresses = KernelSymbols.addresses(of: Set(found.map(\.name)))
        for index in found.indices { found[index].address = addresses[found[index].name]?.first ?? 0 }
        return found.map(\.info)
    }

    package func loadObject(_ object: Object, _ options: LoadOptions) throws(EngineError) -> EngineObject {
        try load(object)
    }

    package func attach(_ requests: [AttachRequest]) throws(EngineError) -> LinkReport { try link(requests) }

    package func traceCalls(of patterns: [FunctionPattern]) throws(EngineError) -> LinkReport { try traceFunctions(patterns) }

    package func removeLink(_ id: Int) throws(EngineError) {
        guard links[id] != nil else { throw .request("there is no link \(id)") }
        close(id)
    }

    package func letRun() {}
    package func end() async -> EngineSummary { await finish() }
    package func exitStatus() async -> EngineExit { .unknown }
    package func currentSummary() -> EngineSummary { summaryNow() }
}

extension ObjectProgram {
    /// Whether it calls `bpf_printk`.
    fileprivate var prints: Bool {
        instructions.contains {
            $0 == .call(.helper(Helper.tracePrintk.rawValue)) || $0 == .call(.helper(Helper.traceVprintk.rawValue))
        }
    }
}

extension KernelMap {
    /// A word of the one value of an array.
    func word(_ index: Int) -> UInt64 {
        guard let value = read([0, 0, 0, 0])?.first, value.count >= index * 8 + 8 else { return 0 }
        return (0..<8).reduce(0) { $0 | UInt64(value[index * 8 + $1]) << (8 * UInt64($1)) }
    }
}
