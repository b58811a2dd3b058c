import BPF
import Engine
import Glibc

extension KernelEngine {
    /// Records the calls of the functions that `patterns` match.
    func traceFunctions(_ patterns: [FunctionPattern]) throws(EngineError) -> LinkReport {
        guard finished == nil else { throw .request("this session has ended; open another one") }
        guard trace == nil else { throw .request("this session traces already; open another one") }
        var report = LinkReport()
        var chosen: [KernelFunction] = []
        var known: Set<KernelLink.Key> = []
        for pattern in patterns {
            for function in try functions.matching(pattern, &kernel)
            where known.insert(KernelLink.Key(program: -1, module: function.module, function: function.key)).inserted {
                if let refusal = function.refusal {
                    guard pattern.function.isPattern else { throw .refused(function: function.name, because: refusal) }
                    report.refused.append(RefusedFunction(function: function.info, reason: refusal))
                } else {
                    chosen.append(function)
                }
            }
        }
        guard chosen.count <= KernelTracing.mostFunctions else {
            throw .request("\(chosen.count) functions match; at most \(KernelTracing.mostFunctions) can be traced in one session")
        }
        let linked = registry.append(contentsOf: { first in
            chosen.enumerated().map { place, function in
                LinkedFunction(
                    id: first + place, link: registry.nextLink(), function: function.info, program: "trace",
                    argumentCount: function.prototype.argumentWords, context: function.prototype.context)
            }
        })
        var tracing = try makeTracing(chosen, first: linked.first?.id ?? 0)
        do throws(EngineError) {
            let failures = try attachTrace(&tracing)
            for (place, function) in chosen.enumerated() {
                if let failure = failures[place] {
                    if failure.isFinal || chosen.count == 1 { throw failure }
                    report.refused.append(RefusedFunction(function: function.info, reason: failure.reason))
                } else {
                    report.linked.append(linked[place])
                }
            }
            guard !tracing.links.isEmpty else {
                throw .allRefused(patterns, report.refused)
            }
            try reader.add(try RingReader(tracing.maps[Int(KernelTracing.MapIndex.events)], .calls))
        } catch {
            _ = tracing.close(options)
            throw error
        }
        trace = tracing
        return report
    }

    private func makeTracing(_ functions: [KernelFunction], first: Int) throws(EngineError) -> KernelTracing {
        var maps: [KernelMap] = []
        // One map of cookies serves all: no function has the trace program twice, so `ctx` is one call's.
        let definitions =
            KernelTracing.maps(functions: max(functions.count, 1), ringBytes: options.ringBytes)
            + (isNative ? [] : SessionSplit.maps(entries: options.cookies))
        for definition in definitions {
            maps.append(try KernelMap(definition, types: nil))
        }
        return KernelTracing(maps: maps, functions: functions, first: first)
    }

    /// Attaches to all functions of `tracing`; what went wrong, by their places.
    private func attachTrace(_ tracing: inout KernelTracing) throws(EngineError) -> [Int: EngineError] {
        attachProgress.add(tracing.functions.count)
        let object = Object(
            name: "the trace program", programs: [], externs: SessionKfunc.externs, license: "Dual MIT/GPL")
        let loader = try ProgramLoader(object, types: try ObjectTypes(object), maps: tracing.maps, kernel: &kernel)
        var places = Array(tracing.functions.indices)
        if hasMulti, places.count > 1 { places = attachMulti(&tracing, loader, places) }
        let (shared, isNative) = (tracing, isNative)
        let results = options.map(places, attachProgress, isFinal: { $0.isFinal }) { place -> AttachResult in
            AttachResult { () throws(EngineError) in
                try Self.attachTrace(loader, shared, place, isNative)
            }
        }
        if attachProgress.isCancelled { throw .interrupted }
        var failures: [Int: EngineError] = [:]
        for (place, result) in zip(places, results) {
            switch result {
            case .attached(let programs): tracing.links.append(programs)
            case .failed(let error): failures[place] = error
            case nil: break
            }
        }
        return failures
    }

    /// Attaches programs to many functions each, those that share a program; gives the places of those that are left.
    private func attachMulti(_ tracing: inout KernelTracing, _ loader: ProgramLoader, _ places: [Int]) -> [Int] {
        struct Group: Hashable {
            let shape: TraceProgram.Shape
            let holder: Int32
        }
        var left: [Int] = []
        let functions = tracing.functions
        let groups = Dictionary(grouping: places) { place in
            Group(shape: TraceProgram.Shape(functions[place]), holder: functions[place].target.holder?.number ?? 0)
        }
        for (group, members) in groups {
            guard members.count > 1, functions[members[0]].programID == nil,
                let program = try? tracing.program(group.shape, .helpers, .cookie, isMulti: true),
                let loaded = try? loader.load(
                    program, as: ProgramType(program.section.kind),
                    for: LoadTarget(function: .void, holder: functions[members[0]].target.holder))
            else {
                left += members
                continue
            }
            let outcome = TracingMulti.attach(
                loaded, to: members.map { functions[$0] }, cookies: members.map { UInt64(tracing.first + $0) }, attachProgress)
            tracing.links += outcome.links.map { AttachedPrograms([$0.link]) }
            left += outcome.left.map { members[$0] }
        }
        return left.sorted()
    }

    private static func attachTrace(
        _ loader: ProgramLoader, _ tracing: KernelTracing, _ place: Int, _ isNative: Bool
    ) throws(EngineError) -> AttachedPrograms {
        let function = tracing.functions[place]
        let shape = TraceProgram.Shape(function)
        func attach(_ access: TraceProgram.Access) throws(EngineError) -> AttachedPrograms {
            let program = try tracing.program(shape, access, .constant(tracing.first + place))
            if program.section.kind == .session, !isNative {
                let split = SessionSplit(
                    program: program, externs: loader.object.externs, types: nil, firstMap: KernelTracing.MapIndex.count)
                return try KernelEngine.attach(split, loader, function, cookie: 0)
            }
            let loaded = try loader.load(program, as: ProgramType(program.section.kind), for: function.target)
            return AttachedPrograms([try KernelLink.create(loaded, program.name, function, cookie: 0)])
        }
        do throws(EngineError) {
            return try attach(.loads(result: function.prototype.argumentWords))
        } catch {
            guard case .rejected = error, !error.isFinal else { throw error }
            return try attach(.helpers)
        }
    }
}

/// What became of one function.
enum AttachResult: Sendable {
    case attached(AttachedPrograms)
    case failed(EngineError)

    init(_ body: () throws(EngineError) -> AttachedPrograms) {
        do throws(EngineError) {
            self = .attached(try body())
        } catch {
            self = .failed(error)
        }
    }

    var isFinal: Bool {
        if case .failed(let error) = self { error.isFinal } else { false }
    }
}
