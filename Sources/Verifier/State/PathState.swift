/// All that is known at one point of one path.
struct PathState: Sendable {
    /// r0…r10 of the running frame.
    var registers: [RegisterState]
    /// Its stack: slot 0 is the eight bytes below r10. As long as it has been used.
    var stack: [StackSlot] = []
    /// Slot at which the running function starts.
    var function: Int
    /// Frames that wait for the running one, the program's first.
    var callers: [CallerFrame] = []
    /// Resources that must be released.
    var references: [Reference] = []
    /// Times that some `may_goto` has been passed.
    var mayGotoDepth = 0
    /// The instruction to walk next.
    var slot: Int
    /// The state from which this one comes, by its number; nil at the start.
    var parent: Int32 = -1
    /// Jumps and instructions since `parent`.
    var jumpsSinceParent = 0
    var instructionsSinceParent = 0

    init(slot: Int) {
        registers = Array(repeating: RegisterState(), count: 11)
        function = slot
        self.slot = slot
        registers[10] = RegisterState(kind: .frame)
    }

    /// A frame that called another one.
    struct CallerFrame: Sendable {
        var registers: [RegisterState]
        var stack: [StackSlot]
        var function: Int
        /// The call instruction.
        var callSlot: Int
        /// Set where a helper calls: what follows when the callee returns.
        var callback: Callback?
    }

    /// The helper that runs a callback.
    struct Callback: Sendable, Hashable {
        /// Times that it has been called on this path.
        var depth: Int
        /// References that existed when it was called.
        var references: Int
    }

    struct Reference: Sendable, Hashable {
        var id: UInt32
        var slot: Int
    }

    /// The number of the running frame.
    var depth: Int { callers.count }

    /// Callbacks and `may_goto` go round and round: their states are compared before all is known of them.
    var isInLoop: Bool { mayGotoDepth > 0 || callers.contains { $0.callback != nil } }

    func slotCount(ofFrame frame: Int) -> Int { frame == depth ? stack.count : callers[frame].stack.count }

    func stackSlot(_ index: Int, frame: Int) -> StackSlot {
        let slots = frame == depth ? stack : callers[frame].stack
        return index < slots.count ? slots[index] : StackSlot()
    }

    mutating func setStackSlot(_ index: Int, frame: Int, _ slot: StackSlot) {
        if frame == depth {
            while stack.count <= index { stack.append(StackSlot()) }
            stack[index] = slot
        } else {
            while callers[frame].stack.count <= index { callers[frame].stack.append(StackSlot()) }
            callers[frame].stack[index] = slot
        }
    }

    /// Changes all registers, in registers and on stacks, that `isWanted` accepts.
    mutating func update(where isWanted: (RegisterState) -> Bool, _ change: (inout RegisterState) -> Void) {
        for index in registers.indices where isWanted(registers[index]) { change(&registers[index]) }
        for index in stack.indices where stack[index].bytes != 0 { stack[index].update(isWanted, change) }
        for frame in callers.indices {
            for index in callers[frame].registers.indices where isWanted(callers[frame].registers[index]) {
                change(&callers[frame].registers[index])
            }
            for index in callers[frame].stack.indices where callers[frame].stack[index].bytes != 0 {
                callers[frame].stack[index].update(isWanted, change)
            }
        }
    }
}
