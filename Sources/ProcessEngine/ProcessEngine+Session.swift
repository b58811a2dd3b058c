import BPF
import Engine
import LinuxProcess

extension ProcessEngine: SessionEngine {
    package nonisolated var isOver: Bool {
        // Its end may not have been told yet.
        guard life.isRunning, let status = try? ProcessStatus(processID) else { return true }
        return status.state == .zombie || status.state == .dead
    }

    package func functions(matching pattern: FunctionPattern) throws(EngineError) -> [FunctionInfo] {
        try list(pattern)
    }

    package func loadObject(
        _ object: Object, _ options: LoadOptions, sharedWith other: EngineObject?
    ) throws(EngineError) -> EngineObject {
        let loaded = try load(object, options, sharedWith: other)
        programs.add(loaded.programs)
        return EngineObject(
            object: object, maps: loaded.maps,
            programs: loaded.programs.map { EngineProgram(id: $0.id, name: $0.name, section: $0.section, codeSize: $0.codeSize) },
            sources: loaded.sources)
    }

    package func attach(_ requests: [AttachRequest]) throws(EngineError) -> LinkReport {
        var links: [LinkRequest] = []
        for request in requests {
            guard let program = programs[request.program.id] else {
                throw .request("no program '\(request.program.name)' is loaded")
            }
            links.append(LinkRequest(program: program, pattern: try request.functions(), cookie: request.cookie))
        }
        return try link(links)
    }

    package func traceCalls(of patterns: [FunctionPattern]) throws(EngineError) -> LinkReport { try trace(patterns) }
    package func removeLink(_ id: Int) throws(EngineError) {
        // At the session's end all links go.
        if teardown.isRunning { try unlink(id) }
    }
    package func letRun() throws(EngineError) { try resume() }
    package func end() async throws(EngineError) -> EngineSummary { try await detach() }
    package func currentSummary() -> EngineSummary { summary() }
}
