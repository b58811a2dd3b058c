/// The programs of one function, in the order in which they run: entry list, `fmod_ret` list, the
/// function unless a program skipped it, exit list.
///
/// A session is a node in the entry list and one in the exit list. A new node goes to the head of
/// its list, as in the kernel.
package struct TrampolineLists: Sendable, Hashable {
    /// `BPF_MAX_TRAMP_LINKS` on x86-64.
    package static let maximumNodeCount = 38

    /// `fentry` and `session` links.
    package private(set) var entry: [TrampolineLink] = []
    /// `fmod_ret` links.
    package private(set) var fmodRet: [TrampolineLink] = []
    /// `session` and `fexit` links.
    package private(set) var exit: [TrampolineLink] = []
    /// False for functions that never return: they take `fentry` links only.
    package let functionReturns: Bool

    package init(functionReturns: Bool = true) {
        self.functionReturns = functionReturns
    }

    package var nodeCount: Int { entry.count + fmodRet.count + exit.count }
    package var isEmpty: Bool { nodeCount == 0 }

    /// Whether the image need not see the function return.
    package var isEntryOnly: Bool { fmodRet.isEmpty && exit.isEmpty }

    /// Every link once, in no particular order.
    package var links: [TrampolineLink] { entry + fmodRet + exit.filter { $0.kind != .session } }

    /// Adds a link at the head of its lists.
    package mutating func link(_ link: TrampolineLink) throws(TrampolineError) {
        if link.kind.needsReturn && !functionReturns { throw .functionNeverReturns(kind: link.kind) }
        if nodeCount + link.kind.nodeCount > Self.maximumNodeCount {
            throw .tooManyNodes(present: nodeCount, added: link.kind.nodeCount)
        }
        func isTaken(_ other: TrampolineLink) -> Bool { other.id == link.id || other.programID == link.programID }
        if entry.contains(where: isTaken) || fmodRet.contains(where: isTaken) || exit.contains(where: isTaken) {
            throw .programAlreadyLinked(programID: link.programID)
        }
        switch link.kind {
        case .fentry:
            entry.insert(link, at: 0)
        case .fexit:
            exit.insert(link, at: 0)
        case .fmodRet:
            fmodRet.insert(link, at: 0)
        case .session:
            entry.insert(link, at: 0)
            exit.insert(link, at: 0)
        }
    }

    /// Takes a link out of its lists; nil when there is none of that id.
    @discardableResult
    package mutating func unlink(id: TrampolineLink.ID) -> TrampolineLink? {
        guard let link = links.first(where: { $0.id == id }) else { return nil }
        entry.removeAll { $0.id == id }
        fmodRet.removeAll { $0.id == id }
        exit.removeAll { $0.id == id }
        return link
    }
}
