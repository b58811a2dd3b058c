import CLinux
import FSession
import Glibc
import KernelEngine
import Synchronization

// Runs inside a virtual machine, in the folder of the objects. A line for each check: "ok NAME" or "failed NAME: why".
// With names as arguments only the checks that begin with one of them.

/// Set once, seen by all threads.
final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// sched_setaffinity(2), for the calling thread.
func runOnCPU(_ number: Int) -> Bool {
    var mask: UInt64 = 1 << UInt64(number)
    return withUnsafePointer(to: &mask) { clinux_syscall(203, 0, 8, UInt(bitPattern: $0), 0, 0, 0) } >= 0
}

/// At once: who waits for a check that hangs sees the ones before.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
}

let wanted = CommandLine.arguments.dropFirst()
if let first = wanted.first, first == "bench" || first == "cost" {
    do {
        if first == "cost" { try await Bench.cost() } else { try await Bench.run(Array(wanted.dropFirst())) }
        exit(0)
    } catch {
        say("failed: \(error)")
        exit(1)
    }
}
if wanted.first == "count" {
    say((try? KernelObjects()).map { "\($0)" } ?? "cannot be counted")
    exit(0)
}
var failed = false
for check in Check.all where wanted.isEmpty || wanted.contains(where: { check.name.hasPrefix($0) }) {
    let start = ContinuousClock.now
    defer { say("   it took \(Int((ContinuousClock.now - start) / .milliseconds(1))) ms") }
    do {
        try await check.run()
        say("ok \(check.name)")
    } catch {
        failed = true
        say("failed \(check.name): \(error)")
    }
}
exit(failed ? 1 : 0)
