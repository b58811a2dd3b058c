import BPF

/// What runs sessions: in a process or in the kernel. The public API knows no more of an engine than this.
package protocol SessionEngine: Sendable {
    /// The traced process; 0 for the kernel.
    var processID: Int32 { get }
    /// Whether the process has ended, or executes another program.
    var isOver: Bool { get }

    /// The functions that a pattern matches; those that cannot be traced with the reason.
    func functions(matching pattern: FunctionPattern) async throws(EngineError) -> [FunctionInfo]
    /// Makes an object's maps and programs ready; nothing runs yet.
    /// - Parameter other: the same object in another process of the session: its maps are these, too.
    func loadObject(_ object: Object, _ options: LoadOptions, sharedWith other: EngineObject?) async throws(EngineError) -> EngineObject
    /// Attaches programs; when it throws, nothing of this call stays attached.
    func attach(_ requests: [AttachRequest]) async throws(EngineError) -> LinkReport
    /// Records every call of the functions that the patterns match.
    func traceCalls(of patterns: [FunctionPattern]) async throws(EngineError) -> LinkReport
    func removeLink(_ id: Int) async throws(EngineError)
    /// Lets a launched command run.
    func letRun() async throws(EngineError)
    /// Takes everything out and leaves the queue once all is read. Doing it twice is harmless.
    func end() async throws(EngineError) -> EngineSummary
    func exitStatus() async -> EngineExit
    func currentSummary() async -> EngineSummary
}

extension SessionEngine {
    package var isOver: Bool { false }

    package func loadObject(_ object: Object, _ options: LoadOptions) async throws(EngineError) -> EngineObject {
        try await loadObject(object, options, sharedWith: nil)
    }
}

/// An object that an engine made ready.
package struct EngineObject: Sendable {
    package var object: Object
    package var maps: [any EngineMap]
    package var programs: [EngineProgram]
    /// What the session's reader reads of it: rings that its processes share.
    package var sources: [any EventSource]

    package init(object: Object, maps: [any EngineMap], programs: [EngineProgram], sources: [any EventSource] = []) {
        self.object = object
        self.maps = maps
        self.programs = programs
        self.sources = sources
    }
}

/// A program of such an object.
package struct EngineProgram: Sendable {
    package var id: Int
    package var name: String
    package var section: ProgramSection
    /// Bytes of its machine code; nil where the engine does not know it.
    package var codeSize: Int?

    package init(id: Int, name: String, section: ProgramSection, codeSize: Int? = nil) {
        self.id = id
        self.name = name
        self.section = section
        self.codeSize = codeSize
    }
}

/// A program and where to attach it.
package struct AttachRequest: Sendable {
    package var program: EngineProgram
    /// Nil: where its section says.
    package var pattern: FunctionPattern?
    package var cookie: UInt64

    package init(program: EngineProgram, pattern: FunctionPattern? = nil, cookie: UInt64 = 0) {
        self.program = program
        self.pattern = pattern
        self.cookie = cookie
    }

    /// The functions that are meant.
    package func functions() throws(EngineError) -> FunctionPattern {
        if let pattern = pattern ?? FunctionPattern(program.section) { return pattern }
        throw .program(
            name: program.name,
            because: "its section '\(program.section.name)' names no function; "
                + "write one, as in '\(program.section.name)/libz:deflate'")
    }
}
