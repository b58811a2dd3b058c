import CLinux
import Foundation

/// SIGINT, SIGTERM and SIGHUP end a session cleanly; SIGPIPE does nothing, the write says it.
///
/// They are caught, not blocked or ignored: a launched command starts with the dispositions that fsession had.
enum Interrupts {
    /// Starts catching. Must come before threads are started that are to be interrupted.
    static func catchAll() {
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { fs_signal_catch(signal) }
    }

    /// Calls `action` for each signal caught, on a thread of its own.
    static func onEach(_ action: @escaping @Sendable (Int32) -> Void) {
        Thread.detachNewThread {
            while true {
                let signal = fs_signal_next()
                if signal > 0, signal != SIGPIPE { action(signal) }
            }
        }
    }
}
