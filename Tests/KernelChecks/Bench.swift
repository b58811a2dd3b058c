import Engine
import FSession
import KernelEngine

/// `kernel-checks bench`: how long attaching to many functions takes, and taking the programs out again.
enum Bench {
    private static let plans: [(String, KernelOptions)] = [
        ("one link at all", KernelOptions()),
        ("a link each", KernelOptions(usesMulti: false, width: 1)),
        ("a link each, 2 at a time", KernelOptions(usesMulti: false, width: 2)),
        ("a link each, 16 at a time", KernelOptions(usesMulti: false, width: 16)),
    ]
    private static let functions = [["tcp_v4_connect"], ["tcp_[a-d]*", "tcp_m*"], ["tcp_*"], ["tcp_*", "ip*", "udp*", "sk_*"]]

    static func run(_ widths: [String]) async throws {
        let clock = ContinuousClock()
        for names in functions {
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
                    "\(report.linked.count) functions, \(name): attached in \((attached - start) / .milliseconds(1)) ms, "
                        + "detached in \((detached - attached) / .milliseconds(1)) ms, \(report.refused.count) refused")
            }
        }
    }
}
