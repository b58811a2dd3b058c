import BPF
import TestSupport

extension FuzzProgram {
    /// The same program with something changed.
    static func mutate(_ program: [Instruction], _ generator: inout SeededGenerator) -> [Instruction] {
        var program = program
        for _ in 0..<1 + generator.below(2) {
            let slot = generator.below(program.count)
            switch generator.below(7) {
            case 0: program[slot].immediate = generator.immediate()
            case 1: program[slot].immediate &+= Int32(generator.below(3)) - 1
            case 2: program[slot].offset = program[slot].offset &+ Int16(generator.below(17)) - 8
            case 3: program[slot].destination = Register(rawValue: UInt8(generator.below(11)))
            case 4: program[slot].source = Register(rawValue: UInt8(generator.below(11)))
            case 5:
                program[slot].opcode.rawValue ^= generator.pick([0x08, 0x10, 0x20, 0x40, 0x80, 0x03, 0x01])
            default: program.swapAt(slot, generator.below(program.count))
            }
        }
        return program
    }
}
