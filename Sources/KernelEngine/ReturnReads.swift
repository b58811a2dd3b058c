import BPF

/// Finds the loads through which a program reads the return value of the traced function: those from `ctx`, wherever
/// it was copied to, at the word behind the arguments.
package struct ReturnReads: FlowRules {
    enum Value: Hashable {
        case other
        /// `ctx` and so many bytes.
        case context(Int)
    }

    struct State: Hashable {
        var registers = Array(repeating: Value.other, count: 11)
        /// The eight-byte slots of the frame that hold something known.
        var stack: [Int16: Value] = [:]

        subscript(register: Register) -> Value {
            get { registers.indices.contains(Int(register.rawValue)) ? registers[Int(register.rawValue)] : .other }
            set { if registers.indices.contains(Int(register.rawValue)) { registers[Int(register.rawValue)] = newValue } }
        }
    }

    package static func slots(in program: ObjectProgram, arguments: Int) -> [Int] {
        var start = State()
        start[.r1] = .context(0)
        let flow = Dataflow(program.instructions, ReturnReads(), start: start)
        let place = arguments * 8..<arguments * 8 + 8
        return zip(program.instructions, flow.states).enumerated().compactMap { slot, pair in
            let (instruction, state) = pair
            guard isLoad(instruction), case .context(let start)? = state?[instruction.source] else { return nil }
            return place.contains(start + Int(instruction.offset)) ? slot : nil
        }
    }

    private static func isLoad(_ instruction: Instruction) -> Bool {
        instruction.opcode.rawValue & 7 == 1 && [0x60, 0x80].contains(instruction.opcode.rawValue & 0xe0)
    }

    // MARK: Rules

    /// What holds on both ways.
    func joined(_ one: State, _ other: State) -> State {
        var result = one
        for index in one.registers.indices where one.registers[index] != other.registers[index] { result.registers[index] = .other }
        result.stack = one.stack.filter { other.stack[$0.key] == $0.value }
        return result
    }

    func entering(_ before: State) -> State {
        var callee = State()
        for register in [Register.r1, .r2, .r3, .r4, .r5] { callee[register] = before[register] }
        return callee
    }

    func callback(at slot: Int) -> State? { nil }

    func after(_ instruction: Instruction, _ before: State) -> State {
        var state = before
        switch instruction.opcode.instructionClass {
        case .arithmetic32, .arithmetic64: arithmetic(instruction, &state)
        case .load:
            // Only a whole word of the stack can hold the context.
            let isWord = instruction.opcode.rawValue == 0x79 && instruction.source == .r10
            state[instruction.destination] = isWord ? state.stack[instruction.offset] ?? .other : .other
        case .storeImmediate, .store: store(instruction, &state)
        case .loadImmediate: state[instruction.destination] = .other
        case .jump where instruction.opcode == .call:
            for register in [Register.r0, .r1, .r2, .r3, .r4, .r5] { state[register] = .other }
        case .jump, .jump32: break
        }
        return state
    }

    private func arithmetic(_ instruction: Instruction, _ state: inout State) {
        switch (instruction.opcode.rawValue, state[instruction.destination]) {
        case (0xbf, _) where instruction.offset == 0: state[instruction.destination] = state[instruction.source]
        case (0x07, .context(let start)): state[instruction.destination] = .context(start &+ Int(instruction.immediate))
        case (0x17, .context(let start)): state[instruction.destination] = .context(start &- Int(instruction.immediate))
        default: state[instruction.destination] = .other
        }
    }

    private func store(_ instruction: Instruction, _ state: inout State) {
        let isAtomic = instruction.opcode.rawValue & 0xe0 == 0xc0
        if instruction.destination == .r10 {
            for other in state.stack.keys where abs(Int(other) - Int(instruction.offset)) < 8 { state.stack[other] = nil }
            if instruction.opcode.rawValue == 0x7b, state[instruction.source] != .other {
                state.stack[instruction.offset] = state[instruction.source]
            }
        }
        if isAtomic {
            state[instruction.source] = .other
            state[.r0] = .other
        }
    }
}
