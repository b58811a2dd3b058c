import BPF

extension ProcessEngine: SessionEngine {
    package func functions(matching pattern: FunctionPattern) throws(EngineError) -> [FunctionInfo] {
        try list(pattern)
    }

    package func loadObject(_ object: Object, _ options: LoadOptions) throws(EngineError) -> EngineObject {
        let loaded = try load(object, options)
        for program in loaded.programs { programsByID[program.id] = program }
        return EngineObject(
            object: object, maps: loaded.maps,
            programs: loaded.programs.map { EngineProgram(id: $0.id, name: $0.name, section: $0.section, codeSize: $0.codeSize) })
    }

    package func attach(_ requests: [AttachRequest]) throws(EngineError) -> LinkReport {
        var links: [LinkRequest] = []
        for request in requests {
            guard let program = programsByID[request.program.id] else {
                throw .request("no program '\(request.program.name)' is loaded")
            }
            links.append(LinkRequest(program: program, pattern: try request.functions(), cookie: request.cookie))
        }
        return try link(links)
    }

    package func traceCalls(of patterns: [FunctionPattern]) throws(EngineError) -> LinkReport { try trace(patterns) }
    package func removeLink(_ id: Int) throws(EngineError) {
        // At the session's end all links go.
        if ending == nil { try unlink(id) }
    }
    package func letRun() throws(EngineError) { try resume() }
    package func end() async throws(EngineError) -> EngineSummary { try await detach() }
    package func currentSummary() -> EngineSummary { summary() }
}
