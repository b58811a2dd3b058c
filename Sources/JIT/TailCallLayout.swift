import BPF

/// Where a tail call finds things: `struct fs_map` of TargetRuntime.h.
package enum TailCallLayout {
    /// `fs_map.max_entries`, 32 bits.
    package static let maxEntries: Int32 = 20
    /// `fs_map.data_offset`, 64 bits.
    package static let dataOffset: Int32 = 32
    /// In bytes from `ctx`.
    package static let counter: Int32 = ContextLayout.tailCalls.offset
    /// `FS_MAX_TAIL_CALLS`
    package static let limit: Int32 = 33
    /// Bytes of stack below the context that may be in use where a function makes a tail call. The frames of its callers
    /// stay, 33 times at most, and the kernel lets them grow to 8 KiB that way. A process has threads of 16 KiB: what would
    /// need more is answered as if there had been 33 already.
    package static let stackLimit: Int32 = 4096
}
