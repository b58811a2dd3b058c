extension Walker {
    /// How much alike states must be.
    private enum Comparison {
        /// What the saved state's paths relied on is at least as exact.
        case sufficient
        /// All that may be read is: for states whose paths have not ended, or go round.
        case complete
        /// Nothing has changed.
        case identical
    }

    /// Whether another path has been here with a state that includes this one; if not, the state may be kept.
    mutating func isKnown() throws(VerifierFailure) -> Bool {
        let slot = state.slot
        let isLoopPoint = program.isLoopPoint[slot]
        let isInLoop = state.isInLoop
        var isWorthKeeping = isLoopPoint || state.jumpsSinceParent >= 2 && state.instructionsSinceParent >= 8
        if isLoopPoint, callbackDepth > 0 || state.mayGotoDepth > 0 { widen() }
        var candidates = savedAt[slot]
        var hasEvicted = false
        var position = candidates.count
        while position > 0 {
            position -= 1
            let number = Int(candidates[position])
            guard saved[number].isAtSamePlace(as: state) else { continue }
            let comparison: Comparison
            if saved[number].isFinished {
                comparison = isInLoop || isLoopPoint ? .complete : .sufficient
            } else if isLoopPoint, callbackDepth > saved[number].callbackDepth || state.mayGotoDepth > saved[number].mayGotoDepth {
                // One more round of a helper or of may_goto, which end by themselves. Who comes round by a loop of
                // the program's own is no deeper than before.
                comparison = .complete
            } else {
                if isSame(saved[number], .identical) {
                    throw failure(
                        "infinite loop detected at insn \(slot)",
                        hint: "nothing changes from one round to the next: the loop needs a bound that the verifier sees")
                }
                // A loop that is being walked round by round: keep few of its states.
                if state.jumpsSinceParent < 20, state.instructionsSinceParent < 100 { isWorthKeeping = false }
                guard isWorthKeeping else { continue }
                comparison = .identical
            }
            if comparison != .identical, isSame(saved[number], comparison) {
                saved[number].hits += 1
                adopt(number)
                if hasEvicted { savedAt[slot] = candidates }
                return true
            }
            saved[number].misses += 1
            let patience: Int32 = saved[number].isFinished ? 3 : 64
            if saved[number].misses > saved[number].hits * patience + patience {
                keptStates -= 1
                keptMemory -= saved[number].memory
                saved[number].values = []
                candidates.remove(at: position)
                hasEvicted = true
            }
        }
        if hasEvicted { savedAt[slot] = candidates }
        if isWorthKeeping { keep() }
        return false
    }

    // MARK: - Keeping

    /// Keeps what may still be read of the state.
    private mutating func keep() {
        let number = Int32(truncatingIfNeeded: saved.count)
        var kept = SavedState(
            parent: state.parent, calls: [], references: state.references, mayGotoDepth: state.mayGotoDepth,
            callbackDepth: callbackDepth)
        kept.calls = state.callers.map { SavedState.Call(slot: $0.callSlot, callbackDepth: $0.callback?.depth ?? -1) }
        for frame in 0...state.depth { append(frame, to: &kept, number) }
        dropLonelyNumbers(&kept)
        saved.append(kept)
        savedAt[state.slot].append(number)
        state.parent = number
        state.jumpsSinceParent = 0
        state.instructionsSinceParent = 0
        statistics.states += 1
        keptStates += 1
        keptMemory += kept.memory
        statistics.peakStates = max(statistics.peakStates, keptStates)
        statistics.peakMemory = max(statistics.peakMemory, keptMemory + graph.memory)
    }

    /// Registers and stack slots of a frame that may still be read.
    private func live(_ frame: Int) -> (registers: UInt16, stack: UInt64) {
        let liveness = program.liveness
        if frame == state.depth { return (liveness.registers[state.slot], liveness.stack[state.slot]) }
        let slot = state.callers[frame].callSlot
        var registers = liveness.registers[slot + 1] & ~1
        // A helper that calls back goes over its arguments again.
        if state.callers[frame].callback != nil { registers |= liveness.registers[slot] }
        // What the callee may reach through pointers counts as read by the call.
        return (registers, liveness.stack[slot])
    }

    private mutating func append(_ frame: Int, to kept: inout SavedState, _ number: Int32) {
        let live = live(frame)
        let isRunning = frame == state.depth
        for index in 0..<10 where live.registers & 1 << UInt16(index) != 0 {
            let register = isRunning ? state.registers[index] : state.callers[frame].registers[index]
            if register.kind == .uninitialized { continue }
            var value = SavedState.Value(place: .register(index, frame: frame), register: register)
            if register.isScalar {
                value.register.origin = graph.keep(register.origin, state: number, place: kept.values.count)
                if isRunning {
                    state.registers[index].origin = value.register.origin
                } else {
                    state.callers[frame].registers[index].origin = value.register.origin
                }
            }
            kept.values.append(value)
        }
        for index in 0..<state.slotCount(ofFrame: frame) where live.stack & 1 << UInt64(index) != 0 {
            let slot = state.stackSlot(index, frame: frame)
            if slot.bytes == 0 { continue }
            var value = SavedState.Value(place: .stack(index, frame: frame), bytes: slot.bytes, register: slot.register)
            if slot.isSpill, slot.register.isScalar {
                value.register.origin = graph.keep(slot.register.origin, state: number, place: kept.values.count)
                setOrigin(value.register.origin, index, frame: frame, high: false)
            }
            kept.values.append(value)
            guard slot.hasHighSpill else { continue }
            var half = SavedState.Value(place: .stack(index, frame: frame, high: true), register: slot.high)
            half.register.origin = graph.keep(slot.high.origin, state: number, place: kept.values.count)
            setOrigin(half.register.origin, index, frame: frame, high: true)
            kept.values.append(half)
        }
    }

    private mutating func setOrigin(_ origin: PrecisionGraph.Node, _ index: Int, frame: Int, high: Bool) {
        if frame == state.depth {
            state.stack[index].setOrigin(origin, high: high)
        } else {
            state.callers[frame].stack[index].setOrigin(origin, high: high)
        }
    }

    /// A number that only one scalar has links nothing.
    private func dropLonelyNumbers(_ kept: inout SavedState) {
        for index in kept.values.indices {
            let id = kept.values[index].register.id
            guard id != 0, kept.values[index].register.isScalar else { continue }
            let isShared = kept.values.indices.contains { $0 != index && kept.values[$0].register.id == id }
            if !isShared { (kept.values[index].register.id, kept.values[index].register.delta) = (0, 0) }
        }
    }

    /// The path ends here: what the saved state's paths relied on, this path relies on.
    private mutating func adopt(_ number: Int) {
        let isOpen = !saved[number].isFinished || state.isInLoop || program.isLoopPoint[state.slot]
        for index in saved[number].values.indices {
            let value = saved[number].values[index]
            guard value.register.isScalar, let origin = current(value.place)?.origin else { continue }
            if value.isExact {
                relyOn(origin)
            } else if isOpen {
                graph.lend(value.register.origin, to: origin)
            }
        }
    }

    // MARK: - Comparing

    /// What register, or spilled register, is at a place now.
    private func current(_ place: SavedState.Place) -> RegisterState? {
        if place.isStack {
            let slot = state.stackSlot(place.index, frame: place.frame)
            if place.isHighHalf { return slot.hasHighSpill ? slot.high : nil }
            return slot.isSpill ? slot.register : nil
        }
        return place.frame == state.depth
            ? state.registers[place.index] : state.callers[place.frame].registers[place.index]
    }

    private mutating func isSame(_ old: SavedState, _ comparison: Comparison) -> Bool {
        guard old.references.count == state.references.count else { return false }
        if comparison == .identical {
            guard old.mayGotoDepth == state.mayGotoDepth, old.callbackDepth == callbackDepth else { return false }
        } else if old.callbackDepth > callbackDepth {
            return false
        }
        for index in old.calls.indices {
            guard let callback = state.callers[index].callback else { continue }
            let depth = old.calls[index].callbackDepth
            if comparison == .identical ? depth != callback.depth : depth > callback.depth { return false }
        }
        numbers.reset()
        for index in old.references.indices {
            if !numbers.matches(old.references[index].id, state.references[index].id) { return false }
        }
        for value in old.values {
            if value.place.isStack {
                let slot = state.stackSlot(value.place.index, frame: value.place.frame)
                if value.place.isHighHalf {
                    // Compared byte by byte with the slot already: something is there.
                    let register = slot.hasHighSpill ? slot.high : RegisterState(Scalar.unknown.zeroExtended)
                    if !isSame(value.register, register, isExact: value.isExact, comparison) { return false }
                } else if !isSame(value, slot, comparison) {
                    return false
                }
            } else {
                let isRunning = value.place.frame == state.depth
                let register =
                    isRunning
                    ? state.registers[value.place.index] : state.callers[value.place.frame].registers[value.place.index]
                if !isSame(value.register, register, isExact: value.isExact, comparison) { return false }
            }
        }
        return true
    }

    private mutating func isSame(_ old: SavedState.Value, _ new: StackSlot, _ comparison: Comparison) -> Bool {
        let oldSlot = StackSlot(bytes: old.bytes, register: old.register)
        if oldSlot.isSpill {
            let register: RegisterState
            if new.isSpill, new.isWholeSpill == oldSlot.isWholeSpill {
                register = new.register
            } else {
                // A scalar of which nothing was asked, or that may be anything, is any bytes of data.
                guard oldSlot.register.isScalar, !new.holdsPointer, comparison != .identical else { return false }
                register = oldSlot.isWholeSpill ? .unknown : RegisterState(Scalar.unknown.zeroExtended)
            }
            if !isSame(old.register, register, isExact: old.isExact, comparison) { return false }
        }
        for index in 0..<8 {
            let now = new.byte(index)
            switch oldSlot.byte(index) {
            case StackSlot.empty: continue
            case StackSlot.zero: if now != StackSlot.zero { return false }
            case StackSlot.spilled: if now == StackSlot.empty { return false }
            default:
                guard now != StackSlot.empty, !(now == StackSlot.spilled && new.register.isPointer) else { return false }
                if comparison == .identical, now != oldSlot.byte(index) { return false }
            }
        }
        return true
    }

    private mutating func isSame(
        _ old: RegisterState, _ new: RegisterState, isExact: Bool, _ comparison: Comparison
    ) -> Bool {
        if old.kind == .uninitialized { return true }
        guard old.kind == new.kind, old.isNullable == new.isNullable else { return false }
        if old.kind == .scalar {
            switch comparison {
            case .sufficient: if !isExact { return true }
            case .complete: break
            case .identical:
                return old.value == new.value && (old.id == 0 || old.delta == new.delta && numbers.matches(old.id, new.id))
            }
            guard old.value.contains(new.value) else { return false }
            return old.id == 0 || old.delta == new.delta && numbers.matches(old.id, new.id)
        }
        guard old.index == new.index, old.size == new.size, old.frame == new.frame, old.isReadOnly == new.isReadOnly,
            old.isRecord == new.isRecord, numbers.matches(old.id, new.id),
            numbers.matches(old.reference, new.reference)
        else { return false }
        if comparison == .identical || old.kind == .frame { return old.value == new.value }
        return old.value.contains(new.value)
    }

    // MARK: - Widening

    /// A scalar that changes from round to round, and that nobody has relied on yet, may be anything: else a loop
    /// without a known end would never come to a state that includes the next.
    private mutating func widen() {
        guard
            let number = savedAt[state.slot].last(where: { !saved[Int($0)].isFinished && saved[Int($0)].isAtSamePlace(as: state) })
        else { return }
        for index in saved[Int(number)].values.indices {
            let value = saved[Int(number)].values[index]
            guard value.register.isScalar, !value.isExact else { continue }
            guard let now = current(value.place), now.isScalar, now.value != value.register.value else { continue }
            let (place, frame) = (value.place.index, value.place.frame)
            if value.place.isStack {
                var slot = state.stackSlot(place, frame: frame)
                if slot.isWholeSpill {
                    slot = StackSlot(spilling: .unknown)
                } else {
                    slot.spillHalf(RegisterState(Scalar.unknown.zeroExtended), high: value.place.isHighHalf)
                }
                state.setStackSlot(place, frame: frame, slot)
            } else if frame == state.depth {
                state.registers[place] = .unknown
            } else {
                state.callers[frame].registers[place] = .unknown
            }
        }
    }
}
