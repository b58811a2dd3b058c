import Glibc

/// What the processor that this process runs on can do.
package enum ARM64Processor {
    /// LSE, so `ldadd` and its kin exist (Armv8.1). A process on the same machine has it too.
    package static let hasLSE: Bool = {
        #if arch(arm64)
            // HWCAP_ATOMICS
            return getauxval(UInt(AT_HWCAP)) & 1 << 8 != 0
        #else
            return false
        #endif
    }()
}
