import CLinux
import Foundation
import Synchronization

/// SIGINT, SIGTERM and SIGHUP end a session cleanly; SIGPIPE and SIGXFSZ do nothing, the write says it.
///
/// They are caught, not blocked or ignored: a launched command starts with the dispositions that fsession had.
enum Interrupts {
    private static let state = State()

    /// What a write that cannot be done would be ended by.
    static func surviveWrites() {
        for signal in [SIGPIPE, SIGXFSZ] { fs_signal_discard(signal) }
    }

    /// Starts catching. A signal that comes before there is a session to end waits for it. Only a third Ctrl-C ends
    /// fsession whatever it is doing: its code may stay in the process then, until the next fsession takes it out.
    static func catchAll() {
        for signal in [SIGINT, SIGTERM, SIGHUP] { fs_signal_catch(signal) }
        Thread.detachNewThread {
            while true {
                let signal = fs_signal_next()
                if signal > 0 { state.take(signal) }
            }
        }
    }

    /// Calls `action` at the first signal, on a thread of its own; at once if it came before.
    static func onFirst(_ action: @escaping @Sendable () -> Void) { state.set(action) }

    private final class State: Sendable {
        private let state = Mutex<(action: (@Sendable () -> Void)?, count: Int)>((nil, 0))

        func take(_ signal: Int32) {
            let (action, number) = state.withLock { state -> ((@Sendable () -> Void)?, Int) in
                state.count += 1
                return (state.action, state.count)
            }
            if number > 2, signal == SIGINT { exit(128 + signal) }
            action?()
        }

        func set(_ action: @escaping @Sendable () -> Void) {
            let came = state.withLock { state -> Bool in
                state.action = action
                return state.count > 0
            }
            if came { action() }
        }
    }
}
