extension Walker {
    /// Whether another path has been here with a state that includes this one; if not, the state may be kept.
    mutating func isKnown() throws(VerifierFailure) -> Bool {
        let slot = state.slot
        let isLoopPoint = program.isLoopPoint[slot]
        let isInLoop = state.isInLoop
        var isWorthKeeping = isLoopPoint || state.jumpsSinceParent >= 2 && state.instructionsSinceParent >= 8
        if isLoopPoint, callbackDepth > 0 || state.mayGotoDepth > 0 { widen() }
        var fingerprint: UInt64?
        var number = saved.youngest(at: slot)
        var younger: Int32 = -1
        while number >= 0 {
            let next = saved[number].older
            guard saved[number].isAtSamePlace(as: state) else {
                younger = number
                number = next
                continue
            }
            let isFinished = saved[number].isFinished
            if isFinished || isLoopPoint && isAnotherRound(than: number) {
                // One more round of a helper or of may_goto, which end by themselves, needs all of the state as well.
                let comparison: StateComparison = isFinished && !isInLoop && !isLoopPoint ? .sufficient : .complete
                if isSame(number, comparison) {
                    saved[number].hits += 1
                    adopt(number)
                    return true
                }
            } else {
                if isUnchanged(since: number, &fingerprint) {
                    throw failure(
                        "infinite loop detected at insn \(slot)",
                        hint: "nothing changes from one round to the next: the loop needs a bound that the verifier sees")
                }
                // A loop that is being walked round by round: keep few of its states.
                if state.jumpsSinceParent < 20, state.instructionsSinceParent < 100 { isWorthKeeping = false }
                guard isWorthKeeping else {
                    younger = number
                    number = next
                    continue
                }
            }
            saved[number].misses += 1
            let patience: Int32 = isFinished ? 3 : 64
            if saved[number].misses > saved[number].hits * patience + patience {
                saved.drop(number, at: slot, younger: younger)
            } else {
                younger = number
            }
            number = next
        }
        if isWorthKeeping, heldMemory < Self.memoryLimit { keep(fingerprint ?? self.fingerprint()) }
        return false
    }

    /// Nothing that may be read is different. This is asked for every round of a loop and each of the states before: what
    /// told them apart the last time mostly does so again.
    private mutating func isUnchanged(since number: Int32, _ fingerprint: inout UInt64?) -> Bool {
        if let value = saved[number].distinguishingValue, !isSame(value, .identical) { return false }
        // A value that tells them apart is worth some search.
        if saved[number].misses >= 8 {
            let now = fingerprint ?? self.fingerprint()
            fingerprint = now
            if saved[number].fingerprint != now { return false }
        }
        return isSame(number, .identical)
    }

    /// The helper, or may_goto, has gone round more often than in the saved state. Who comes round by a loop of the
    /// program's own is no deeper than before.
    private func isAnotherRound(than number: Int32) -> Bool {
        callbackDepth > saved[number].callbackDepth || state.mayGotoDepth > saved[number].mayGotoDepth
    }

    /// Bytes of states, of what their values depend on, and of what waiting paths will return to.
    var heldMemory: Int { saved.memory + graph.memory + values.memory + pending.count * MemoryLayout<WaitingPath>.stride }

    /// When that much is held no more states are kept: the walk takes longer, and ends at its limit.
    static let memoryLimit = 512 << 20

    // MARK: - Keeping

    /// Keeps what may still be read of the state.
    private mutating func keep(_ fingerprint: UInt64) {
        collected.removeAll()
        numberCounts.reset()
        for frame in 0...state.depth { collect(frame) }
        dropLonelyNumbers()
        var kept = SavedState(state, callbackDepth: callbackDepth)
        kept.fingerprint = fingerprint
        let number = saved.next
        saved.keep(kept, collected.contents, at: state.slot)
        state.parent = number
        state.jumpsSinceParent = 0
        state.instructionsSinceParent = 0
        statistics.states += 1
        statistics.peakStates = max(statistics.peakStates, saved.keptCount)
        statistics.peakMemory = max(statistics.peakMemory, heldMemory)
    }

    /// Registers and stack slots of a frame that may still be read.
    private func live(_ frame: Int) -> (registers: UInt16, stack: UInt64) {
        if frame == state.depth { return (program.liveness.registers[state.slot], program.liveness.stack[state.slot]) }
        let slot = Int(state.callers[frame].callSlot)
        var registers = program.liveness.registers[slot + 1] & ~1
        // A helper that calls back goes over its arguments again.
        if state.callers[frame].isCallback { registers |= program.liveness.registers[slot] }
        // What the callee may reach through pointers counts as read by the call.
        return (registers, program.liveness.stack[slot])
    }

    private mutating func collect(_ frame: Int) {
        var (registers, stack) = live(frame)
        registers &= 0x3ff
        while registers != 0 {
            let index = registers.trailingZeroBitCount
            registers &= registers - 1
            if values[index, frame].kind != .uninitialized { collect(.register(index, frame: frame), bytes: 0) }
        }
        while stack != 0 {
            let index = stack.trailingZeroBitCount
            stack &= stack - 1
            let bytes = values.slotBytes(index, frame: frame)
            if bytes == 0 { continue }
            if StackSlot.isSpill(bytes) {
                collect(.stack(index, frame: frame), bytes: bytes)
            } else {
                collected.append(
                    SavedState.Value(place: .stack(index, frame: frame), bytes: bytes, register: RegisterState()))
            }
            if StackSlot.hasHighSpill(bytes) { collect(.stack(index, frame: frame, high: true), bytes: 0) }
        }
    }

    private mutating func collect(_ place: ValuePlace, bytes: UInt64) {
        var value = SavedState.Value(place: place, bytes: bytes, register: values[place])
        if value.register.isScalar {
            value.register.origin = graph.keep(value.register.origin)
            values.setOrigin(place, value.register.origin)
            if value.register.id != 0 { numberCounts.add(value.register.id) }
        }
        collected.append(value)
    }

    /// A number that only one scalar has links nothing.
    private mutating func dropLonelyNumbers() {
        for index in 0..<collected.count {
            let id = collected[index].register.id
            guard id != 0, collected[index].register.isScalar, numberCounts.count(id) == 1 else { continue }
            (collected[index].register.id, collected[index].register.delta) = (0, 0)
        }
    }

    /// Differs between states that are not identical, but for chance.
    private func fingerprint() -> UInt64 {
        var hash: UInt64 = 0
        @inline(__always) func add(_ number: UInt64) { hash = (hash ^ number) &* 0x9e37_79b9_7f4a_7c15; hash ^= hash >> 32 }
        @inline(__always) func add(_ register: RegisterState) {
            add(register.value.bits.value ^ UInt64(register.kind.rawValue) << 56)
            add(register.value.bits.mask ^ register.value.minimum)
            add(register.value.maximum)
        }
        for frame in 0...state.depth {
            var (registers, stack) = live(frame)
            registers &= 0x3ff
            while registers != 0 {
                let index = registers.trailingZeroBitCount
                registers &= registers - 1
                if values[index, frame].kind != .uninitialized { add(values[index, frame]) }
            }
            while stack != 0 {
                let index = stack.trailingZeroBitCount
                stack &= stack - 1
                let bytes = values.slotBytes(index, frame: frame)
                if bytes == 0 { continue }
                add(bytes)
                if StackSlot.isSpill(bytes) { add(values[.stack(index, frame: frame)]) }
            }
        }
        return hash
    }

    /// The path ends here: what the saved state's paths relied on, this path relies on.
    private mutating func adopt(_ number: Int32) {
        let isOpen = !saved[number].isFinished || state.isInLoop || program.isLoopPoint[state.slot]
        guard let values = saved[number].values else { return }
        for index in values.indices where values[index].register.isScalar {
            let origin = values[index].register.origin
            let isExact = graph.isExact(origin)
            guard isExact || isOpen, let now = current(values[index].place) else { continue }
            if isExact { relyOn(now.origin) } else { graph.lend(origin, to: now.origin) }
        }
    }

    /// What register, or spilled register, is at a place now.
    private func current(_ place: ValuePlace) -> RegisterState? {
        if place.isStack {
            let bytes = values.slotBytes(place.index, frame: Int(place.frame))
            guard place.isHighHalf ? StackSlot.hasHighSpill(bytes) : StackSlot.isSpill(bytes) else { return nil }
        }
        return values[place]
    }

    // MARK: - Widening

    /// A scalar that changes from round to round, and that nobody has relied on yet, may be anything: else a loop
    /// without a known end would never come to a state that includes the next.
    private mutating func widen() {
        var number = saved.youngest(at: state.slot)
        while number >= 0, saved[number].isFinished || !saved[number].isAtSamePlace(as: state) { number = saved[number].older }
        guard number >= 0, let values = saved[number].values else { return }
        for value in values {
            guard value.register.isScalar, !graph.isExact(value.register.origin) else { continue }
            guard let now = current(value.place), now.isScalar, now.value != value.register.value else { continue }
            let (index, frame) = (value.place.index, Int(value.place.frame))
            if value.place.isStack, !StackSlot.isWholeSpill(self.values.slotBytes(index, frame: frame)) {
                self.values[value.place] = RegisterState(Scalar.unknown.zeroExtended)
            } else {
                self.values[value.place] = .unknown
            }
        }
    }
}
