import KernelEngine

/// What this machine can do, found out by trying.
public enum Doctor {
    /// One thing that was looked at.
    public struct Finding: Sendable {
        /// What it is, in a few words.
        public let what: String
        /// Whether sessions in the kernel get what they need of it.
        public let isGood: Bool
        /// What was found, or why not and what to change.
        public let text: String
    }

    /// Tries everything that sessions in the kernel need. Nothing stays behind.
    public static func examineKernel() -> [Finding] {
        KernelDoctor.examine().map { Finding(what: $0.what, isGood: $0.isGood, text: $0.text) }
    }
}
