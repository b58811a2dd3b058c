/// Where a path is. What its registers and stacks hold is in ``PathValues``.
struct PathState {
    /// The instruction to walk next.
    var slot: Int
    /// Slot at which the running function starts.
    var function: Int
    /// The number of the running frame; the program's own is 0.
    var depth = 0
    /// Resources that must be released.
    var references: [Reference] = []
    /// Times that some `may_goto` has been passed.
    var mayGotoDepth: Int32 = 0
    /// The state from which this one comes, by its number; -1 at the start.
    var parent: Int32 = -1
    /// Jumps and instructions since `parent`.
    var jumpsSinceParent: Int32 = 0
    var instructionsSinceParent: Int32 = 0

    /// Functions that may be inside each other (`MAX_CALL_FRAMES`).
    static let frameLimit = 8

    init(slot: Int) {
        self.slot = slot
        function = slot
    }

    /// A frame that called another one, and waits for it.
    struct CallerFrame: BitwiseCopyable {
        var function: Int32 = 0
        /// The call instruction.
        var callSlot: Int32 = 0
        /// Where a helper calls: times that it has done so on this path; -1 for an ordinary call.
        var callbackDepth: Int32 = -1
        /// References that existed when the helper called.
        var references: Int32 = 0

        var isCallback: Bool { callbackDepth >= 0 }
    }

    struct Reference: Hashable {
        var id: UInt32
        var slot: Int
    }
}
