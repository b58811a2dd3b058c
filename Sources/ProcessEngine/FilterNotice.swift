import LinuxProcess
import Synchronization
import Trampoline

/// A process that sets a system-call filter while it is traced (seccomp(2)) would be killed for a call of ours that
/// its filter does not know; one that has its system calls dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH, Wine's way)
/// would take it for its own. So the C library's ways to do either are watched, and from then on the runtime makes none.
final class FilterNotice: Sendable {
    private let seen = Mutex<UInt32>(0)

    /// Whether more filters were set than at the last time.
    func hasNews(_ count: UInt32) -> Bool {
        seen.withLock { seen in
            defer { seen = count }
            return seen != count
        }
    }

    static let text = """
        the process has set a system-call filter, or has its system calls dispatched to itself: programs read no memory, \
        libraries that it loads are not traced, and behind a filter fsession's memory stays in it
        """

    static let dispatchText = """
        the process has its system calls dispatched to itself: programs read no memory, and libraries that it loads are \
        not traced
        """

    /// Functions, and the routine that looks at their arguments.
    static let functions = [("prctl", "prctl_event"), ("syscall", "syscall_event")]
    /// Threads without a thread block of their own have no id in it.
    static let clones = [("clone", "clone_event")]
}

extension ProcessEngine {
    /// Watches for filters in each C library, once.
    func watchFilters() throws(EngineError) {
        guard let state = shared?.stateAddress else { return }
        for (name, routine) in FilterNotice.functions + FilterNotice.clones {
            guard let routine = runtime.routine(routine) else { continue }
            for place in functions.named(name)
            where place.refusalReason == nil && hooks.isNew(at: place.address) {
                do throws(EngineError) {
                    try linkOwn(place, kind: .fentry, program: routine, cookie: state, hook: .filters)
                } catch {
                    if name == "clone" { continue }
                    queue.warn("should the process set a system-call filter, it may be killed: \(error)")
                }
            }
        }
    }
}
