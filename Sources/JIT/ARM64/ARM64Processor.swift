import Glibc
import MachineCode

extension ARM64 {
    package typealias Compiler = ARM64Compiler

    /// What the processor that this process runs on can do.
    package static var processorFeatures: ProcessorFeatures { ARM64Processor.hasLSE ? .lse : [] }
}

extension ProcessorFeatures {
    /// LSE: `ldadd` and its kin.
    package static let lse = ProcessorFeatures(rawValue: 2)
}

package enum ARM64Processor {
    /// LSE, so `ldadd` and its kin exist (Armv8.1). A process on the same machine has it too.
    package static let hasLSE: Bool = {
        #if arch(arm64)
        // HWCAP_ATOMICS of AT_HWCAP: Swift does not import `getauxval`.
        let file = open("/proc/self/auxv", O_RDONLY)
        guard file >= 0 else { return false }
        defer { close(file) }
        var entry: (kind: UInt64, value: UInt64) = (0, 0)
        while read(file, &entry, 16) == 16 {
            if entry.kind == 16 { return entry.value & 1 << 8 != 0 }
        }
        return false
        #else
        return false
        #endif
    }()
}
