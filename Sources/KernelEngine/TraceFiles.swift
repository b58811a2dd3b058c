import Glibc

/// tracefs, wherever it is mounted.
enum TraceFiles {
    static let folder: String? = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].first {
        access("\($0)/trace_pipe", F_OK) == 0
    }

    static func path(_ name: String) -> String? { folder.map { "\($0)/\(name)" } }

    /// Whether its files can be read; where the kernel is locked down they are there, and cannot.
    static var isReadable: Bool {
        guard let path = path("available_filter_functions") else { return false }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        close(file)
        return true
    }

    /// Why it cannot be read.
    static var problem: String {
        if KernelAdvice.lockdown == "confidentiality" {
            return "the kernel is locked down (confidentiality); boot it without lockdown= to allow it"
        }
        if folder != nil { return "it is not permitted; run fsession as root" }
        return "tracefs is not mounted; mount -t tracefs tracefs /sys/kernel/tracing"
    }
}
