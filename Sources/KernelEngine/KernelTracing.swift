import BPF
import Engine
import Glibc

/// The functions of `fsession trace`, with the maps that their programs share.
struct KernelTracing: Sendable {
    /// So many functions can be traced in one session.
    static let mostFunctions = 10_000

    var maps: [KernelMap]
    let capacity: Int
    var functions: [(info: FunctionInfo, seesReturns: Bool)] = []
    var links: [AttachedPrograms] = []

    /// Takes all programs out; how often the kernel skipped one, at an entry or an exit.
    mutating func close() -> UInt64 {
        var missed: UInt64 = 0
        for index in links.indices { missed &+= links[index].close() }
        links = []
        return missed
    }

    /// How often the kernel skipped a program that is still attached, and exits without their entry.
    var missed: UInt64 { links.reduce(alone) { $0 &+ $1.missed } }

    /// Exits of calls whose entry was skipped: nothing can be said of these.
    private var alone: UInt64 {
        let place = maps.count > KernelTraceProgram.MapIndex.count ? KernelTraceProgram.MapIndex.count + 1 : Int(KernelTraceProgram.MapIndex.drops)
        return maps[place].word(place == Int(KernelTraceProgram.MapIndex.drops) ? 1 : 2)
    }

    func add(to summary: inout EngineSummary) {
        let value = maps[Int(KernelTraceProgram.MapIndex.calls)].read([0, 0, 0, 0])?.first ?? []
        func word(_ offset: Int) -> UInt64 {
            guard offset + 8 <= value.count else { return 0 }
            return (0..<8).reduce(0) { $0 | UInt64(value[offset + $1]) << (8 * UInt64($1)) }
        }
        for (index, function) in functions.enumerated() {
            summary.counts.append(
                CallCount(
                    function: function.info, entered: word(index * 16), returned: word(index * 16 + 8),
                    seesReturns: function.seesReturns))
        }
        let dropped = maps[Int(KernelTraceProgram.MapIndex.drops)].word(0)
        if dropped > 0 { summary.drops.append((map: "events", count: dropped)) }
        if maps.count > KernelTraceProgram.MapIndex.count + 1 {
            let missed = maps[KernelTraceProgram.MapIndex.count + 1].word(0)
            if missed > 0 { summary.drops.append((map: "cookies", count: missed)) }
        }
    }
}

extension KernelEngine {
    /// Records the calls of the functions that `patterns` match.
    func traceFunctions(_ patterns: [FunctionPattern]) throws(EngineError) -> LinkReport {
        var chosen: [KernelFunction] = []
        var known: Set<KernelLink.Key> = []
        for pattern in patterns {
            for function in try functions.matching(pattern, &kernel)
            where known.insert(KernelLink.Key(program: -1, module: function.module, function: function.key)).inserted {
                if let refusal = function.refusal, !pattern.function.isPattern {
                    throw .refused(function: function.name, because: refusal)
                }
                chosen.append(function)
            }
        }
        guard trace == nil else { throw .request("this session traces already; open another one") }
        guard chosen.count <= KernelTracing.mostFunctions else {
            throw .request("\(chosen.count) functions match; at most \(KernelTracing.mostFunctions) can be traced in one session")
        }
        var tracing = try makeTracing(chosen.count)
        var report = LinkReport()
        do throws(EngineError) {
            for function in chosen {
                do throws(EngineError) {
                    if let refusal = function.refusal { throw .refused(function: function.name, because: refusal) }
                    let number = registry.snapshot().count
                    tracing.links.append(try attachTrace(number, function, tracing.maps))
                    tracing.functions.append((function.info, function.entryOnly == nil))
                    let link = nextLink
                    nextLink += 1
                    report.linked.append(
                        registry.append {
                            LinkedFunction(
                                id: $0, link: link, function: function.info, program: "trace",
                                argumentCount: function.prototype.argumentWords, context: function.prototype.context)
                        })
                } catch {
                    if error.isFinal || chosen.count == 1 { throw error }
                    report.refused.append(RefusedFunction(function: function.info, reason: error.reason))
                }
            }
            guard !tracing.links.isEmpty else {
                throw .allRefused(
                    pattern: patterns.map(\.description).joined(separator: " "), reasons: report.refused.map(\.reason))
            }
            try reader.add(.calls(tracing.maps[Int(KernelTraceProgram.MapIndex.events)]))
        } catch {
            _ = tracing.close()
            throw error
        }
        trace = tracing
        return report
    }

    private func makeTracing(_ count: Int) throws(EngineError) -> KernelTracing {
        var maps: [KernelMap] = []
        // One map of cookies serves all: no function has the trace program twice, so `ctx` is one call's.
        for definition in KernelTraceProgram.maps(functions: max(count, 1)) + (isNative ? [] : SessionSplit.maps()) {
            maps.append(try KernelMap(definition, types: nil))
        }
        return KernelTracing(maps: maps, capacity: count)
    }

    private func attachTrace(
        _ number: Int, _ function: KernelFunction, _ maps: [KernelMap]
    ) throws(EngineError) -> AttachedPrograms {
        guard let program = KernelTraceProgram.program(number, function) else {
            throw .request("the trace program has no section")
        }
        let object = Object(
            name: "the trace program", programs: [program], externs: KernelTraceProgram.externs, license: "Dual MIT/GPL")
        let loader = try ProgramLoader(object, types: try ObjectTypes(object), maps: maps, kernel: &kernel)
        if program.section.kind == .session, !isNative {
            let split = SessionSplit(
                program: program, externs: object.externs, types: nil, firstMap: KernelTraceProgram.MapIndex.count)
            return try Self.attach(split, loader, function, cookie: 0)
        }
        let loaded = try loader.load(program, as: ProgramType(program.section.kind), for: function.target)
        return AttachedPrograms([try KernelLink.create(loaded, program.name, function, cookie: 0)])
    }
}
