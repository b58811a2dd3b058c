import ArgumentParser
import FSession
import PlainText

struct TraceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Print every call of functions: arguments, return value, duration.",
        discussion: """
            Each line has the time of day, thread, function, arguments, return value and duration of a call. If the module has \
            debug information, arguments and results are shown with their names and types; otherwise the first three arguments are \
            shown as numbers.

              fsession trace libc:write -- gzip -k file
              fsession trace --limit 10 malloc free -p 4711
              fsession trace 'kernel:icmp_*'
            """)

    @Argument(help: ArgumentHelp("FUNCTION or MODULE:FUNCTION, with patterns; several are allowed.", valueName: "function"))
    var functions: [String]

    @OptionGroup var target: TargetOptions
    @OptionGroup var options: OutputOptions

    @Option(help: ArgumentHelp("Detach after this many calls; a launched command keeps running.", valueName: "calls"))
    var limit: Int?

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit takes a number of calls above 0.") }
        _ = try target.requireTargets(for: functions)
    }

    func run() async throws {
        Interrupts.catchAll()
        let output = try Output(path: options.output, launches: target.launches)
        let session = try await Session(target.requireTargets(for: functions))
        let attachment: Session.Attachment
        do {
            attachment = try await AttachBar.during(session, quiet: options.quiet) { try await session.trace(functions) }
        } catch {
            try await session.detach()
            throw error
        }
        let runner = SessionRunner(session: session, output: output, options: options, launches: target.launches)
        runner.announce(attachment)
        var text = CallText()
        var shown = 0
        try await runner.run { event in
            guard let call = event.call else { return true }
            if let limit, shown >= limit { return false }
            shown += 1
            if options.json { output.object(JSON(call, wall: text.wall(call.start))) } else { output.line(text.line(call, output)) }
            return limit.map { shown < $0 } ?? true
        } atEnd: { summary in
            runner.summarize(summary, attachment)
        }
    }
}
