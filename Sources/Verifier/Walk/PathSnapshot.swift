/// All that is known at one point of one path, for the log.
struct PathSnapshot {
    var slot: Int
    var depth: Int
    /// Of the running frame.
    var registers: [RegisterState]
    var stack: [StackSlot]
    var references: [PathState.Reference]
}

extension Walker {
    func snapshot() -> PathSnapshot {
        PathSnapshot(
            slot: state.slot, depth: state.depth, registers: registers(),
            stack: (0..<values.slotCount(ofFrame: state.depth)).map { values.stackSlot($0, frame: state.depth) },
            references: state.references)
    }

    /// r0…r10 of the running frame.
    func registers() -> [RegisterState] { (0..<11).map { values[$0, state.depth] } }
}
