/// Which Linux has a helper of BPF programs. Their numbers were given one after the other, so the last one that came with
/// each release tells.
enum HelperHistory {
    private static let releases: [(last: UInt32, release: String)] = [
        (110, "5.3"), (115, "5.5"), (121, "5.6"), (124, "5.7"), (135, "5.8"), (141, "5.9"), (155, "5.10"), (162, "5.11"), (163, "5.12"),
        (165, "5.13"), (168, "5.14"), (175, "5.15"), (179, "5.16"), (185, "5.17"), (193, "5.18"), (203, "5.19"), (207, "6.0"),
        (209, "6.1"), (211, "6.2"),
    ]

    /// The first release with the helper of that number; nil for numbers that were never given.
    static func release(of number: UInt32) -> String? { number == 0 ? nil : releases.first { number <= $0.last }?.release }

    /// The number that a complaint of the verifier ends with: "unknown func bpf_user_ringbuf_drain#209".
    static func number(in complaint: String) -> UInt32? {
        guard let mark = complaint.lastIndex(of: "#") else { return nil }
        return UInt32(complaint[complaint.index(after: mark)...].prefix { $0.isNumber })
    }
}
