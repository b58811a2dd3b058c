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
        var taken = state
        taken.slot = target
        let mayBeTaken = Self.assume(condition, width, holds: true, left, operand, in: &taken, &graph)
        let mayPass = Self.assume(condition, width, holds: false, left, operand, in: &state, &graph)
        guard mayPass else {
            if !mayBeTaken { throw failure("no value of R\(left.rawValue) is possible here") }
            relyOn(one.origin)
            relyOn(other.origin)
            state = taken
            return
        }
        if mayBeTaken {
            try push(taken)
        } else {
            relyOn(one.origin)
            relyOn(other.origin)
        }
        state.slot = next
    }

    /// What a path knows behind the branch; false if no number leads there.
    private static func assume(
        _ condition: Condition, _ width: Width, holds: Bool, _ left: Register, _ operand: Operand,
        in path: inout PathState, _ graph: inout PrecisionGraph
    ) -> Bool {
        let index = Int(left.rawValue)
        var one = path.registers[index].value
        switch operand {
        case .immediate(let value):
            var other = Scalar(UInt64(bitPattern: Int64(value)))
            Scalar.assume(condition, width, holds: holds, &one, &other)
            if one.isEmpty || other.isEmpty { return false }
            path.registers[index].value = one
        case .register(let right):
            let otherIndex = Int(right.rawValue)
            // A register compared with itself learns nothing.
            if index == otherIndex { return true }
            var other = path.registers[otherIndex].value
            Scalar.assume(condition, width, holds: holds, &one, &other)
            if one.isEmpty || other.isEmpty { return false }
            let origin = graph.join(path.registers[index].origin, path.registers[otherIndex].origin)
            path.registers[index].value = one
            path.registers[otherIndex].value = other
            path.registers[index].origin = origin
            path.registers[otherIndex].origin = origin
            tellLinked(path.registers[otherIndex], in: &path, &graph)
        }
        tellLinked(path.registers[index], in: &path, &graph)
        return true
    }

    private static func tellLinked(
        _ known: RegisterState, in path: inout PathState, _ graph: inout PrecisionGraph
    ) {
        guard known.id != 0 else { return }
        func isLinked(_ register: RegisterState) -> Bool { register.id == known.id && register.isScalar }
        path.update(where: isLinked) { register in
            if register.delta == known.delta {
                register.value = known.value
            } else {
                let distance = Int64(register.delta) - Int64(known.delta)
                register.value = Scalar.apply(
                    .add, .bits64, known.value, Scalar(UInt64(bitPattern: distance)))
            }
            register.origin = graph.join(register.origin, known.origin)
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
            var taken = state
            taken.slot = target
            Self.resolve(pointer, isNull: jumpsIfNull, in: &taken)
            Self.resolve(pointer, isNull: !jumpsIfNull, in: &state)
            try push(taken)
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
    private static func resolve(_ pointer: RegisterState, isNull: Bool, in path: inout PathState) {
        let id = pointer.id
        if isNull, pointer.reference != 0 {
            // What was not allocated need not be released.
            path.references.removeAll { $0.id == pointer.reference }
        }
        path.update(where: { $0.isNullable && $0.id == id }) { register in
            if isNull {
                register = .constant(0)
            } else {
                register.isNullable = false
            }
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
