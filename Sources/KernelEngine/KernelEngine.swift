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
///
/// All of it runs on a thread of its own: bpf(2) may take as long as the kernel has links to make, and Swift's threads, of
/// which there are as many as processors, must not wait for that.
package actor KernelEngine {
    nonisolated private let thread: TracerThread
    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    package nonisolated let processID: Int32 = 0
    package nonisolated let session: EngineSession
    nonisolated let queue: EventWriter
    nonisolated var registry: LinkRegistry { session.registry }
    nonisolated var attachProgress: AttachProgress { session.progress }

    let reader: KernelReader
    var kernel: KernelTypes
    var functions = KernelFunctions()
    /// Whether the kernel has sessions of its own.
    let isNative: Bool
    /// Whether one link can be at many functions.
    let hasMulti: Bool
    let options: KernelOptions
    private var printMaps: [KernelMap] = []

    /// An object that was loaded: its programs are loaded once more for each function, as the kernel wants it.
    struct Loaded {
        var loader: ProgramLoader
        /// Where the maps of the split begin; each program with a cookie has its own.
        var cookieMaps: [String: Int] = [:]
    }
    var objects: [Loaded] = []
    /// By program id: its object and its name.
    var programs: [Int: (object: Int, name: String)] = [:]

    var links: [Int: KernelLink] = [:]
    var trace: KernelTracing?
    /// Runs that the kernel skipped of links that are gone.
    private var missed: UInt64 = 0
    /// What there was at the end.
    private(set) var finished: EngineSummary?

    package init(_ options: KernelOptions = KernelOptions(), in session: EngineSession = EngineSession()) throws(EngineError) {
        self.options = options
        self.session = session
        queue = EventWriter(session.queue, processID: 0)
        do throws(ProcessError) {
            thread = try TracerThread()
        } catch {
            throw .request("cannot start the thread of the kernel's engine: \(error)")
        }
        Self.allowFiles(options.descriptors)
        kernel = try KernelTypes()
        let types = kernel.vmlinux.types
        hasMulti = options.usesMulti && KernelFeatures.has(.sessionMulti, types) == true
        isNative = !options.splits && KernelFeatures.hasSessions(types)
        reader = KernelReader(session.queue)
    }

    /// Opens the kernel without holding the caller's thread: reading the kernel's types takes a while.
    package static func open(
        _ options: KernelOptions = KernelOptions(), in session: EngineSession = EngineSession()
    ) async throws(EngineError) -> KernelEngine {
        let opened: Result<KernelEngine, EngineError>
        do {
            opened = try await BlockingThread.run("fsession-kernel") {
                do throws(EngineError) {
                    return .success(try KernelEngine(options, in: session))
                } catch {
                    return .failure(error)
                }
            }
        } catch let error as EngineError {
            throw error
        } catch {
            throw .request("\(error)")
        }
        return try opened.get()
    }

    /// Each function takes a few descriptors. Root may have so many; others as many as they are allowed.
    private static func allowFiles(_ wanted: UInt) {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return }
        var more = rlimit(rlim_cur: max(limit.rlim_max, wanted), rlim_max: max(limit.rlim_max, wanted))
        if setrlimit(resource, &more) == 0 { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(resource, &limit)
    }

    /// Whether this machine's kernel has links that are at many functions.
    package static var hasMulti: Bool {
        guard let kernel = try? KernelTypes() else { return false }
        return KernelFeatures.has(.sessionMulti, kernel.vmlinux.types) == true
    }

    /// Whether this machine's kernel has sessions; else they are split.
    package static var hasNativeSessions: Bool {
        guard let kernel = try? KernelTypes() else { return false }
        return KernelFeatures.hasSessions(kernel.vmlinux.types)
    }

    // MARK: Objects

    private func load(_ object: Object) throws(EngineError) -> EngineObject {
        let types = try ObjectTypes(object)
        var maps = try ObjectMaps.make(object.maps, types)
        var cookieMaps: [String: Int] = [:]
        if !isNative {
            for program in object.programs where program.section.kind.single == .session {
                let split = SessionSplit(program: program, externs: object.externs, types: nil, firstMap: 0)
                guard split.usesCookie else { continue }
                cookieMaps[program.name] = maps.count
                for definition in SessionSplit.maps(entries: options.cookies) { maps.append(try KernelMap(definition, types: nil)) }
            }
        }
        var printing: ProgramLoader.Printing?
        if object.programs.contains(where: \.prints) {
            let ring = PrintRing(firstMap: Int32(maps.count), typeID: types.printFunction)
            maps += try makePrintMaps()
            printing = ProgramLoader.Printing(ring: ring) { [reader] () throws(EngineError) in try reader.addTracePipe() }
        }
        var loaded = Loaded(
            loader: try ProgramLoader(object, types: types, maps: maps, kernel: &kernel), cookieMaps: cookieMaps)
        loaded.loader.printing = printing
        for map in maps.prefix(object.maps.count) where map.definition.type.traits.contains(.ring) {
            try reader.add(recordsOf: map)
        }
        objects.append(loaded)
        var result: [EngineProgram] = []
        for program in object.programs {
            programs[programs.count] = (objects.count - 1, program.name)
            result.append(EngineProgram(id: programs.count - 1, name: program.name, section: program.section))
        }
        return EngineObject(object: object, maps: Array(maps.prefix(object.maps.count)), programs: result)
    }

    /// The ring that all objects of a session print into.
    private func makePrintMaps() throws(EngineError) -> [KernelMap] {
        guard printMaps.isEmpty else { return printMaps }
        var maps: [KernelMap] = []
        for definition in PrintRing.maps { maps.append(try KernelMap(definition, types: nil)) }
        try reader.add(try RingReader(maps[0], .prints(endsLine: true)))
        printMaps = maps
        return maps
    }

    // MARK: The end

    private func finish() async -> EngineSummary {
        if let finished { return finished }
        missed &+= options.close(links.sorted { $0.key > $1.key }.map(\.value.attached))
        links = [:]
        missed &+= trace?.close(options) ?? 0
        await reader.stop()
        let summary = summaryNow()
        finished = summary
        queue.finish()
        // Somebody may hold the session for long. What its user may still ask for are the maps of its objects.
        (trace, objects, programs, printMaps) = (nil, [], [:], [])
        return summary
    }

    private func close(_ id: Int) {
        missed &+= links.removeValue(forKey: id)?.attached.close() ?? 0
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
        var lost = reader.lost
        if let lines = printMaps.last?.word(0), lines > 0 { lost[printMaps[0].name, default: 0] &+= lines }
        for (map, count) in lost.sorted(by: { $0.key < $1.key }) { summary.drops.append((map: map, count: count)) }
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

    package func loadObject(
        _ object: Object, _ options: LoadOptions, sharedWith other: EngineObject?
    ) throws(EngineError) -> EngineObject {
        try Self.check(options)
        return try load(object)
    }

    /// What processes offer and the kernel does not is refused, not left out in silence.
    package static func check(_ options: LoadOptions) throws(EngineError) {
        if !options.verifies {
            throw .request("the kernel verifies all programs itself; leaving that out is for programs in processes")
        }
        if options.allowsWriting {
            throw .request(
                "the kernel itself decides who may write with bpf_probe_write_user; allowing it is for programs in processes")
        }
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
