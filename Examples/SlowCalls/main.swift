// The library from end to end: opens a target, loads an object, attaches its program, follows the events, reads
// maps and global variables, detaches.
//
//   clang -target bpf -O2 -g -Iinclude -I/usr/include/$(uname -m)-linux-gnu \
//       -c Examples/SlowCalls/slow_calls.bpf.c -o slow_calls.bpf.o
//   clang -O1 -g Examples/SlowCalls/work.c -o work
//   swift run -c release slow-calls slow_calls.bpf.o exe:work ./work 50
import FSession
import Glibc

let arguments = CommandLine.arguments
guard arguments.count > 3 else {
    print("usage: slow-calls slow_calls.bpf.o [MODULE:]FUNCTION COMMAND [ARGUMENT…]")
    print("       slow-calls slow_calls.bpf.o [MODULE:]FUNCTION PID")
    exit(2)
}

/// A record as the program writes it: `struct slow_call`.
struct SlowCall: BitwiseCopyable {
    var argument, result, nanoseconds: UInt64
    var thread: UInt32
    var command: InlineArray<16, UInt8>

    var name: String { String(decoding: command.indices.map { command[$0] }.prefix { $0 != 0 }, as: UTF8.self) }
}

func run() async throws {
    // A number is a process that runs already; anything else a command to start.
    let target: Session.Target =
        if let pid = ProcessID(arguments[3]) { .process(pid) } else { .launch(arguments[3], Array(arguments[4...])) }
    let object = try BPFObject(contentsOf: arguments[1])
    // Detaches in any case.
    try await withSession(target) { session in
        let loaded = try await session.load(object)

        // The program's section names no function: it goes where the user wants it.
        let attachment = try await loaded.attach(to: arguments[2])
        for link in attachment.links { print("watching \(link.function.displayName) in \(link.function.module)") }
        for refusal in attachment.refused { print("not \(refusal.function.displayName): \(refusal.reason)") }
        try await session.resume()

        // Ends with the process. A process that runs for long can be left earlier: `session.detach()` ends the
        // events as well.
        for await event in session.events {
            if let record = event.record, record.map == "slow_calls", let call = record.value(as: SlowCall.self) {
                print("slow: (\(call.argument)) = \(call.result) took \(call.nanoseconds / 1_000_000) ms in \(call.name)")
            }
            if let status = event.exitStatus { print(status) }
            if let warning = event.warning { print("warning: \(warning)") }
        }

        // Maps and variables are read by their BTF types; they stay readable after the end.
        if let durations = loaded.maps["durations"] {
            print("calls that took from 2^n nanoseconds:")
            for entry in durations.entries() { print("  \(entry.description)") }
        }
        for variable in loaded.variables { print("\(variable.name) = \(variable)") }

        let summary = try await session.detach()
        print("\(summary.calls) calls, \(summary.drops.reduce(0) { $0 + $1.count }) records dropped")
    }
}

do {
    try await run()
} catch {
    print("slow-calls: \(error)")
    exit(1)
}
