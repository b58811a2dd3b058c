import BPF
import BTF
import CLinux
import Engine
import Glibc

extension KernelEngine {
    /// Attaches programs; when it throws, nothing of this call stays attached: the links go with what holds them.
    func link(_ requests: [AttachRequest]) throws(EngineError) -> LinkReport {
        var batch = NewLinks(known: Set(links.values.flatMap(\.keys)), registry: registry)
        for request in requests {
            guard let (index, name) = programs[request.program.id], let program = objects[index].loader.program(name) else {
                throw .request("no program '\(request.program.name)' is loaded")
            }
            if program.section.kind.isAtFunctions {
                try linkFunctions(program, of: index, request, &batch)
            } else {
                try linkPlace(program, of: index, request, &batch)
            }
        }
        links.merge(batch.links) { $1 }
        return batch.report
    }

    /// What one call of `link` has done so far.
    private struct NewLinks {
        var known: Set<KernelLink.Key>
        let registry: LinkRegistry
        var links: [Int: KernelLink] = [:]
        var report = LinkReport()

        mutating func add(_ attached: AttachedPrograms, _ keys: [KernelLink.Key]) -> Int {
            let link = registry.nextLink()
            links[link] = KernelLink(keys: keys, attached: attached)
            known.formUnion(keys)
            return link
        }
    }

    /// A probe, a tracepoint, a hook or the like.
    private func linkPlace(
        _ program: ObjectProgram, of object: Int, _ request: AttachRequest, _ batch: inout NewLinks
    ) throws(EngineError) {
        let place = request.pattern ?? FunctionPattern(program.section)
        let attached = try Attacher(program, objects[object].loader, place: place, cookie: request.cookie)
            .attach(&kernel, &functions.traceable)
        let id = batch.add(attached.programs, [])
        for place in attached.places {
            batch.report.linked.append(
                registry.append {
                    LinkedFunction(
                        id: $0, link: id, function: place, program: program.name, programID: request.program.id, argumentCount: 0,
                        context: ContextWords())
                })
        }
        if !attached.text.isEmpty {
            queue.append([.print(time: clinux_monotonic(), processID: 0, threadID: 0, text: attached.text)])
        }
    }

    private func linkFunctions(
        _ program: ObjectProgram, of object: Int, _ request: AttachRequest, _ batch: inout NewLinks
    ) throws(EngineError) {
        let pattern = try request.functions()
        let kind = program.section.kind.single
        func key(_ function: KernelFunction) -> KernelLink.Key {
            KernelLink.Key(program: request.program.id, module: function.module, function: function.key)
        }
        var chosen: [KernelFunction] = []
        let refusedBefore = batch.report.refused.count
        func refuse(_ function: KernelFunction, _ error: EngineError, _ batch: inout NewLinks) throws(EngineError) {
            guard pattern.function.isPattern, !error.isFinal else { throw error }
            batch.report.refused.append(RefusedFunction(function: function.info, reason: error.reason))
        }
        for function in try functions.matching(pattern, &kernel) {
            do throws(EngineError) {
                try Self.check(function, kind, isKnown: batch.known.contains(key(function)))
                chosen.append(function)
            } catch {
                try refuse(function, error, &batch)
            }
        }
        attachProgress.add(chosen.count)
        func linked(_ function: KernelFunction, _ id: Int) -> LinkedFunction {
            registry.append {
                LinkedFunction(
                    id: $0, link: id, function: function.info, program: program.name, programID: request.program.id,
                    argumentCount: function.prototype.argumentWords, context: function.prototype.context)
            }
        }
        var count = 0
        if hasMulti, chosen.count > 1 {
            var left: [KernelFunction] = []
            for members in Dictionary(grouping: chosen, by: { $0.target.holder?.number ?? 0 }).values {
                let outcome = linkMulti(program, of: object, members, cookie: request.cookie)
                for (link, places) in outcome.links {
                    let id = batch.add(AttachedPrograms([link]), members[places].map(key))
                    batch.report.linked += members[places].map { linked($0, id) }
                    count += places.count
                }
                left += outcome.left.map { members[$0] }
            }
            chosen = left
        }
        let attacher = FunctionAttacher(program, objects[object], isNative: isNative, cookie: request.cookie)
        let results = options.map(chosen, attachProgress, isFinal: { $0.isFinal }) { function in
            AttachResult { () throws(EngineError) in try attacher.attach(to: function) }
        }
        if attachProgress.isCancelled { throw .interrupted }
        for (function, result) in zip(chosen, results) {
            switch result {
            case .attached(let attached):
                let id = batch.add(attached, [key(function)])
                batch.report.linked.append(linked(function, id))
                count += 1
            case .failed(let error): try refuse(function, error, &batch)
            case nil: break
            }
        }
        if count == 0 { throw .allRefused([pattern], batch.report.refused[refusedBefore...]) }
    }

    /// One program at many functions, if it can be loaded without knowing their types.
    private func linkMulti(
        _ program: ObjectProgram, of object: Int, _ functions: [KernelFunction], cookie: UInt64
    ) -> TracingMulti.Outcome {
        var none = TracingMulti.Outcome()
        none.left = Array(functions.indices)
        guard functions.count > 1, functions[0].programID == nil, let kind = TracingMulti.kind(program.section.kind),
            let loaded = try? objects[object].loader.load(
                program, as: ProgramType(kind), for: LoadTarget(function: .void, holder: functions[0].target.holder))
        else { return none }
        return TracingMulti.attach(
            loaded, to: functions, cookies: Array(repeating: cookie, count: functions.count), attachProgress)
    }

    private static func check(
        _ function: KernelFunction, _ kind: ProgramKind, isKnown: Bool
    ) throws(EngineError) {
        if let refusal = function.refusal { throw .refused(function: function.name, because: refusal) }
        if let reason = function.entryOnly, kind != .fentry {
            throw .refused(function: function.name, because: "\(reason): only an fentry program can be attached to it")
        }
        if isKnown {
            throw .refused(function: function.name, because: "the program is attached to it already (EBUSY)")
        }
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
}

/// Attaches one program to a function at a time.
private struct FunctionAttacher: Sendable {
    private let program: ObjectProgram
    private let loader: ProgramLoader
    private let split: SessionSplit?
    private let cookie: UInt64

    init(_ program: ObjectProgram, _ object: KernelEngine.Loaded, isNative: Bool, cookie: UInt64) {
        self.program = program
        self.cookie = cookie
        loader = object.loader
        split =
            program.section.kind.single != .session || isNative
            ? nil
            : SessionSplit(
                program: program, externs: loader.object.externs, types: loader.types.split(of: program.name),
                firstMap: object.cookieMaps[program.name] ?? 0)
    }

    /// Gives what holds the program there.
    func attach(to function: KernelFunction) throws(EngineError) -> AttachedPrograms {
        if let split { return try KernelEngine.attach(split, loader, function, cookie: cookie) }
        let loaded = try loader.load(program, as: ProgramType(program.section.kind.single), for: function.target)
        return AttachedPrograms([try KernelLink.create(loaded, program.name, function, cookie: cookie)])
    }
}
