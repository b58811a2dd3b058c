import BPF

/// Finds registers that hold nothing at an instruction, on whatever way it is reached: nobody may read them there.
package struct UnsetRegisters {
    private let instructions: [Instruction]
    /// Before each instruction that is reached: a bit for each register that holds something on some way.
    private var states: [UInt16?]
    private var work: [Int] = []
    /// How many arguments the functions take that are passed on as callbacks, by their first slots.
    private let parameters: [Int: Int]

    package init(_ instructions: [Instruction], parameters: [Int: Int] = [:]) {
        self.instructions = instructions
        self.parameters = parameters
        states = Array(repeating: nil, count: instructions.count)
        flow(Self.bit(.r1), to: 0)
        while let slot = work.popLast() {
            if let state = states[slot] { step(slot, state) }
        }
    }

    /// Those of `registers` that hold nothing before the instruction at `slot`; none where nothing gets there.
    package func among(_ registers: [Register], at slot: Int) -> [Register] {
        guard states.indices.contains(slot), let state = states[slot] else { return [] }
        return registers.filter { state & Self.bit($0) == 0 }
    }

    private static func bit(_ register: Register) -> UInt16 { 1 << UInt16(register.rawValue) }
    /// r1 to r5, which a call leaves empty.
    private static let arguments: UInt16 = 0b11_1110

    private mutating func flow(_ state: UInt16, to slot: Int) {
        guard states.indices.contains(slot) else { return }
        let joined = (states[slot] ?? 0) | state
        guard joined != states[slot] else { return }
        states[slot] = joined
        work.append(slot)
    }

    private mutating func step(_ slot: Int, _ before: UInt16) {
        let instruction = instructions[slot]
        var state = before
        switch instruction.opcode.instructionClass {
        case .loadImmediate, .load, .arithmetic32, .arithmetic64: state |= Self.bit(instruction.destination)
        // What an atomic operation gives comes into a register that held something before.
        case .storeImmediate, .store: break
        case .jump, .jump32:
            if instruction.opcode == .exit { return }
            if instruction.opcode == .call {
                if let distance = instruction.distance { flow(state & Self.arguments, to: slot + 1 + distance) }
                flow(state & ~Self.arguments | Self.bit(.r0), to: slot + 1)
                return
            }
            if let distance = instruction.distance { flow(state, to: slot + 1 + distance) }
            if instruction.opcode != .jump, instruction.opcode != .jumpLong { flow(state, to: slot + 1) }
            return
        }
        let isWide = instruction.opcode == .wideLoad
        // The address of a function, which somebody else calls.
        if isWide, let distance = instruction.distance {
            let count = min(max(parameters[slot + 1 + distance] ?? 5, 0), 5)
            flow(Self.arguments & (1 << UInt16(count + 1) - 1), to: slot + 1 + distance)
        }
        flow(state, to: slot + (isWide ? 2 : 1))
    }
}
