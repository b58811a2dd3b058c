import BPF

/// Finds registers that hold nothing at an instruction, on whatever way it is reached: nobody may read them there.
package struct UnsetRegisters {
    private let flow: Dataflow<Rules>

    /// - Parameter parameters: how many arguments the functions take that are passed on as callbacks, by their first slots.
    package init(_ instructions: [Instruction], parameters: [Int: Int] = [:]) {
        flow = Dataflow(instructions, Rules(parameters: parameters), start: Rules.bit(.r1))
    }

    /// Those of `registers` that hold nothing before the instruction at `slot`; none where nothing gets there.
    package func among(_ registers: [Register], at slot: Int) -> [Register] {
        guard flow.states.indices.contains(slot), let state = flow.states[slot] else { return [] }
        return registers.filter { state & Rules.bit($0) == 0 }
    }

    /// A bit for each register that holds something on some way.
    private struct Rules: FlowRules {
        let parameters: [Int: Int]

        static func bit(_ register: Register) -> UInt16 { 1 << UInt16(register.rawValue) }
        /// r1 to r5, which a call leaves empty.
        private static let arguments: UInt16 = 0b11_1110

        func joined(_ one: UInt16, _ other: UInt16) -> UInt16 { one | other }

        func after(_ instruction: Instruction, _ before: UInt16) -> UInt16 {
            switch instruction.opcode.instructionClass {
            case .loadImmediate, .load, .arithmetic32, .arithmetic64: before | Self.bit(instruction.destination)
            case .jump where instruction.opcode == .call: before & ~Self.arguments | Self.bit(.r0)
            // What an atomic operation gives comes into a register that held something before.
            case .storeImmediate, .store, .jump, .jump32: before
            }
        }

        func entering(_ before: UInt16) -> UInt16 { before & Self.arguments }

        func callback(at slot: Int) -> UInt16? {
            Self.arguments & (1 << UInt16(min(max(parameters[slot] ?? 5, 0), 5) + 1) - 1)
        }
    }
}
