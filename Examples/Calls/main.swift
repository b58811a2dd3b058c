// Every call of some functions of a command, without a program in C: arguments, result, how long it took; what the command
// executes; how it ends.
//
//   swift run -c release calls 'libc:getenv' env
import FSession
import Glibc

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
    print("usage: calls [MODULE:]FUNCTION COMMAND [ARGUMENT…]")
    exit(2)
}

func run() async throws {
    // Of the command's own environment only this.
    var command = Session.Command(arguments[2], Array(arguments[3...]))
    command.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
    command.output = .null

    let summary = try await withSession(.command(command)) { session in
        let attachment = try await session.trace([arguments[1]])
        for refusal in attachment.refused { print("not \(refusal.function.displayName): \(refusal.reason)") }
        try await session.resume()
        for await event in session.events {
            if let call = event.call {
                let result = call.renderedReturnValue ?? "does not return"
                print("\(call.function.displayName)(\(call.renderedArguments.joined(separator: ", "))) = \(result)")
            }
            if let execution = event.execution { print("process \(execution.processID) executes \(execution.path), untraced") }
            if let status = event.exitStatus { print(status) }
        }
        return try await session.detach()
    }
    for count in summary.counts where count.entered > 0 { print("\(count.function.displayName): \(count.entered) calls") }
}

do {
    try await run()
} catch {
    print("calls: \(error)")
    exit(1)
}
