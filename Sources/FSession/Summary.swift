import Engine
import Sessions

extension Session {
    /// The numbers of a session.
    public struct Summary: Sendable {
        /// The calls of one function.
        public struct Count: Sendable {
            /// The process that it was called in, or the children that this has forked; 0: the kernel.
            public let processID: ProcessID
            /// The function.
            public let function: Function
            /// How often it was entered.
            public let entered: UInt64
            /// How often it returned; the rest is still inside, or left by an exception, `longjmp` or the thread's end.
            /// Nil where exits are not seen.
            public let returned: UInt64?

            /// Calls that were entered and have not returned; 0 where exits are not seen.
            public var unreturned: UInt64 { returned.map { entered > $0 ? entered - $0 : 0 } ?? 0 }
        }

        /// Events that found no room in a ring buffer.
        public struct Drop: Sendable {
            /// The name of the map.
            public let map: String
            /// The process whose map it is; 0: the kernel's, or one that the processes of the session share.
            public let processID: ProcessID
            /// How many.
            public let count: UInt64
        }

        /// The functions that were traced, those included that were never called.
        public let counts: [Count]
        /// What was lost, by map; empty where nothing was.
        public let drops: [Drop]
        /// Runs of programs, at an entry or an exit, that the kernel skipped because the program was running already on
        /// that CPU. Always 0 in processes.
        public let missed: UInt64
        /// Records that a thread was writing when it was killed.
        public let abandoned: UInt64
        /// Whether some of our code had to stay mapped, because a thread was still inside it, or somebody else's patch may
        /// lead there.
        public let keptCode: Bool
        /// Functions at which something else than fsession had put a patch on fsession's. Its bytes are left as they are.
        public let overpatched: [Function]

        /// The calls of a link's function in its process; nil in the kernel for programs of your own.
        public func count(of link: Link) -> Count? { counts.first { $0.processID == link.processID && $0.function == link.function } }

        /// Calls of all functions.
        public var calls: UInt64 { counts.reduce(0) { $0 &+ $1.entered } }

        init(_ session: SessionSummary) {
            counts = session.members.flatMap { member in
                member.summary.counts.map {
                    Count(
                        processID: ProcessID(member.processID), function: Function($0.function), entered: $0.entered,
                        returned: $0.seesReturns ? $0.returned : nil)
                }
            }
            drops =
                session.members.flatMap { member in
                    member.summary.drops.map { Drop(map: $0.map, processID: ProcessID(member.processID), count: $0.count) }
                } + session.drops.map { Drop(map: $0.map, processID: 0, count: $0.count) }
            missed = session.members.reduce(0) { $0 &+ $1.summary.missed }
            abandoned = session.members.reduce(session.abandoned) { $0 &+ $1.summary.abandoned }
            keptCode = session.members.contains { $0.summary.keptCode }
            overpatched = session.members.flatMap { $0.summary.overpatched.map(Function.init) }
        }
    }
}
