import ArgumentParser
import FSession
import PlainText

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show which functions can be traced, and why others cannot.",
        discussion: """
            Looks at a process, at a command (which is started, and ended before it runs), or at a file.

              fsession list 'libcrypto:EVP_*' -- openssl version
              fsession list '*' /usr/bin/gzip
              fsession list 'kernel:tcp_*'
            """)

    @Argument(help: ArgumentHelp("FUNCTION or MODULE:FUNCTION, with patterns.", valueName: "function"))
    var function: String

    @Argument(help: ArgumentHelp("An executable or library.", valueName: "FILE"))
    var file: String?

    @OptionGroup var target: TargetOptions

    @Flag(help: "Print an object per line, in JSON.")
    var json = false

    func validate() throws {
        if file != nil, !target.targets.isEmpty {
            throw ValidationError("Say what to look at: a FILE, -p PID, or -- COMMAND ARGUMENTS.")
        }
        if file == nil { _ = try target.requireTargets(for: [function]) }
    }

    func run() async throws {
        let output = try Output(path: nil, launches: false)
        let functions: [Session.Function]
        if let file {
            functions = try Session.Function.functions(matching: function, inFile: file)
        } else {
            let session = try await Session(target.requireTargets(for: [function]))
            do {
                functions = try await session.functions(matching: function)
            } catch {
                try await session.detach()
                throw error
            }
            try await session.detach()
        }
        var traceable = 0
        for function in functions {
            if function.refusal == nil { traceable += 1 }
            if json { output.object(Self.json(function)) } else { output.line(Self.text(function, output)) }
        }
        if !json { output.line(output.styled("\(traceable) of \(counted(UInt64(functions.count), "function")) can be traced", .faint)) }
        try output.finish()
    }

    private static func text(_ function: Session.Function, _ output: Output) -> TerminalText {
        let address = "0x" + String(function.address, radix: 16)
        let size = String(function.size)
        var line: TerminalText = "\(padded(address, 14)) \(padded(size, 6))  \(function.module):\(output.styled(function.displayName, .bold))"
        if let refusal = function.refusal {
            line += output.styled("  not traceable: \(refusal)", .red)
        } else if let reason = function.entryOnlyReason {
            line += output.styled("  entry only: \(reason)", .yellow)
        }
        return line
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func json(_ function: Session.Function) -> JSON {
        [
            "module": JSON(function.module), "path": JSON(function.modulePath), "function": JSON(function.name), "name": JSON(function.displayName),
            "address": JSON(function.address), "size": JSON(function.size), "traceable": JSON(function.refusal == nil),
            "reason": function.refusal.map { JSON($0) }, "entryOnly": function.entryOnlyReason.map { JSON($0) },
        ]
    }
}
