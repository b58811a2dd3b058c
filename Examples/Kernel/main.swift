// Functions of the kernel: what this machine has of what sessions there need; then calls of a function for a second.
// Needs root.
//
//   swift run -c release kernel do_sys_openat2
import FSession
import Glibc

let arguments = CommandLine.arguments
guard arguments.count == 2 else {
    print("usage: kernel FUNCTION")
    exit(2)
}

func run() async throws {
    for finding in Doctor.examineKernel() {
        print("\(finding.isGood ? "good" : "missing"): \(finding.what): \(finding.text)")
    }
    let summary = try await withSession(.kernel) { session in
        try await session.trace([arguments[1]])
        Task {
            try await Task.sleep(for: .seconds(1))
            // Ends the events.
            try await session.detach()
        }
        var callers: [ProcessID: Int] = [:]
        for await event in session.events {
            if let call = event.call { callers[call.processID, default: 0] += 1 }
        }
        for (process, calls) in callers.sorted(by: { $0.value > $1.value }).prefix(5) { print("process \(process): \(calls) calls") }
        return try await session.detach()
    }
    print("\(summary.calls) calls, \(summary.missed) not seen")
}

do {
    try await run()
} catch {
    print("kernel: \(error)")
    exit(1)
}
