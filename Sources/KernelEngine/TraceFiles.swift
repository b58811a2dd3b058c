import Glibc

/// tracefs, wherever it is mounted.
enum TraceFiles {
    static let folder: String? = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].first {
        access("\($0)/trace_pipe", F_OK) == 0
    }

    static func path(_ name: String) -> String? { folder.map { "\($0)/\(name)" } }
}
