import Glibc
import LinuxProcess
import Synchronization

/// Whether the process still lives, and how it ended.
package final class ProcessLife: Sendable {
    private struct State {
        var exit: EngineExit?
        var executed = false
        var waiters: [CheckedContinuation<EngineExit, Never>] = []
        var action: (@Sendable (EngineExit) -> Void)?
    }

    private let state = Mutex(State())

    /// Alive, and still the program that was opened.
    var isRunning: Bool { state.withLock { $0.exit == nil && !$0.executed } }

    /// Alive, whatever it executes.
    var isAlive: Bool { state.withLock { $0.exit == nil } }

    /// The process executes another program now.
    func execute() { state.withLock { $0.executed = true } }

    /// Watches the process from a thread of its own, which reaps it if it is our child.
    func watch(_ pid: Int32, isChild: Bool) throws(EngineError) {
        try BlockingThread.start("fsession-wait") {
            self.ended(isChild ? ProcessLife.wait(pid) : ProcessLife.poll(pid))
        }
    }

    /// Calls `action` when the process has ended, at once if it has already.
    func whenOver(_ action: @escaping @Sendable (EngineExit) -> Void) {
        let exit = state.withLock { state -> EngineExit? in
            if state.exit == nil { state.action = action }
            return state.exit
        }
        if let exit { action(exit) }
    }

    func end() async -> EngineExit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state -> EngineExit? in
                if state.exit == nil { state.waiters.append(continuation) }
                return state.exit
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    private func ended(_ exit: EngineExit) {
        let (waiters, action) = state.withLock { state in
            state.exit = exit
            defer {
                state.waiters = []
                state.action = nil
            }
            return (state.waiters, state.action)
        }
        for waiter in waiters { waiter.resume(returning: exit) }
        action?(exit)
    }

    /// Waits for a child's end and reaps it. The end is waited for by a pidfd: a wait for the child would also
    /// take the stops that the tracing thread waits for (ptrace shows them to every thread of the tracer,
    /// whatever the wait asks for).
    private static func wait(_ pid: Int32) -> EngineExit {
        _ = poll(pid)
        do throws(ProcessError) {
            switch try ProcessExit.wait(for: pid) {
            case .exited(let status): return .status(status)
            case .killed(let signal): return .signal(signal)
            }
        } catch {
            return .unknown
        }
    }

    private static func poll(_ pid: Int32) -> EngineExit {
        if let descriptor = try? ProcessDescriptor(pid) {
            while !descriptor.waitForEnd(milliseconds: 1000) {}
        }
        return .unknown
    }
}

/// Notices that a process executes another program: its code then starts elsewhere.
final class ExecWatch: Sendable {
    private let pid: Int32
    private let known: Mutex<(path: String, start: Substring)?>

    init(_ pid: Int32) {
        self.pid = pid
        known = Mutex(ExecWatch.identity(pid))
    }

    /// The path of the program that the process executes now, once after each exec.
    func executed() -> String? {
        guard let now = ExecWatch.identity(pid) else { return nil }
        return known.withLock { known in
            guard let before = known, before != now else { return nil }
            known = now
            return now.path
        }
    }

    /// The executable's path and where its code starts (field 26 of stat), which exec places anew.
    private static func identity(_ pid: Int32) -> (path: String, start: Substring)? {
        guard let path = try? WholeFile.link("/proc/\(pid)/exe"),
            let text = try? WholeFile.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 26 else { return nil }
        return (path, fields[24] + " " + fields[26])
    }
}
