import Trampoline

/// What the engine links for itself: routines of the runtime, and a program. The numbers of its links and programs are below those of
/// users' (which are positive).
enum Hook: Int, Sendable {
    /// The dynamic linker says that libraries have come.
    case libraries = -1
    /// Unwinders find our frames.
    case unwinding = -2
    /// The process executes a program.
    case executions = -3
    /// The process sets a system-call filter, or makes threads without a thread block of their own.
    case filters = -4

    var id: Int { rawValue }
}

extension TracePrograms {
    /// One program for every shape of function: to the lists they are the same, so twice is EBUSY.
    static let programID = -5
}

extension TrampolineLink {
    /// Whether it is one of the engine's own.
    var isOwn: Bool { id < 0 }
    func isOf(_ hook: Hook) -> Bool { id == hook.id }
    /// Whether it records calls.
    var isTrace: Bool { programID == TracePrograms.programID }
}

/// What of the engine's own links is in place.
struct Hooks {
    /// The functions that have one, or could not get it.
    private var known: Set<UInt64> = []
    var libraries: LibraryWatch?
    /// What says which programs are executed.
    var executions: LoadedProgram?

    /// Whether nobody has tried it at this function yet.
    mutating func isNew(at address: UInt64) -> Bool { known.insert(address).inserted }
}
