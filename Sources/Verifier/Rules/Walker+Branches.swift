import BPF

extension Walker {
    /// A conditional jump: both ways, unless what is known decides.
    mutating func branch(
        _ condition: Condition, _ width: Width, _ left: Register, _ operand: Operand, to target: Int
    ) throws(VerifierFailure) {
        let next = state.slot + 1
        let one = try read(left)
        let other = try read(operand)
        if one.isPointer || other.isPointer {
            try pointerBranch(condition, width, left, operand, one, other, to: target)
            return
        }
        if operand == .register(left), let holds = condition.holdsForEqual {
            state.slot = holds ? target : next
            return
        }
        if let holds = Scalar.decide(condition, width, one.value, other.value) {
            relyOn(one.origin)
            relyOn(other.origin)
            state.slot = holds ? target : next
            return
        }
        let taken = assuming(condition, width, holds: true, left, operand, one, other)
        guard let passed = assuming(condition, width, holds: false, left, operand, one, other) else {
            guard let taken else { throw failure("no value of R\(left.rawValue) is possible here") }
            relyOn(one.origin)
            relyOn(other.origin)
            learn(taken)
            state.slot = target
            return
        }
        if let taken {
            try push(slot: target, .comparison)
            comparisons.append(taken)
        } else {
            relyOn(one.origin)
            relyOn(other.origin)
        }
        learn(passed)
        state.slot = next
    }

    /// What a path knows behind the branch; nil if no number leads there.
    private mutating func assuming(
        _ condition: Condition, _ width: Width, holds: Bool, _ left: Register, _ operand: Operand,
        _ one: RegisterState, _ other: RegisterState
    ) -> WaitingPath.Comparison? {
        var result = WaitingPath.Comparison(left: Int(left.rawValue), value: one.value)
        if case .register(let right) = operand {
            // A register compared with itself learns nothing.
            if right.rawValue == left.rawValue { return result }
            result.right = Int(right.rawValue)
            result.origin = graph.join(one.origin, other.origin)
        }
        result.other = other.value
        Scalar.assume(
            condition, width, holds: holds, &result.value, &result.other, isConstant: result.right < 0)
        return result.value.isEmpty || result.other.isEmpty ? nil : result
    }

    /// The path goes on with what a branch told.
    mutating func learn(_ comparison: WaitingPath.Comparison) {
        let frame = state.depth
        var one = values[comparison.left, frame]
        one.value = comparison.value
        if comparison.right >= 0 {
            one.origin = comparison.origin
            var other = values[comparison.right, frame]
            other.value = comparison.other
            other.origin = comparison.origin
            values[comparison.left, frame] = one
            values[comparison.right, frame] = other
            tellLinked(other)
            one = values[comparison.left, frame]
        } else {
            values[comparison.left, frame] = one
        }
        tellLinked(one)
    }

    private mutating func tellLinked(_ known: RegisterState) {
        guard known.id != 0 else { return }
        values.update(id: known.id, depth: state.depth, &graph) { register, graph in
            guard register.isScalar else { return false }
            if register.delta == known.delta {
                register.value = known.value
            } else {
                let distance = Int64(register.delta) - Int64(known.delta)
                register.value = Scalar.apply(
                    .add, .bits64, known.value, Scalar(UInt64(bitPattern: distance)))
            }
            register.origin = graph.join(register.origin, known.origin)
            return true
        }
    }

    // MARK: - Pointers

    private mutating func pointerBranch(
        _ condition: Condition, _ width: Width, _ left: Register, _ operand: Operand, _ one: RegisterState,
        _ other: RegisterState, to target: Int
    ) throws(VerifierFailure) {
        let next = state.slot + 1
        if width == .bits64, condition == .equal || condition == .notEqual,
            one.isConstantZero || other.isConstantZero
        {
            let pointer = one.isPointer ? one : other
            relyOn((one.isPointer ? other : one).origin)
            let jumpsIfNull = condition == .equal
            guard pointer.isNullable else {
                state.slot = jumpsIfNull ? next : target
                return
            }
            let (id, reference) = (pointer.id, pointer.reference)
            try push(slot: target, .nullness(id: id, reference: reference, isNull: jumpsIfNull))
            resolve(id: id, reference: reference, isNull: !jumpsIfNull)
            state.slot = next
            return
        }
        guard width == .bits64, one.isPointer, other.isPointer, one.kind == other.kind, !one.isNullable,
            !other.isNullable, let holds = compare(condition, one, other)
        else {
            guard options.allowsPointerLeaks, width == .bits64 else {
                throw failure(
                    "R\(left.rawValue) pointer comparison prohibited",
                    hint: "pointers may be compared with NULL, and with others into the same frame or variable")
            }
            try push(slot: target)
            state.slot = next
            return
        }
        switch holds {
        case true: state.slot = target
        case false: state.slot = next
        case nil:
            try push(slot: target)
            state.slot = next
        }
    }

    /// Compares places in the same object. nil if it is not the same one; `.some(nil)` if it depends.
    private func compare(_ condition: Condition, _ one: RegisterState, _ other: RegisterState) -> Bool?? {
        switch one.kind {
        case .frame: guard one.frame == other.frame else { return nil }
        case .mapValue: guard one.index == other.index, one.id == 0, other.id == 0 else { return nil }
        default: return nil
        }
        // One object lies in one half of the address space: addresses are ordered as offsets are.
        let signed: Condition =
            switch condition {
            case .greater: .signedGreater
            case .greaterOrEqual: .signedGreaterOrEqual
            case .less: .signedLess
            case .lessOrEqual: .signedLessOrEqual
            default: condition
            }
        if condition == .anyBitSet { return nil }
        return .some(Scalar.decide(signed, .bits64, one.value, other.value))
    }

    /// All copies of a pointer that may be null turn out to be, or not to be.
    mutating func resolve(id: UInt32, reference: UInt32, isNull: Bool) {
        if isNull, reference != 0 {
            // What was not allocated need not be released.
            state.references.removeAll { $0.id == reference }
        }
        values.update(id: id, depth: state.depth, &graph) { register, _ in
            guard register.isNullable else { return false }
            if isNull {
                register = .constant(0)
            } else {
                register.isNullable = false
            }
            return true
        }
    }
}

extension Condition {
    /// Whether it holds for a number and itself; nil if that depends on the number.
    fileprivate var holdsForEqual: Bool? {
        switch self {
        case .equal, .greaterOrEqual, .lessOrEqual, .signedGreaterOrEqual, .signedLessOrEqual: true
        case .notEqual, .greater, .less, .signedGreater, .signedLess: false
        case .anyBitSet: nil
        }
    }
}
