import Engine

extension Session {
    /// How a process ended. There may be more ways in a later version: ask for those that you know.
    ///
    /// ```swift
    /// let status = await session.exitStatus()
    /// if let code = status.code { print("exit \(code)") } else { print(status) }
    /// ```
    public struct ExitStatus: Sendable, Hashable, CustomStringConvertible {
        private enum Way: Hashable { case exited(Int32), signalled(Int32), unknown }
        private let way: Way

        /// It exited with this status.
        public static func exited(_ code: Int32) -> ExitStatus { ExitStatus(way: .exited(code)) }
        /// A signal ended it.
        public static func signalled(_ signal: Int32) -> ExitStatus { ExitStatus(way: .signalled(signal)) }
        /// It was not a child of this process, so nobody told.
        public static let unknown = ExitStatus(way: .unknown)

        /// The status that it exited with; nil where it did not.
        public var code: Int32? { if case .exited(let code) = way { code } else { nil } }
        /// The number of the signal that ended it; nil where none did.
        public var signal: Int32? { if case .signalled(let signal) = way { signal } else { nil } }

        /// In words: `exited with status 0`, `ended by signal 9`, `ended`.
        public var description: String {
            switch way {
            case .exited(let code): "exited with status \(code)"
            case .signalled(let signal): "ended by signal \(signal)"
            case .unknown: "ended"
            }
        }
    }
}

extension Session.ExitStatus {
    init(_ exit: EngineExit) {
        self =
            switch exit {
            case .status(let status): .exited(status)
            case .signal(let signal): .signalled(signal)
            case .unknown: .unknown
            }
    }
}
