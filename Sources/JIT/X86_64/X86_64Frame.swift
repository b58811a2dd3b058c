import BPF
import MachineCode

/// The frame of a subprogram: see ``X86_64Compiler`` for its picture. A word that goes through memory and back
/// costs more than most programs, so there is none where nobody needs it.
struct X86_64Frame {
    /// Bytes between rbp and the saved registers.
    private(set) var stackSize = 0
    /// The registers to save, in the order of their pushes.
    private(set) var savedRegisters: [X86_64Register] = []
    /// Nothing is called and r10 is not used: rbp stays the caller's.
    private(set) var isOmitted = false

    /// Where the rounds are counted that `may_goto` still passes, below the BPF stack: from rbp. nil: there is none.
    private(set) var mayGotoCounter: Int32?

    /// Bytes below rsp that signal handlers leave alone in the System V convention.
    private static let redZone = 128

    init() {}

    init(
        of subprogram: ProgramStructure.Subprogram, in structure: ProgramStructure, inlines: (UInt32) -> Bool
    ) {
        var isWritten = [Bool](repeating: false, count: 11)
        var callsOut = false
        var usesFrame = false
        // What is inlined may push, so the BPF stack cannot lie in the red zone.
        var usesStackBelow = false
        for slot in subprogram.slots {
            guard let operation = structure.operations[slot] else { continue }
            if let register = operation.writtenRegister { isWritten[Int(register.rawValue)] = true }
            switch operation {
            case .call(.helper(Helper.tailCall.rawValue)): usesFrame = true
            case .call(.helper(let id)) where inlines(id): usesStackBelow = true
            case .call: callsOut = true
            case .mayGoto:
                usesFrame = true
                mayGotoCounter = Int32(-subprogram.stackDepth - 8)
            default: usesFrame = usesFrame || operation.readsFramePointer
            }
        }
        for register in [Register.r6, .r7, .r8, .r9] where isWritten[Int(register.rawValue)] {
            savedRegisters.append(register.machine)
        }
        isOmitted = !callsOut && !usesFrame
        if isOmitted { return }
        stackSize = subprogram.stackDepth + (mayGotoCounter == nil ? 0 : 8)
        if callsOut {
            // rsp is a multiple of 16 after the push of rbp and must be one at calls.
            if (stackSize + 8 * savedRegisters.count) % 16 != 0 { stackSize += 8 }
        } else if savedRegisters.isEmpty && stackSize <= Self.redZone && !usesStackBelow {
            stackSize = 0
        }
    }

    func emitPrologue(to assembler: inout X86_64Assembler) {
        if !isOmitted {
            assembler.push(.rbp)
            assembler.mov(.rbp, .rsp)
        }
        switch stackSize {
        case 0: break
        case 8: assembler.push(.rax)  // shorter than a subtraction; the value does not matter
        case 128: assembler.alu(.add, .rsp, immediate: -128)
        default: assembler.alu(.sub, .rsp, immediate: Int32(stackSize))
        }
        for register in savedRegisters { assembler.push(register) }
        if let mayGotoCounter {
            assembler.mov(.at(.rbp, mayGotoCounter), immediate: Int32(ProgramStructure.mayGotoLimit), .dword)
        }
    }

    /// All but the `ret`, which a tail call replaces by a jump.
    func emitEpilogue(to assembler: inout X86_64Assembler) {
        for register in savedRegisters.reversed() { assembler.pop(register) }
        if isOmitted { return }
        if stackSize > 0 { assembler.leave() } else { assembler.pop(.rbp) }
    }
}
