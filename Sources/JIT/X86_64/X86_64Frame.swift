import BPF
import MachineCode

/// The frame of a subprogram: see ``X86_64Compiler`` for its picture.
struct X86_64Frame {
    /// Bytes between rbp and the saved registers.
    private(set) var stackSize = 0
    /// The registers to save, in the order of their pushes.
    private(set) var savedRegisters: [X86_64Register] = []

    /// Bytes below rsp that signal handlers leave alone in the System V convention.
    private static let redZone = 128

    init() {}

    init(of subprogram: ProgramStructure.Subprogram, in structure: ProgramStructure) {
        var isWritten = [Bool](repeating: false, count: 11)
        var callsOut = false
        for slot in subprogram.slots {
            guard let operation = structure.operations[slot] else { continue }
            if let register = operation.writtenRegister { isWritten[Int(register.rawValue)] = true }
            switch operation {
            case .call(.helper(Helper.tailCall.rawValue)): break
            case .call: callsOut = true
            default: break
            }
        }
        for register in [Register.r6, .r7, .r8, .r9] where isWritten[Int(register.rawValue)] {
            savedRegisters.append(register.machine)
        }
        stackSize = subprogram.stackDepth
        if callsOut {
            // rsp is a multiple of 16 after the push of rbp and must be one at calls.
            if (stackSize + 8 * savedRegisters.count) % 16 != 0 { stackSize += 8 }
        } else if savedRegisters.isEmpty && stackSize <= Self.redZone {
            stackSize = 0
        }
    }

    func emitPrologue(to assembler: inout X86_64Assembler) {
        assembler.push(.rbp)
        assembler.mov(.rbp, .rsp)
        switch stackSize {
        case 0: break
        case 8: assembler.push(.rax)  // shorter than a subtraction; the value does not matter
        case 128: assembler.alu(.add, .rsp, immediate: -128)
        default: assembler.alu(.sub, .rsp, immediate: Int32(stackSize))
        }
        for register in savedRegisters { assembler.push(register) }
    }

    /// All but the `ret`, which a tail call replaces by a jump.
    func emitEpilogue(to assembler: inout X86_64Assembler) {
        for register in savedRegisters.reversed() { assembler.pop(register) }
        if stackSize > 0 { assembler.leave() } else { assembler.pop(.rbp) }
    }
}
