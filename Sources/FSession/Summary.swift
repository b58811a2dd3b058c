import Engine

extension Session {
    /// The numbers of a session.
    public struct Summary: Sendable {
        /// The calls of one function.
        public struct Count: Sendable {
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

        /// The calls of one function; nil where it was never traced, and in the kernel for programs of your own.
        public func count(of function: Function) -> Count? { counts.first { $0.function == function } }

        /// Calls of all functions.
        public var calls: UInt64 { counts.reduce(0) { $0 &+ $1.entered } }

        init(_ summary: EngineSummary) {
            counts = summary.counts.map {
                Count(function: Function($0.function), entered: $0.entered, returned: $0.seesReturns ? $0.returned : nil)
            }
            drops = summary.drops.map { Drop(map: $0.map, count: $0.count) }
            missed = summary.missed
            abandoned = summary.abandoned
            keptCode = summary.keptCode
            overpatched = summary.overpatched.map(Function.init)
        }
    }
}
