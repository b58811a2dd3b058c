import LinuxProcess
import Trampoline

/// Functions whose code is in the target, or on its way there; nothing leads to it yet. What was planned and cannot be is refused on
/// the way, and left out.
struct PreparedBatch {
    struct Change {
        /// With its moved entry; with its new image, once that is made.
        var function: TracedFunction
        /// What the image is made of.
        let lists: TrampolineLists
        /// As it stands in the target; nil where it has its own bytes.
        let before: TracedFunction?

        /// The bytes at its entry until it is published.
        var expected: ShortBytes { before.map { $0.jump ?? [] } ?? function.displaced.patch.original }
    }

    let stage: LinkStage
    var changes: [Change]
    private(set) var outcome: LinkOutcome

    init(_ stage: LinkStage, _ changes: [Change], _ outcome: LinkOutcome = LinkOutcome()) {
        self.stage = stage
        self.changes = changes
        self.outcome = outcome
    }

    /// Leaves out functions that could not be patched, each with the reason.
    mutating func refuse(_ reasons: [(index: Int, reason: String)]) {
        guard !reasons.isEmpty else { return }
        for (index, reason) in reasons { outcome.refuse(changes[index].function.info, reason) }
        let refused = Set(reasons.map { changes[$0.index].function.info.address })
        outcome.drop(refused)
        changes.removeAll { refused.contains($0.function.info.address) }
    }
}
