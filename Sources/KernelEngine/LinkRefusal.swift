import Glibc
import LinuxBPF

/// Why the kernel does not attach a program to a function.
package enum LinkRefusal {
    package static let notSupported = Errno.notSupported

    /// What an error number of `BPF_LINK_CREATE` means, and what to do; `explanation` is what the kernel says itself.
    package static func text(_ number: Int32, explanation: String? = nil) -> String {
        switch number {
        case E2BIG:
            "there is no room for one more: a function takes at most 38 programs, of which a session counts as two, and as many as "
                + "fit into a page of code (E2BIG)"
        case EBUSY:
            "something else has changed its entry, a live patch perhaps, or this kernel was built without CONFIG_DYNAMIC_FTRACE (EBUSY)"
        case notSupported, EOPNOTSUPP:
            "this kernel has no BPF trampolines for functions here (ENOTSUPP): \(KernelHistory.since(.trampolines)) and later have them on "
                + "x86-64, \(KernelHistory.since(.armTrampolines)) and later on arm64, built with CONFIG_BPF_JIT and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS; kprobe and kretprobe programs need none"
        default: KernelAdvice.text(Errno(number)) + (explanation.map { ": \($0)" } ?? "")
        }
    }
}
