import ArgumentParser
import FSession
import PlainText

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run BPF programs at both ends of the functions that their sections name.",
        discussion: """
            Compile the object with 'clang -target bpf -O2 -g'. Sections are fsession/FUNCTION, fentry/FUNCTION, \
            fexit/FUNCTION and fmod_ret/FUNCTION, where FUNCTION may be MODULE:FUNCTION, with shell patterns. What the programs \
            print with bpf_printk is shown at once. Without -p and without a command, FUNCTION is a function of the kernel, and MODULE \
            a kernel module, or prog for loaded BPF programs; programs in the sections kprobe, uprobe, tracepoint, raw_tp, tp_btf, lsm, \
            iter and perf_event are attached, too.

              fsession run latency.bpf.o -- sqlite3 my.db 'select count(*) from t'
              fsession run --maps --globals counts.bpf.o -p 4711
              fsession run --set limit=5ms slowcalls.bpf.o --at libc:write -p 4711
              fsession run cookie.bpf.o
            """)

    @Argument(help: ArgumentHelp("The BPF object file.", valueName: "prog.bpf.o"))
    var object: String

    @OptionGroup var target: TargetOptions
    @OptionGroup var variables: VariableOptions
    @OptionGroup var options: OutputOptions

    @Flag(help: "Print the maps at the end.")
    var maps = false

    @Flag(help: "Print the global variables at the end.")
    var globals = false

    @Flag(help: "Print the records of ring buffers and perf event arrays, in hexadecimal.")
    var records = false

    @Option(help: ArgumentHelp("Attach to these functions instead of those that the sections name.", valueName: "function"))
    var at: String?

    @Option(help: ArgumentHelp("Attach only the program of this name.", valueName: "name"))
    var program: String?

    @Flag(help: "Allow bpf_probe_write_user: the programs may write to the process's memory.")
    var allowWrite = false

    @Flag(help: "Run programs without proving them safe; they can crash or hang the process, which must be yours.")
    var noVerify = false

    func validate() throws {
        guard target.targets.isEmpty else { return }
        let advice = "is for programs in a process: give -p PID, or -- COMMAND ARGUMENTS"
        if noVerify { throw ValidationError("--no-verify \(advice); the kernel verifies its programs itself.") }
        if allowWrite { throw ValidationError("--allow-write \(advice); the kernel decides itself what its programs may write.") }
    }

    func run() async throws {
        Interrupts.catchAll()
        let object = try variables.object(at: object)
        if object.programs.isEmpty { throw CommandFailure("\(self.object) holds no program; name its section fsession/FUNCTION") }
        let output = try Output(path: options.output, launches: target.launches)
        if noVerify {
            output.line(
                output.styled(
                    "fsession: not verified: a bad pointer or an endless loop in \(self.object) will crash or hang the process", .red))
            output.flush()
        }
        let session = try await Session(target.targets.isEmpty ? [.kernel] : target.targets)
        let attachment: Session.Attachment
        do {
            try await session.load(object, allowsWriting: allowWrite, verifies: !noVerify)
            attachment = try await AttachBar.during(session, quiet: options.quiet) { try await session.attach(program, to: at) }
        } catch {
            try await session.detach()
            throw error
        }
        let runner = SessionRunner(session: session, output: output, options: options, launches: target.launches)
        runner.announce(attachment)
        var text = CallText()
        var recordCount = 0
        try await runner.run { event in
            if let print = event.print { show(print, &text, output) }
            if let record = event.record {
                recordCount += 1
                if records { show(record, output) }
            }
            return true
        } atEnd: { summary in
            if maps { showMaps(session, output) }
            if globals { showGlobals(session, output) }
            runner.summarize(summary, attachment, printed: recordCount > 0 ? counted(UInt64(recordCount), "record") : nil)
        }
    }

    private func show(_ print: Session.Print, _ text: inout CallText, _ output: Output) {
        if options.json {
            output.object([
                "type": "print", "time": JSON(print.time), "wall": JSON(text.wall(print.time)), "pid": JSON(print.processID),
                "tid": JSON(print.threadID), "text": JSON(print.text),
            ])
        } else {
            output.write("\(lines: print.text.hasSuffix("\n") ? print.text : print.text + "\n")")
        }
    }

    private func show(_ record: Session.Record, _ output: Output) {
        let bytes = record.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        if options.json {
            output.object(["type": "record", "map": JSON(record.map), "pid": JSON(record.processID), "bytes": JSON(bytes)])
        } else {
            output.line("\(record.map): \(bytes)")
        }
    }

    private func showMaps(_ session: Session, _ output: Output) {
        for map in session.maps where map.isListed {
            let entries = map.entries()
            if options.json {
                output.object(["type": "map", "name": JSON(map.name), "entries": JSON(entries.map { JSON(text: $0.json) })])
            } else {
                output.line("\(output.styled("map \(map.name)", .bold)) (\(entries.count) of \(map.maxEntries))")
                for entry in entries { output.line("  \(entry.description)") }
            }
        }
    }

    private func showGlobals(_ session: Session, _ output: Output) {
        for variable in session.variables {
            if options.json {
                output.object(["type": "global", "name": JSON(variable.name), "value": JSON(text: variable.json)])
            } else {
                output.line("\(variable.name) = \(variable.description)")
            }
        }
    }
}
