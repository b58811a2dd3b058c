/// Puts a program together in Swift, with labels in place of distances:
///
///     var code = ProgramBuilder()
///     let done = code.makeLabel()
///     code.append(.move(.r0, 0))
///     code.branch(.equal, .r1, 0, to: done)
///     code.append(.add(.r0, 1))
///     code.place(done)
///     code.append(.exit)
///     let program = try code.finish()
package struct ProgramBuilder {
    /// A place in the program that jumps and calls can name before it is known.
    package struct Label: Hashable, Sendable {
        fileprivate let index: Int
    }

    private struct Reference {
        let slot: Int
        let label: Label
    }

    /// The slots so far; distances to labels are filled in by ``finish()``.
    package private(set) var instructions: [Instruction] = []
    private var positions: [Int?] = []
    private var references: [Reference] = []

    package init() {}

    package mutating func append(_ instruction: Instruction) { instructions.append(instruction) }

    /// For the instructions of two slots.
    package mutating func append(_ slots: [Instruction]) { instructions += slots }

    package mutating func makeLabel() -> Label {
        positions.append(nil)
        return Label(index: positions.count - 1)
    }

    /// The label names the next instruction. Placing it twice moves it.
    package mutating func place(_ label: Label) { positions[label.index] = instructions.count }

    /// A new label that names the next instruction.
    package mutating func placeLabel() -> Label {
        let label = makeLabel()
        place(label)
        return label
    }

    package func isPlaced(_ label: Label) -> Bool { positions[label.index] != nil }

    /// `goto`, or `gotol` where the distance asks for it.
    package mutating func jump(to label: Label) { refer(.jump(0), label) }

    /// `gotol`
    package mutating func jumpLong(to label: Label) { refer(.jumpLong(0), label) }

    package mutating func branch(
        _ condition: Condition, _ width: Width, _ left: Register, _ right: Operand, to label: Label
    ) {
        refer(.branch(condition, width, left, right, 0), label)
    }

    package mutating func branch(_ condition: Condition, _ left: Register, _ right: Register, to label: Label) {
        branch(condition, .bits64, left, .register(right), to: label)
    }

    package mutating func branch(_ condition: Condition, _ left: Register, _ right: Int32, to label: Label) {
        branch(condition, .bits64, left, .immediate(right), to: label)
    }

    /// Calls the subprogram at `label`.
    package mutating func call(_ label: Label) { refer(.call(.subprogram(0)), label) }

    /// Loads the address of the subprogram at `label`, for a helper to call back.
    package mutating func loadFunction(_ destination: Register, _ label: Label) {
        let slots = Instruction.loadImmediate(.function, destination, first: 0)
        refer(slots[0], label)
        append(slots[1])
    }

    /// `may_goto`
    package mutating func mayGoto(to label: Label) { refer(.mayGoto(0), label) }

    private mutating func refer(_ instruction: Instruction, _ label: Label) {
        references.append(Reference(slot: instructions.count, label: label))
        instructions.append(instruction)
    }

    package enum BuildError: Error, Hashable, Sendable, CustomStringConvertible {
        case labelNotPlaced(slot: Int)
        case tooFar(slot: Int, distance: Int)

        package var description: String {
            switch self {
            case .labelNotPlaced(let slot): "instruction \(slot): its label names no instruction"
            case .tooFar(let slot, let distance):
                "instruction \(slot): \(distance) instructions are too far for its jump"
            }
        }
    }

    package func finish() throws(BuildError) -> [Instruction] {
        var result = instructions
        for reference in references {
            guard let position = positions[reference.label.index] else { throw .labelNotPlaced(slot: reference.slot) }
            let distance = position - reference.slot - 1
            guard result[reference.slot].setDistance(distance) else {
                throw .tooFar(slot: reference.slot, distance: distance)
            }
        }
        return result
    }
}

extension Instruction {
    /// In slots from the next one: where a jump, pseudo call or function reference points. `nil` for all others.
    package var distance: Int? {
        switch opcode {
        case .jumpLong: Int(immediate)
        case .call: source == .r1 ? Int(immediate) : nil
        case .wideLoad: source.rawValue == WideImmediate.function.rawValue ? Int(immediate) : nil
        case .exit: nil
        default:
            switch opcode.instructionClass {
            case .jump, .jump32: opcode == .jump || opcode == .mayGoto || Condition(rawValue: opcode.operation) != nil ? Int(offset) : nil
            default: nil
            }
        }
    }

    /// Sets ``distance``; a `goto` that cannot reach becomes a `gotol`. False where the distance does not fit or
    /// the instruction has none.
    package mutating func setDistance(_ distance: Int) -> Bool {
        guard self.distance != nil else { return false }
        switch opcode {
        case .jumpLong, .call, .wideLoad:
            guard let distance = Int32(exactly: distance) else { return false }
            immediate = distance
        case .jump where Int16(exactly: distance) == nil:
            guard let distance = Int32(exactly: distance) else { return false }
            self = .jumpLong(distance)
        default:
            guard let distance = Int16(exactly: distance) else { return false }
            offset = distance
        }
        return true
    }
}
