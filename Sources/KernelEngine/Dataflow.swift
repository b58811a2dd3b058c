import BPF

/// What instructions make of what is known before them.
protocol FlowRules {
    associatedtype State: Equatable

    /// What is known where two ways meet.
    func joined(_ one: State, _ other: State) -> State
    /// What is known behind an instruction; behind a call, when it has returned.
    func after(_ instruction: Instruction, _ before: State) -> State
    /// What is known where a subprogram begins, of a call of it.
    func entering(_ before: State) -> State
    /// What is known where the function at `slot` begins, whose address is taken: nil where it does not matter.
    func callback(at slot: Int) -> State?
}

/// What is known before each instruction of a program, on all ways there: followed from the start until nothing new comes of it.
struct Dataflow<Rules: FlowRules> {
    /// Nil where nothing gets.
    private(set) var states: [Rules.State?]
    private let rules: Rules
    private var work: [Int] = []

    init(_ instructions: [Instruction], _ rules: Rules, start: Rules.State) {
        states = Array(repeating: nil, count: instructions.count)
        self.rules = rules
        flow(start, to: 0)
        while let slot = work.popLast() {
            if let state = states[slot] { step(instructions[slot], slot, state) }
        }
    }

    private mutating func flow(_ state: Rules.State, to slot: Int) {
        guard states.indices.contains(slot) else { return }
        let joined = states[slot].map { rules.joined($0, state) } ?? state
        guard joined != states[slot] else { return }
        states[slot] = joined
        work.append(slot)
    }

    private mutating func step(_ instruction: Instruction, _ slot: Int, _ state: Rules.State) {
        let target = instruction.distance.map { slot + 1 + $0 }
        switch instruction.opcode {
        case .exit: return
        case .call: if let target { flow(rules.entering(state), to: target) }
        case .wideLoad: if let target, let callback = rules.callback(at: target) { flow(callback, to: target) }
        default: if let target { flow(state, to: target) }
        }
        if [.jump, .jumpLong].contains(instruction.opcode) { return }
        flow(rules.after(instruction, state), to: slot + (instruction.opcode == .wideLoad ? 2 : 1))
    }
}
