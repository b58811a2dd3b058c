import LinuxProcess
import Trampoline

/// What one call of `link` changes: kept aside until it is published, so that an error leaves nothing.
struct LinkBatch {
    /// A function that gets links.
    struct Change {
        let info: FunctionInfo
        let convention: Prototypes.Convention
        /// With its new links.
        var lists: TrampolineLists
        /// As it is before the change, then with its new image; nil while its entry has not been moved yet.
        var function: TracedFunction?
        /// Whether it is patched for the first time.
        let isNew: Bool
        var isRefused = false
    }

    /// Some of what was asked for is in a library that is not loaded yet.
    var waits = false
    /// What is to be told when all is done.
    var remarks: [String] = []
    /// Who watches, and may end it; nil where nobody asked for it, or where it must not be left half done.
    var progress: AttachProgress?
    /// Why no function's exit can be seen in this process, and whether some function's is not seen for that reason.
    var noExits: String?
    var losesExits = false
    var changes: [Change] = []
    private var indices: [UInt64: Int] = [:]
    private(set) var linked: [LinkedFunction] = []
    private(set) var refused: [RefusedFunction] = []

    /// Throws when somebody has ended it meanwhile.
    func checkCancelled() throws(EngineError) {
        if progress?.isCancelled == true { throw .interrupted }
    }

    mutating func reserve(_ count: Int) {
        changes.reserveCapacity(changes.count + count)
        indices.reserveCapacity(indices.count + count)
        linked.reserveCapacity(linked.count + count)
    }

    /// Where the change of a function is.
    func index(of address: UInt64) -> Int? { indices[address] }

    mutating func append(_ change: Change) {
        indices[change.info.address] = changes.count
        changes.append(change)
    }

    mutating func append(_ new: LinkedFunction) { linked.append(new) }

    /// A function that never had a change.
    mutating func refuse(_ info: FunctionInfo, _ reason: String) {
        refused.append(RefusedFunction(function: info, reason: reason))
    }

    mutating func refuse(_ index: Int, _ reason: String, category: String? = nil) {
        changes[index].isRefused = true
        refused.append(RefusedFunction(function: changes[index].info, reason: reason, category: category))
    }

    /// Takes over what became of another one's functions.
    mutating func absorb(_ other: LinkBatch) {
        linked += other.linked
        refused += other.refused
    }

    /// Leaves out what was refused on the way.
    mutating func dropRefused() {
        guard changes.indices.contains(where: { changes[$0].isRefused }) else { return }
        linked.removeAll { indices[$0.function.address].map { changes[$0].isRefused } ?? true }
        changes.removeAll { $0.isRefused }
        indices.removeAll(keepingCapacity: true)
        for index in changes.indices { indices[changes[index].info.address] = index }
    }
}
