import Engine
import Sessions

extension Session {
    /// One program at one function.
    public struct Link: Sendable, Hashable, Identifiable {
        /// Its number in the session.
        public let id: Int
        /// The process that it is in; 0: the kernel.
        public let processID: ProcessID
        /// Where the program is.
        public let function: Function
        /// The program's name.
        public let program: String
        /// What `bpf_get_attach_cookie` returns there.
        public let cookie: UInt64

        init(_ linked: LinkedFunction, of member: MemberReport) {
            id = linked.link
            processID = ProcessID(member.processID)
            function = Function(linked.function)
            program = linked.program
            cookie = member.cookie
        }
    }

    /// What attaching did.
    public struct Attachment: Sendable {
        /// A function that could not be traced.
        public struct Refusal: Sendable {
            /// The process that it is in; 0: the kernel.
            public let processID: ProcessID
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

        init(_ reports: [MemberReport]) {
            var links: [Link] = []
            links.reserveCapacity(reports.reduce(0) { $0 + $1.report.linked.count })
            for member in reports {
                for linked in member.report.linked { links.append(Link(linked, of: member)) }
            }
            self.links = links
            refused = reports.flatMap { member in
                member.report.refused.map {
                    Refusal(
                        processID: ProcessID(member.processID), function: Function($0.function), reason: $0.reason, category: $0.category)
                }
            }
        }
    }
}
