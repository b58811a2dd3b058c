/// How much alike states must be.
enum StateComparison {
    /// What the saved state's paths relied on is at least as exact.
    case sufficient
    /// All that may be read is: for states whose paths have not ended, or go round.
    case complete
    /// Nothing has changed.
    case identical
}

extension Walker {
    /// Whether the saved state includes the one that is being walked, or is the same.
    mutating func isSame(_ number: Int32, _ comparison: StateComparison) -> Bool {
        guard isSameSurrounding(number, comparison), let known = saved[number].values else { return false }
        numbers.reset()
        for index in state.references.indices
        where !numbers.matches(saved[number].references[index].id, state.references[index].id) {
            return false
        }
        if let first = known.pointer(saved[number].distinguishing), !isSame(first, comparison) { return false }
        for slot in known.slots where !isSame(slot, comparison) { return false }
        guard let start = known.values.baseAddress else { return true }
        for index in 0..<known.values.count where !isSame(UnsafePointer(start + index), comparison) {
            saved[number].distinguishing = index
            return false
        }
        return true
    }

    private func isSameSurrounding(_ number: Int32, _ comparison: StateComparison) -> Bool {
        guard saved[number].references.count == state.references.count else { return false }
        if comparison == .identical {
            guard saved[number].mayGotoDepth == state.mayGotoDepth, saved[number].callbackDepth == callbackDepth else {
                return false
            }
        } else if saved[number].callbackDepth > callbackDepth {
            return false
        }
        for frame in 0..<state.depth where values.caller(frame).isCallback {
            let (old, now) = (saved[number].callers[frame].callbackDepth, values.caller(frame).callbackDepth)
            if comparison == .identical ? old != now : old > now { return false }
        }
        return true
    }

    /// Whether the bytes of a stack slot are included in those that it had; spilled registers are compared besides.
    @inline(__always)
    private func isSame(_ old: SavedValues.Slot, _ comparison: StateComparison) -> Bool {
        let bytes = values.slotBytes(old.place.index, frame: Int(old.place.frame))
        return bytes == old.bytes || isIncluded(bytes, in: old, comparison)
    }

    private func isIncluded(_ bytes: UInt64, in old: SavedValues.Slot, _ comparison: StateComparison) -> Bool {
        let (slot, oldSlot) = (StackSlot(bytes: bytes), StackSlot(bytes: old.bytes))
        let holdsPointer = slot.isSpill && values.pointer(to: old.place).pointee.isPointer
        for index in 0..<8 {
            let now = slot.byte(index)
            switch oldSlot.byte(index) {
            case StackSlot.empty: continue
            case StackSlot.zero: if now != StackSlot.zero { return false }
            // A string is where it was, or what is read to its end might have none.
            case StackSlot.text, StackSlot.textStart: if now != oldSlot.byte(index) { return false }
            case StackSlot.spilled: if now == StackSlot.empty || now == StackSlot.text { return false }
            default:
                guard now != StackSlot.empty, now != StackSlot.text, !(now == StackSlot.spilled && holdsPointer) else { return false }
                if comparison == .identical, now != oldSlot.byte(index) { return false }
            }
        }
        return true
    }

    /// Whether what is found at the value's place now is included in it.
    mutating func isSame(_ old: UnsafePointer<SavedValues.Value>, _ comparison: StateComparison) -> Bool {
        let place = old.pointee.place
        let new = values.pointer(to: place)
        guard place.isStack else { return isSame(old, new, comparison) }
        let bytes = values.slotBytes(place.index, frame: Int(place.frame))
        if place.isHighHalf {
            // That something is there is seen byte by byte.
            return StackSlot.hasHighSpill(bytes)
                ? isSame(old, new, comparison) : isSame(old, RegisterState(Scalar.unknown.zeroExtended), comparison)
        }
        return isSameSpill(old, new, bytes, comparison)
    }

    @inline(__always)
    private mutating func isSameSpill(
        _ old: UnsafePointer<SavedValues.Value>, _ new: UnsafePointer<RegisterState>, _ bytes: UInt64,
        _ comparison: StateComparison
    ) -> Bool {
        let isWhole = !old.pointee.isHalf
        if StackSlot.isSpill(bytes), StackSlot.isWholeSpill(bytes) == isWhole { return isSame(old, new, comparison) }
        // A scalar of which nothing was asked, or that may be anything, is any bytes of data.
        guard old.pointee.register.isScalar, comparison != .identical,
            !(StackSlot.isSpill(bytes) && new.pointee.isPointer)
        else { return false }
        return isSame(old, RegisterState(isWhole ? Scalar.unknown : Scalar.unknown.zeroExtended), comparison)
    }

    private mutating func isSame(
        _ old: UnsafePointer<SavedValues.Value>, _ new: RegisterState, _ comparison: StateComparison
    ) -> Bool {
        withUnsafePointer(to: new) { isSame(old, $0, comparison) }
    }

    @inline(__always)
    private mutating func isSame(
        _ old: UnsafePointer<SavedValues.Value>, _ new: UnsafePointer<RegisterState>, _ comparison: StateComparison
    ) -> Bool {
        guard old.pointee.register.kind == .scalar else { return isSamePointer(old, new, comparison) }
        guard new.pointee.kind == .scalar else { return false }
        switch comparison {
        case .sufficient: if !graph.isExact(old.pointee.register.origin) { return true }
        case .complete: break
        case .identical: guard old.pointee.register.value == new.pointee.value else { return false }
        }
        guard old.pointee.register.value.contains(new.pointee.value) else { return false }
        let id = old.pointee.register.id
        return id == 0 || old.pointee.register.delta == new.pointee.delta && numbers.matches(id, new.pointee.id)
    }

    private mutating func isSamePointer(
        _ old: UnsafePointer<SavedValues.Value>, _ new: UnsafePointer<RegisterState>, _ comparison: StateComparison
    ) -> Bool {
        let (old, new) = (old.pointee.register, new.pointee)
        if old.kind == .uninitialized { return true }
        guard old.kind == new.kind, old.isNullable == new.isNullable, old.index == new.index, old.size == new.size,
            old.frame == new.frame, old.isReadOnly == new.isReadOnly, old.isRecord == new.isRecord,
            numbers.matches(old.id, new.id), numbers.matches(old.reference, new.reference)
        else { return false }
        if comparison == .identical || old.kind == .frame { return old.value == new.value }
        return old.value.contains(new.value)
    }
}
