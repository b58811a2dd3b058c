extension Walker {
    /// Whether another path has been here with a state that includes this one; if not, the state may be kept.
    mutating func isKnown() throws(VerifierFailure) -> Bool {
        let slot = state.slot
        let isLoopPoint = program.isLoopPoint[slot]
        let isInLoop = values.isInLoop(state)
        var isWorthKeeping =
            isLoopPoint || options.keepsEveryState
            || state.jumpsSinceParent >= 2 && state.instructionsSinceParent >= 20
        if isLoopPoint, callbackDepth > 0 || state.mayGotoDepth > 0 { widen() }
        var fingerprint: UInt64?
        var number = saved.youngest(at: slot)
        var younger: Int32 = -1
        while number >= 0 {
            let next = saved[number].older
            guard saved[number].isAtSamePlace(as: state, values) else {
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
        if isWorthKeeping, heldMemory < Self.memoryLimit { keep() }
        return false
    }

    /// Nothing that may be read is different. This is asked for every round of a loop and each of the states before: what
    /// told them apart the last time mostly does so again.
    private mutating func isUnchanged(since number: Int32, _ fingerprint: inout UInt64?) -> Bool {
        let first = saved[number].distinguishing
        if let value = saved[number].values?.pointer(first), !isSame(value, .identical) { return false }
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
    private mutating func keep() {
        collected.removeAll()
        collectedSlots.removeAll()
        numberCounts.reset()
        for frame in 0...state.depth { collect(frame) }
        dropLonelyNumbers()
        let kept = SavedState(state, values, callbackDepth: callbackDepth)
        let number = saved.next
        saved.keep(kept, SavedValues(collected, collectedSlots), at: state.slot)
        state.parent = number
        state.jumpsSinceParent = 0
        state.instructionsSinceParent = 0
        statistics.states += 1
        statistics.peakStates = max(statistics.peakStates, saved.keptCount)
        statistics.peakMemory = max(statistics.peakMemory, heldMemory)
    }

    /// Registers and stack slots of a frame that may still be read.
    func live(_ frame: Int) -> (registers: UInt16, stack: UInt64) {
        if frame == state.depth { return (program.liveness.registers[state.slot], program.liveness.stack[state.slot]) }
        let slot = Int(values.caller(frame).callSlot)
        var registers = program.liveness.registers[slot + 1] & ~1
        // A helper that calls back goes over its arguments again.
        if values.caller(frame).isCallback { registers |= program.liveness.registers[slot] }
        // What the callee may reach through pointers counts as read by the call.
        return (registers, program.liveness.stack[slot])
    }

    private mutating func collect(_ frame: Int) {
        var (registers, stack) = live(frame)
        registers &= 0x3ff
        while registers != 0 {
            let index = registers.trailingZeroBitCount
            registers &= registers - 1
            if values[index, frame].kind != .uninitialized { collect(.register(index, frame: frame)) }
        }
        while stack != 0 {
            let index = stack.trailingZeroBitCount
            stack &= stack - 1
            let bytes = values.slotBytes(index, frame: frame)
            if bytes == 0 { continue }
            collectedSlots.append(SavedValues.Slot(bytes: bytes, place: .stack(index, frame: frame)))
            if StackSlot.isSpill(bytes) { collect(.stack(index, frame: frame), isHalf: !StackSlot.isWholeSpill(bytes)) }
            if StackSlot.hasHighSpill(bytes) { collect(.stack(index, frame: frame, high: true)) }
        }
    }

    @inline(__always)
    private mutating func collect(_ place: ValuePlace, isHalf: Bool = false) {
        let register = values.pointer(to: place)
        if register.pointee.kind == .scalar {
            values.setOrigin(place, graph.keep(register.pointee.origin))
            if register.pointee.id != 0 { numberCounts.add(register.pointee.id) }
        }
        collected.append(SavedValues.Value(register: register.pointee, place: place, isHalf: isHalf))
    }

    /// A number that only one scalar has links nothing.
    private mutating func dropLonelyNumbers() {
        for index in 0..<collected.count {
            let id = collected[index].register.id
            guard id != 0, collected[index].register.isScalar, numberCounts.count(id) == 1 else { continue }
            (collected[index].register.id, collected[index].register.delta) = (0, 0)
        }
    }

    /// As ``SavedValues/fingerprint`` has it of a saved state.
    private func fingerprint() -> UInt64 {
        var (slots, registers) = (Fingerprint(), Fingerprint())
        for frame in 0...state.depth {
            var (liveRegisters, stack) = live(frame)
            liveRegisters &= 0x3ff
            while liveRegisters != 0 {
                let index = liveRegisters.trailingZeroBitCount
                liveRegisters &= liveRegisters - 1
                if values[index, frame].kind != .uninitialized { registers.add(values[index, frame]) }
            }
            while stack != 0 {
                let index = stack.trailingZeroBitCount
                stack &= stack - 1
                let bytes = values.slotBytes(index, frame: frame)
                if bytes == 0 { continue }
                slots.add(bytes)
                if StackSlot.isSpill(bytes) { registers.add(values[.stack(index, frame: frame)]) }
                if StackSlot.hasHighSpill(bytes) { registers.add(values[.stack(index, frame: frame, high: true)]) }
            }
        }
        return slots.hash ^ registers.hash &* 31
    }

    /// The path ends here: what the saved state's paths relied on, this path relies on.
    private mutating func adopt(_ number: Int32) {
        let isOpen = !saved[number].isFinished || values.isInLoop(state) || program.isLoopPoint[state.slot]
        guard let known = saved[number].values?.values else { return }
        for index in known.indices where known[index].register.isScalar {
            let origin = known[index].register.origin
            let isExact = graph.isExact(origin)
            guard isExact || isOpen, let now = current(known[index].place) else { continue }
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
        while number >= 0, saved[number].isFinished || !saved[number].isAtSamePlace(as: state, values) { number = saved[number].older }
        guard number >= 0, let known = saved[number].values?.values else { return }
        for value in known {
            guard value.register.isScalar, !graph.isExact(value.register.origin) else { continue }
            guard let now = current(value.place), now.isScalar, now.value != value.register.value else { continue }
            let isHalf =
                value.place.isStack
                && !StackSlot.isWholeSpill(values.slotBytes(value.place.index, frame: Int(value.place.frame)))
            values[value.place] = isHalf ? RegisterState(Scalar.unknown.zeroExtended) : .unknown
        }
    }
}
