/// What a program asks of the context that it is run with. A tail call hands the context on, so a program needs what those
/// need that it may go on in.
package struct ContextNeeds: Hashable, Sendable {
    /// Bytes of it that are read, from its start.
    package var bytes: Int
    /// It has a word for the program's session cookie.
    package var usesCookie: Bool

    package init(bytes: Int = 0, usesCookie: Bool = false) {
        self.bytes = bytes
        self.usesCookie = usesCookie
    }

    /// What each of the programs needs with all that it may come to, however many tail calls lie between.
    /// - Parameter successors: the programs that each may tail-call, by their numbers.
    package static func following(_ own: [ContextNeeds], _ successors: [Set<Int>]) -> [ContextNeeds] {
        own.indices.map { first in
            var needs = own[first]
            var reached: Set<Int> = [first]
            var pending = [first]
            while let program = pending.popLast() {
                needs.bytes = max(needs.bytes, own[program].bytes)
                needs.usesCookie = needs.usesCookie || own[program].usesCookie
                for next in successors[program] where reached.insert(next).inserted { pending.append(next) }
            }
            return needs
        }
    }
}
