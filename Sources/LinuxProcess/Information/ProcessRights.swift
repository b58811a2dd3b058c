import Glibc

/// What a process may do: two that have the same could trace each other.
package struct ProcessRights: Sendable, Equatable {
    /// Users and groups, capabilities, as /proc/PID/status has them.
    private let lines: [String]
    /// The namespaces of users and of process ids.
    private let namespaces: [String]
    /// Its security module's label; empty where there is none.
    private let label: String

    /// Nil where they cannot be read, and for a process that nobody else of its user may trace (PR_SET_DUMPABLE).
    package init?(_ pid: Int32) {
        guard let text = try? WholeFile.text("/proc/\(pid)/status"), let user = try? WholeFile.link("/proc/\(pid)/ns/user"),
            let ids = try? WholeFile.link("/proc/\(pid)/ns/pid")
        else { return nil }
        // The kernel gives its files to root then.
        var file = stat()
        guard let status = try? ProcessStatus(pid), stat("/proc/\(pid)/status", &file) == 0, file.st_uid == status.effectiveUser
        else { return nil }
        let keys = ["Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:", "CapBnd:"]
        lines = text.split(separator: "\n").filter { line in keys.contains { line.hasPrefix($0) } }.map(String.init)
        namespaces = [user, ids]
        label = (try? WholeFile.text("/proc/\(pid)/attr/current")) ?? ""
    }
}
