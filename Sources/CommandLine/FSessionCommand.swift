import ArgumentParser
import Dispatch
import FSession
import Glibc

struct FSessionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsession",
        abstract: "One program at both ends of any function call.",
        discussion: """
            Traces functions of running processes (no root, no recompiling, no library in the target) and of the kernel.

            A FUNCTION is named as FUNCTION or MODULE:FUNCTION, with shell patterns in both. MODULE is a path, a \
            file name (libz.so.1), its stem (libz), or exe for the executable itself. Examples:

              fsession trace libc:write -- gzip -k file
              fsession trace malloc --limit 20 -p 4711
              fsession run latency.bpf.o -- sqlite3 my.db 'select count(*) from t'
              fsession list 'libcrypto:EVP_*' /usr/bin/openssl
              fsession trace kernel:icmp_rcv
            """,
        version: "fsession \(Version.text)",
        subcommands: [
            RunCommand.self, TraceCommand.self, ListCommand.self, CheckCommand.self, DumpCommand.self, DoctorCommand.self,
        ])
}

enum Version {
    static let text = "0.1.0"
}

@main
enum Main {
    static func main() {
        StandardDescriptors.take()
        Interrupts.surviveWrites()
        Task { await run() }
        dispatchMain()
    }

    /// Exit status: the command's own where one was launched; 0; 1 when something failed; 2 for wrong usage.
    private static func run() async -> Never {
        do {
            try RepeatedOptions.check(CommandLine.arguments.dropFirst())
            var command = try FSessionCommand.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            exit(0)
        } catch let code as ExitWith {
            exit(code.status)
        } catch let error as SessionError {
            fail("\(line(error))")
        } catch let error as CommandFailure {
            fail("\(error.description)")
        } catch {
            let status = FSessionCommand.exitCode(for: error)
            if !status.isSuccess { fail("\(usage(error))", status: 2) }
            show(FSessionCommand.fullMessage(for: error))
        }
    }

    /// An error of the library, with the command that helps further.
    private static func line(_ error: SessionError) -> String {
        switch error.code {
        case .unsafe: "\(error.cause); 'fsession check' shows the way there"
        case .noFunction where error.advice == nil: "\(error.cause); 'fsession list' shows what there is"
        default: error.description
        }
    }

    /// Help, a version, or whatever else was asked for.
    private static func show(_ message: String) -> Never {
        guard !message.isEmpty, let output = try? Output(path: nil, launches: false) else { exit(0) }
        output.line("\(lines: message)")
        output.flush()
        exit(output.hasFailed ? 1 : 0)
    }

    /// Wrong usage in one line: what is wrong, and where help is.
    private static func usage(_ error: any Error) -> String {
        let text = FSessionCommand.message(for: error).split(separator: "\n").map(String.init).joined(separator: " ")
        let names = FSessionCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
        let command = CommandLine.arguments.dropFirst().first.flatMap { names.contains($0) ? " " + $0 : nil } ?? ""
        return "\(text.hasSuffix(".") ? String(text.dropLast()) : text); see 'fsession\(command) --help'"
    }

    private static func fail(_ text: TerminalText, status: Int32 = 1) -> Never {
        Descriptor.complain(text)
        exit(status)
    }
}

/// What ends fsession with one line and status 1.
struct CommandFailure: Error, CustomStringConvertible {
    var description: String

    init(_ error: any Error) { description = "\(error)" }
    init(_ text: String) { description = text }
}
