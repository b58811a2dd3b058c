import FSession
import Glibc

/// Shows on a terminal how far attaching is, once that has taken a second. Ctrl-C ends it.
enum AttachBar {
    /// Runs `attach`, and watches it meanwhile.
    static func during<Value>(_ session: Session, quiet: Bool, _ attach: () async throws -> Value) async throws -> Value {
        Interrupts.onFirst { session.cancelAttaching() }
        guard !quiet, isatty(STDERR_FILENO) == 1 else { return try await attach() }
        let watch = Task.detached {
            try await Task.sleep(nanoseconds: 1_000_000_000)
            defer { write("\r\u{1b}[K") }
            while !Task.isCancelled {
                if let progress = session.attachProgress, progress.done < progress.total { write(text(progress)) }
                try await Task.sleep(nanoseconds: 100_000_000)
            }
        }
        defer { watch.cancel() }
        let value = try await attach()
        watch.cancel()
        _ = await watch.result
        return value
    }

    private static func text(_ progress: (done: Int, total: Int)) -> TerminalText {
        let width = 30
        let full = width * progress.done / max(progress.total, 1)
        let bar = String(repeating: "#", count: full) + String(repeating: "-", count: width - full)
        return "\rfsession: attaching [\(bar)] \(progress.done) of \(progress.total) functions\u{1b}[K"
    }

    private static func write(_ text: TerminalText) { _ = Descriptor.write(Array(text.text.utf8), to: STDERR_FILENO) }
}
