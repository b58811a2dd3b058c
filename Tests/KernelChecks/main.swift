import CLinux
import FSession
import Glibc
import KernelEngine
import Synchronization

// Runs inside a virtual machine, in the folder of the objects. A line for each check: "ok NAME" or "failed NAME: why".
// With names as arguments only the checks that begin with one of them. With "process PROGRAM" those of a session's
// meaning, in a process of that program instead of the kernel.

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

/// Whether all of them hold.
func make(_ checks: [Check]) async -> Bool {
    var hold = true
    for check in checks {
        do {
            try await check.run()
            say("ok \(check.name)")
        } catch {
            hold = false
            say("failed \(check.name): \(error)")
        }
    }
    return hold
}

if wanted.first == "process", let path = wanted.dropFirst().first {
    do {
        let process = try TestProcess(path)
        exit(await Ground.$current.withValue(.process(process)) { await make(Check.meaning) } ? 0 : 1)
    } catch {
        say("failed: \(error)")
        exit(1)
    }
}
let checks = Check.all.filter { check in wanted.isEmpty || wanted.contains { check.name.hasPrefix($0) } }
exit(await make(checks) ? 0 : 1)
