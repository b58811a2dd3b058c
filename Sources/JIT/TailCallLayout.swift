/// Where a tail call finds things: `struct fs_map` of TargetRuntime.h.
package enum TailCallLayout {
    /// `fs_map.max_entries`, 32 bits.
    package static let maxEntries: Int32 = 20
    /// `fs_map.data_offset`, 64 bits.
    package static let dataOffset: Int32 = 32
    /// `ctx[FS_CTX_TAIL_CALLS]`, in bytes.
    package static let counter: Int32 = -4 * 8
    /// `FS_MAX_TAIL_CALLS`
    package static let limit: Int32 = 33
}
