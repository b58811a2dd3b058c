import LinuxProcess
import Synchronization
import TargetRuntime
import Trampoline

/// A process that sets a system-call filter while it is traced (seccomp(2)) would be killed for a call of ours that
/// its filter does not know. So the C library's ways to do it are watched, and from then on the runtime makes none.
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
        the process has set a system-call filter: programs read no memory, libraries that it loads are not traced, \
        and fsession's memory stays in it
        """

    /// Functions, and the routine that looks at their arguments.
    static let functions = [("prctl", "prctl_event"), ("syscall", "syscall_event")]
}

extension ProcessEngine {
    /// Watches for filters in each C library, once.
    func watchFilters() throws(EngineError) {
        guard let state = shared?.stateAddress else { return }
        for (name, routine) in FilterNotice.functions {
            let offset = fs_runtime_function_offset(routine)
            for place in functions.named(name) 
            where offset >= 0 && place.refusal == nil && watched.insert(place.address).inserted {
                do throws(EngineError) {
                    try linkOwn(
                        place, kind: .fentry, program: runtimeAddress + UInt64(offset), cookie: state, id: OwnLink.filters)
                } catch {
                    queue.append([.warning("should the process set a system-call filter, it may be killed: \(error)")])
                }
            }
        }
    }
}
