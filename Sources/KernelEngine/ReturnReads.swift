import BPF

/// Finds the loads through which a program reads the return value of the traced function: those from `ctx`, wherever
/// it was copied to, at the word behind the arguments.
struct ReturnReads {
    private enum Value: Hashable {
        case other
        /// `ctx` and so many bytes.
        case context(Int)
    }

    private struct State: Hashable {
        var registers = Array(repeating: Value.other, count: 11)
        /// The eight-byte slots of the frame that hold something known.
        var stack: [Int16: Value] = [:]

        subscript(register: Register) -> Value {
            get { registers.indices.contains(Int(register.rawValue)) ? registers[Int(register.rawValue)] : .other }
            set { if registers.indices.contains(Int(register.rawValue)) { registers[Int(register.rawValue)] = newValue } }
        }

        /// What holds on both ways.
        func joined(_ other: State) -> State {
            var result = self
            for index in registers.indices where registers[index] != other.registers[index] {
                result.registers[index] = .other
            }
            result.stack = stack.filter { other.stack[$0.key] == $0.value }
            return result
        }
    }

    private let instructions: [Instruction]
    private let offset: Int
    private var states: [State?]
    private var work: [Int] = [0]

    static func slots(in program: ObjectProgram, arguments: Int) -> [Int] {
        var analysis = ReturnReads(program.instructions, arguments)
        analysis.run()
        return analysis.reads()
    }

    private init(_ instructions: [Instruction], _ arguments: Int) {
        self.instructions = instructions
        offset = arguments * 8
        states = Array(repeating: nil, count: instructions.count)
        guard !instructions.isEmpty else {
            work = []
            return
        }
        var state = State()
        state[.r1] = .context(0)
        states[0] = state
    }

    private mutating func run() {
        while let slot = work.popLast() {
            guard let state = states[slot] else { continue }
            step(slot, state)
        }
    }

    private func reads() -> [Int] {
        instructions.indices.filter { slot in
            let instruction = instructions[slot]
            guard let state = states[slot], isLoad(instruction), case .context(let start) = state[instruction.source] else {
                return false
            }
            let place = start + Int(instruction.offset)
            return place >= offset && place < offset + 8
        }
    }

    private func isLoad(_ instruction: Instruction) -> Bool {
        instruction.opcode.rawValue & 7 == 1 && [0x60, 0x80].contains(instruction.opcode.rawValue & 0xe0)
    }

    private mutating func flow(_ state: State, to slot: Int) {
        guard states.indices.contains(slot) else { return }
        let joined = states[slot].map { $0.joined(state) } ?? state
        guard joined != states[slot] else { return }
        states[slot] = joined
        work.append(slot)
    }

    private mutating func step(_ slot: Int, _ before: State) {
        let instruction = instructions[slot]
        var state = before
        let code = instruction.opcode.rawValue
        switch code & 7 {
        case 4, 7: arithmetic(instruction, &state)
        case 1:
            // Only a whole word of the stack can hold the context.
            let isWord = code == 0x79 && instruction.source == .r10
            state[instruction.destination] = isWord ? state.stack[instruction.offset] ?? .other : .other
        case 2, 3: store(instruction, &state)
        case 0 where instruction.opcode == .wideLoad:
            state[instruction.destination] = .other
            flow(state, to: slot + 2)
            return
        default:
            jump(slot, instruction, &state)
            return
        }
        flow(state, to: slot + 1)
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

    private mutating func jump(_ slot: Int, _ instruction: Instruction, _ state: inout State) {
        if instruction.opcode == .exit { return }
        if instruction.opcode == .call {
            if instruction.source == .r1, let distance = instruction.distance {
                var callee = State()
                for register in [Register.r1, .r2, .r3, .r4, .r5] { callee[register] = state[register] }
                flow(callee, to: slot + 1 + distance)
            }
            for register in [Register.r0, .r1, .r2, .r3, .r4, .r5] { state[register] = .other }
            flow(state, to: slot + 1)
            return
        }
        if let distance = instruction.distance { flow(state, to: slot + 1 + distance) }
        if instruction.opcode != .jump, instruction.opcode != .jumpLong { flow(state, to: slot + 1) }
    }
}
