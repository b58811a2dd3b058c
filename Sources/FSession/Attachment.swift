import Engine

extension Session {
    /// One program at one function.
    public struct Link: Sendable, Hashable, Identifiable {
        /// Its number in the session.
        public let id: Int
        /// Where the program is.
        public let function: Function
        /// The program's name.
        public let program: String
        /// What `bpf_get_attach_cookie` returns there.
        public let cookie: UInt64

        init(_ linked: LinkedFunction, cookie: UInt64) {
            id = linked.link
            function = Function(linked.function)
            program = linked.program
            self.cookie = cookie
        }
    }

    /// What attaching did.
    public struct Attachment: Sendable {
        /// A function that could not be traced.
        public struct Refusal: Sendable {
            /// The function.
            public let function: Function
            /// Why not, in one line.
            public let reason: String
            /// The same without its addresses, to count by.
            public let category: String
        }

        /// What was attached: each program at each function.
        public let links: [Link]
        /// The functions that were meant, too, and cannot be traced.
        public let refused: [Refusal]

        init(_ report: LinkReport, cookie: UInt64 = 0) {
            links = report.linked.map { Link($0, cookie: cookie) }
            refused = report.refused.map { Refusal(function: Function($0.function), reason: $0.reason, category: $0.category) }
        }
    }
}
