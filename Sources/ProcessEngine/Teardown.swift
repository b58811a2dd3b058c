import LinuxProcess

/// The end of a session: it is not undone, and from its first moment on nothing is attached any more.
enum Teardown {
    case running
    /// Whoever asks for the end again waits for the same one.
    case ending(Task<Result<EngineSummary, EngineError>, Never>)
    case ended(EngineSummary)

    var isRunning: Bool { if case .running = self { true } else { false } }
    var summary: EngineSummary? { if case .ended(let summary) = self { summary } else { nil } }
}

/// What taking everything out of processes came to.
struct Removal {
    /// The code had to be kept in one of them.
    private(set) var keptCode = false
    private(set) var overpatched: [FunctionInfo] = []
    /// One of them could not be cleaned.
    var failure: EngineError?
    /// Whether it was said that the target has unmapped our memory.
    var hasToldOfUnmapping = false

    mutating func add(_ use: CodeUse) {
        switch use {
        case .over: return
        case .overpatched(let functions):
            for function in functions where !overpatched.contains(where: { $0.address == function.address }) {
                overpatched.append(function)
            }
        case .leaving, .waiting: break
        }
        keptCode = true
    }
}

/// Whether somebody is inside our code.
enum CodeUse {
    case over
    /// A thread that runs: it will be outside as soon as it has a processor.
    case leaving
    /// A thread that waits in a system call, or a call that no thread is in now.
    case waiting
    /// Whoever calls these functions: their entries hold neither our jump nor their own bytes.
    case overpatched([FunctionInfo])
}

/// The functions that get their own bytes again, in the order of it.
struct RestoredFunctions: Sendable {
    var traced: Restoration
    /// Those by which unwinders find our frames: they come last, when no call is inside any more. Where our code has to stay,
    /// because one is, they stay patched.
    var finders: Restoration

    init(_ functions: [TracedFunction], finders: Set<UInt64>) {
        traced = Restoration(of: functions.filter { !finders.contains($0.info.address) })
        self.finders = Restoration(of: functions.filter { finders.contains($0.info.address) })
    }
}
