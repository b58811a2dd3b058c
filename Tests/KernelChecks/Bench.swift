import BPF
import CLinux
import Engine
import FSession
import Glibc
import KernelEngine

/// `kernel-checks bench [PLAN…] [NUMBER]`: how long attaching to many functions takes, and taking the programs out again; with a
/// number, to so many at most.
enum Bench {
    private static let plans: [(String, KernelOptions)] = [
        ("one link at all", KernelOptions()),
        ("a link each", KernelOptions(usesMulti: false, width: 1)),
        ("a link each, 2 at a time", KernelOptions(usesMulti: false, width: 2)),
        ("a link each, 16 at a time", KernelOptions(usesMulti: false, width: 16)),
    ]
    private static let functions = [["tcp_v4_connect"], ["tcp_[a-d]*", "tcp_m*"], ["tcp_*"], ["tcp_*", "ip*", "udp*", "sk_*"]]

    static func run(_ arguments: [String]) async throws {
        let clock = ContinuousClock()
        let most = arguments.compactMap { Int($0) }.first ?? .max
        let widths = arguments.filter { Int($0) == nil }
        for names in functions {
            let counter = try KernelEngine()
            var count = 0
            for name in names { count += try await counter.functions(matching: FunctionPattern("kernel:\(name)")).count }
            guard count <= most else { continue }
            for (name, options) in plans where widths.isEmpty || widths.contains(where: { name.hasSuffix($0) }) {
                let engine = try KernelEngine(options)
                let patterns = try names.map { try FunctionPattern("kernel:\($0)") }
                // What is read once is not what is measured.
                for pattern in patterns { _ = try await engine.functions(matching: pattern) }
                let start = clock.now
                let report = try await engine.traceCalls(of: patterns)
                let attached = clock.now
                _ = await engine.end()
                let detached = clock.now
                say(
                    "\(report.linked.count) functions, \(name): attached in \(Int((attached - start) / .milliseconds(1))) ms, "
                        + "detached in \(Int((detached - attached) / .milliseconds(1))) ms, \(report.refused.count) refused")
            }
        }
    }

    // MARK: A call

    /// `kernel-checks cost`: what a traced call adds. Where the machine counts a nanosecond for each instruction
    /// (`VM_COUNTS=1 scripts/vm`), these are instructions.
    static func cost() async throws {
        // The kernel is still busy with itself when a machine has just started.
        _ = try await measure { _ in }
        let plain = try await measure { _ in }
        say("ten calls in the kernel, untraced: \(plain)")
        func report(_ what: String, _ options: KernelOptions = KernelOptions(), _ programs: [String]) async throws {
            do {
                let engine = try KernelEngine(options)
                let loaded = try await engine.loadObject(try BPF.Object(path: "cost.bpf.o"), LoadOptions())
                var requests: [AttachRequest] = []
                for name in programs {
                    guard let program = loaded.programs.first(where: { $0.name == name }) else { throw Failure("no \(name)") }
                    requests.append(AttachRequest(program: program))
                }
                let result = try await measure { calls in
                    if calls == nil { _ = try await engine.attach(requests) }
                }
                _ = await engine.end()
                say("\(what): \(result - plain) more for a call")
            } catch let error as EngineError {
                say("\(what): not here (\(error))")
            }
        }
        var split = KernelOptions()
        split.splits = true
        if KernelEngine.hasNativeSessions { try await report("session that does nothing, native", KernelOptions(), ["nothing"]) }
        try await report("session that does nothing, split", split, ["nothing"])
        if KernelEngine.hasNativeSessions { try await report("time of a call: session, native", KernelOptions(), ["session"]) }
        try await report("time of a call: session, split", split, ["session"])
        try await report("time of a call: fentry and fexit with a hash map", KernelOptions(), ["hash_entry", "hash_exit"])
        try await report("time of a call: kprobe.session", KernelOptions(), ["kprobe_session"])
        for (what, names) in [("a function of its own", ["bpf_fentry_test1"]), ("one of many", ["bpf_fentry_test1", "bpf_modify_return_test"])] {
            let engine = try KernelEngine()
            let result = try await measure { calls in
                if calls == nil {
                    _ = try await engine.traceCalls(of: names.map { FunctionPattern(module: "kernel", function: $0) })
                }
            }
            _ = await engine.end()
            say("fsession trace, \(what): \(result - plain) more for a call")
        }
    }

    /// CLOCK_THREAD_CPUTIME_ID, in nanoseconds.
    private static func threadTime() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    private static func measure(_ prepare: (Int?) async throws -> Void) async throws -> Int64 {
        let calls = try Calls(.fentry)
        try await prepare(nil)
        let rounds = 5000
        for _ in 0..<1000 { try calls.run() }
        var best = Int64.max
        for _ in 0..<3 {
            let start = threadTime()
            for _ in 0..<rounds { try calls.run() }
            best = min(best, (threadTime() - start) / Int64(rounds))
        }
        return best
    }
}
