import BPF
import TargetRuntime
import Trampoline
import Verifier

/// The ring of `fsession trace` and its programs, one for each number of argument words.
struct TracePrograms: Sendable {
    var map: LoadedMap
    var programs: [Key: LoadedProgram] = [:]

    struct Key: Hashable, Sendable {
        var arguments: Int
        var isEntryOnly: Bool
    }
}

extension ProcessEngine {
    /// The functions that a pattern matches; those that cannot be traced with the reason.
    package func list(_ pattern: FunctionPattern) throws(EngineError) -> [FunctionInfo] {
        var found = functions.matching(pattern)
        if found.isEmpty {
            throw functions.nothingMatches(pattern)
        }
        let all = functions.conventions(of: found)
        let possible = found.indices.filter { found[$0].refusalReason == nil }
        for (path, indices) in Dictionary(grouping: possible, by: { found[$0].modulePath }) {
            let infos = indices.map { found[$0] }
            let conventions = indices.map { all[$0] }
            let analysis = try functions.analysis(
                of: path, for: infos, memory: memory.process,
                patched: traced.overwritten(in: functions.executableRange(of: path) ?? 0..<0))
            let refusals = Parallel.map(infos.indices) { analysis.refusal(of: infos[$0], conventions[$0].calling) }
            for (number, index) in indices.enumerated() {
                found[index].refusalReason = refusals[number]
                found[index].entryOnlyReason = found[index].entryOnlyReason ?? conventions[number].entryOnlyReason
            }
        }
        return found
    }

    /// Bytes of the ring: some 80,000 calls.
    private static let traceRingBytes: UInt32 = 8 << 20

    /// The program that records the calls of functions of a shape.
    @discardableResult
    func makeTraceProgram(_ key: TracePrograms.Key) throws(EngineError) -> LoadedProgram {
        if let known = programs.trace?.programs[key] { return known }
        let map: LoadedMap
        if let known = programs.trace?.map {
            map = known
        } else {
            map = try makeMaps([TraceProgram.eventsMap(bytes: Self.traceRingBytes)])[0]
            programs.trace = TracePrograms(map: map)
            read(TargetRing(map, .calls))
        }
        let name = key.isEntryOnly ? "trace_entry" : "trace"
        let shape = TraceProgram.Shape(words: key.arguments, hasResult: true, isEntryOnly: key.isEntryOnly)
        let program = try TraceProgram(shape, .loads(result: key.arguments), .cookie).program(name)
        let section = program.section
        let proof = try ProgramProof.prove(
            VerifierInput(
                name: name, kind: section.kind, instructions: program.instructions, maps: [map.definition],
                externs: SessionKfunc.externs, context: .words(key.arguments)))
        let linked = try ProgramLinker(maps: [map], externs: SessionKfunc.externs, symbol: { _ in nil })
            .link(program, proof)
        let loaded = try compile(name, linked, section: section, kind: try TrampolineProgramKind(of: name, section.kind))
        var shared = loaded
        shared.id = TracePrograms.programID
        programs.trace?.programs[key] = shared
        return shared
    }
}
