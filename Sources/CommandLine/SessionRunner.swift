import FSession
import Foundation
import PlainText

/// What `run` and `trace` have in common: events are printed until the process ends, the time is up or
/// somebody interrupts; then the session is detached, the summary printed, and the command's status passed on.
struct SessionRunner {
    let session: Session
    let output: Output
    let options: OutputOptions
    let launches: Bool
    private let noted = Noted()

    init(session: Session, output: Output, options: OutputOptions, launches: Bool) {
        self.session = session
        self.output = output
        self.options = options
        self.launches = launches
    }

    private enum End: Sendable {
        case interrupt
        case time
    }

    /// - Parameter handle: prints an event; false ends the session.
    func run(_ handle: (Session.Event) throws -> Bool, atEnd: (Session.Summary) -> Void) async throws {
        let session = self.session
        // Detaching ends the events.
        Interrupts.onFirst { Task { _ = try? await session.detach() } }
        if let duration = options.duration {
            Task {
                try await Task.sleep(nanoseconds: UInt64(duration * 1e9))
                _ = try? await session.detach()
            }
        }
        try await session.resume()
        var isOver = false
        var events = session.events.makeAsyncIterator()
        while let event = await events.next() {
            // What is queued beyond the end is not worth a word, nor another call of detach.
            if !note(event), !isOver, try !handle(event) {
                isOver = true
                _ = try await session.detach()
            }
            if output.isBroken, !isOver {
                isOver = true
                _ = try await session.detach()
            }
            // Nothing more is there at the moment: whoever reads a pipe gets what there is.
            if !events.hasMore { output.flush() }
        }
        let summary = try await session.detach()
        atEnd(summary)
        if !options.quiet, !options.json, !noted.executed.isEmpty { output.remark(Self.text(noted.executed)) }
        output.flush()
        if launches {
            // It runs to its end, whatever became of the output.
            let exit = if let status = noted.status { status } else { await session.exitStatus() }
            if output.hasFailed { throw ExitWith(1) }
            if let status = exit.code ?? exit.signal.map({ 128 + $0 }) { throw ExitWith(status) }
        }
        try output.finish()
    }

    /// Says what happened to the process, and false for what programs sent.
    private func note(_ event: Session.Event) -> Bool {
        if let exit = event.exitStatus {
            if event.processID == session.processID { noted.status = exit }
            if session.processIDs.count > 1 {
                remark("process \(event.processID) has \(exit)", ["type": "exited", "pid": JSON(event.processID)])
            }
        } else if let execution = event.execution {
            let (path, pid) = (JSON(execution.path), JSON(execution.processID))
            if execution.hasHappened {
                remark(
                    "process \(execution.processID) executes \(execution.path) now, which is not traced",
                    ["type": "executed", "path": path, "pid": pid])
            } else {
                noted.executed.append(execution.path)
                if options.json { output.object(["type": "executing", "path": path, "pid": pid]) }
            }
        } else if let library = event.loadedLibrary {
            let (attached, refused) = (library.attachment.links.count, library.attachment.refused)
            noted.attached += attached
            noted.refused += refused
            let but = refused.isEmpty ? "" : ", \(refused.count) refused"
            remark(
                "\(whose(event))\(library.path) was loaded: \(attached) of its functions are traced\(but)",
                [
                    "type": "library", "pid": JSON(event.processID), "attached": JSON(attached), "path": JSON(library.path),
                    "refused": JSON(refused.count),
                ])
        } else if let text = event.warning {
            remark("\(whose(event))\(text)", ["type": "warning", "pid": JSON(event.processID), "text": JSON(text)])
        } else {
            return false
        }
        return true
    }

    /// Says which process something is of, where there are several.
    private func whose(_ event: Session.Event) -> String {
        session.processIDs.count > 1 ? "process \(event.processID): " : ""
    }

    /// Which programs were executed; they ran untraced.
    private static func text(_ executed: [String]) -> String {
        let counts = Dictionary(grouping: executed) { $0 }.mapValues(\.count).sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let names = counts.prefix(5).map { $0.value > 1 ? "\($0.key) (\($0.value) times)" : $0.key }
        return "executed, and not traced: \(names.joined(separator: ", "))\(counts.count > 5 ? " and \(counts.count - 5) more" : "")"
    }

    private func remark(_ text: String, _ object: JSON) {
        if options.json {
            output.object(object)
        } else if !options.quiet {
            output.remark(text)
        }
    }

    /// What attaching did, on a terminal or where something was refused.
    func announce(_ attachment: Session.Attachment) {
        guard !options.quiet else { return }
        if options.json {
            for id in session.processIDs {
                output.object([
                    "type": "attached", "pid": JSON(id), "functions": JSON(attachment.links.count { $0.processID == id }),
                    "refused": JSON(attachment.refused.count { $0.processID == id }),
                ])
            }
            output.flush()
            return
        }
        var byReason: [String: Int] = [:]
        for refusal in attachment.refused { byReason[refusal.reason, default: 0] += 1 }
        if output.isTerminal || !byReason.isEmpty {
            output.remark(
                "\(counted(UInt64(attachment.links.count), "function")) attached\(byReason.isEmpty ? "" : ", \(attachment.refused.count) refused")")
        }
        output.flush()
    }

    /// The numbers at the end: calls, drops, refused functions with reasons.
    func summarize(_ summary: Session.Summary, _ attachment: Session.Attachment, printed: String? = nil) {
        guard !options.quiet else { return }
        if options.json {
            output.object(
                JSON(summary, attached: attachment.links.count + noted.attached, refused: attachment.refused + noted.refused))
            return
        }
        let functions = summary.counts.filter { $0.entered > 0 }.count
        // The kernel does not count the calls of somebody's own programs.
        if session.processID == 0, summary.counts.isEmpty {
            output.remark("\(counted(UInt64(attachment.links.count), "link"))\(printed.map { ", \($0)" } ?? "")")
        } else {
            output.remark("\(counted(summary.calls, "call")) of \(counted(UInt64(functions), "function"))\(printed.map { ", \($0)" } ?? "")")
        }
        let open = summary.counts.reduce(UInt64(0)) { $0 &+ $1.unreturned }
        if open > 0, open < 1 << 62 {
            output.remark("\(counted(open, "call")) did not return: still inside, or left by an exception, longjmp or the end")
        }
        for drop in summary.drops {
            output.line(output.styled("fsession: \(drop.count) records of '\(drop.map)' found no room and were dropped", .red))
        }
        if summary.missed > 0 {
            output.remark("the kernel skipped \(counted(summary.missed, "run")) of a program at an entry or exit: it was running on that CPU")
        }
        if summary.abandoned > 0 {
            output.remark("\(summary.abandoned) records were lost with threads that were killed while writing them")
        }
        if !summary.overpatched.isEmpty {
            let names = summary.overpatched.prefix(3).map(\.displayName).joined(separator: ", ")
            let more = summary.overpatched.count > 3 ? " and \(summary.overpatched.count - 3) more" : ""
            output.remark(
                "something else has patched \(names)\(more) over fsession, and may still lead there: "
                    + "fsession's code stays in the process until it ends")
        } else if summary.keptCode {
            output.remark("a thread is still inside traced functions: their code stays in the process until it ends")
        }
        let byCategory = Dictionary(grouping: attachment.refused + noted.refused, by: \.category)
            .sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }
        for (category, refused) in byCategory.prefix(8) {
            let names = refused.prefix(3).map(\.function.displayName).joined(separator: ", ")
            let more = refused.count > 3 ? " and \(refused.count - 3) more" : ""
            output.remark("not traced: \(names)\(more): \(refused.count == 1 ? refused[0].reason : category)")
        }
    }
}

/// What happened while the session ran.
private final class Noted {
    var status: Session.ExitStatus?
    /// The paths of programs that ran untraced.
    var executed: [String] = []
    /// What became of the functions of libraries that were loaded later.
    var attached = 0
    var refused: [Session.Attachment.Refusal] = []
}

/// `1 call`, `2 calls`.
func counted(_ count: UInt64, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// The status to end with.
struct ExitWith: Error {
    let status: Int32
    init(_ status: Int32) { self.status = status }
}

extension JSON {
    init(_ process: ProcessID) { self.init(process.rawValue) }
    init(_ thread: ThreadID) { self.init(thread.rawValue) }

    init(_ summary: Session.Summary, attached: Int, refused: [Session.Attachment.Refusal]) {
        self = [
            "type": "summary", "calls": JSON(summary.calls), "attached": JSON(attached),
            "functions": JSON(
                summary.counts.filter { $0.entered > 0 }.map { count in
                    [
                        "pid": JSON(count.processID), "module": JSON(count.function.module), "function": JSON(count.function.displayName),
                        "calls": JSON(count.entered), "returned": count.returned.map { JSON($0) },
                    ]
                }),
            "drops": JSON(summary.drops.map { ["pid": JSON($0.processID), "map": JSON($0.map), "count": JSON($0.count)] }),
            "missed": JSON(summary.missed), "abandoned": JSON(summary.abandoned),
            "refused": JSON(
                refused.map {
                    [
                        "pid": JSON($0.processID), "module": JSON($0.function.module), "function": JSON($0.function.displayName),
                        "reason": JSON($0.reason),
                    ]
                }),
        ]
    }
}
