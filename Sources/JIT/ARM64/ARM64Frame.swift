import BPF
import MachineCode

/// The frame of a subprogram: see ``ARM64Compiler`` for its picture.
struct ARM64Frame {
    /// From sp up to r10: a multiple of 16.
    private(set) var size = 0
    /// Whether there is a frame record, because something is called. r6…r9 are in registers that calls keep then.
    private(set) var hasRecord = false
    /// Those of r6…r9 that are written, where they are.
    private(set) var keptRegisters: [ARM64Register] = []
    /// Where the rounds are counted that `may_goto` still passes: from sp. nil: there is none.
    private(set) var mayGotoCounter: Int?

    init() {}

    init(of subprogram: ProgramStructure.Subprogram, in structure: ProgramStructure, inlines: (UInt32) -> Bool) {
        var isWritten = [Bool](repeating: false, count: 11)
        var counts = false
        for slot in subprogram.slots {
            guard let operation = structure.operations[slot] else { continue }
            if let register = operation.writtenRegister { isWritten[Int(register.rawValue)] = true }
            switch operation {
            case .call(.helper(Helper.tailCall.rawValue)): break
            case .call(.helper(let id)) where inlines(id): break
            case .call: hasRecord = true
            case .mayGoto: counts = true
            default: break
            }
        }
        for register in [Register.r6, .r7, .r8, .r9] where isWritten[Int(register.rawValue)] {
            keptRegisters.append(machine(register))
        }
        size = subprogram.stackDepth + (counts ? 8 : 0) + (hasRecord ? 16 + 8 * keptRegisters.count : 0)
        size = (size + 15) / 16 * 16
        if counts { mayGotoCounter = size - subprogram.stackDepth - 8 }
    }

    /// The machine register that holds one of the program's. Structural validation leaves r0…r10 only; r10 has none.
    func machine(_ register: Register) -> ARM64Register {
        switch register.rawValue {
        case 0: .x7
        case 1: .x0
        case 2: .x1
        case 3: .x2
        case 4: .x3
        case 5: .x4
        case 6: hasRecord ? .x19 : .x12
        case 7: hasRecord ? .x20 : .x13
        case 8: hasRecord ? .x21 : .x14
        case 9: hasRecord ? .x22 : .x15
        default: preconditionFailure("r10 is reckoned from the stack pointer")
        }
    }

    func emitPrologue(to assembler: inout ARM64Assembler) {
        if hasRecord {
            if size <= 512 {
                assembler.stp(.x29, .x30, .before(.sp, -size))
            } else {
                assembler.sub(.sp, .sp, immediate: UInt32(size))
                assembler.stp(.x29, .x30, .at(.sp))
            }
            assembler.mov(.x29, .sp)
            forKeptPairs { offset, first, second in
                if let second {
                    assembler.stp(first, second, .at(.sp, offset))
                } else {
                    assembler.str(first, .at(.sp, offset))
                }
            }
        } else if size > 0 {
            assembler.sub(.sp, .sp, immediate: UInt32(size))
        }
        if let mayGotoCounter {
            assembler.mov(.x9, immediate: UInt64(ProgramStructure.mayGotoLimit))
            assembler.str(.x9, .at(.sp, mayGotoCounter), .word)
        }
    }

    /// All but the `ret`, which a tail call replaces by a branch.
    func emitEpilogue(to assembler: inout ARM64Assembler) {
        guard hasRecord else {
            if size > 0 { assembler.add(.sp, .sp, immediate: UInt32(size)) }
            return
        }
        forKeptPairs { offset, first, second in
            if let second {
                assembler.ldp(first, second, .at(.sp, offset))
            } else {
                assembler.ldr(first, .at(.sp, offset))
            }
        }
        if size <= 504 {
            assembler.ldp(.x29, .x30, .after(.sp, size))
        } else {
            assembler.ldp(.x29, .x30, .at(.sp))
            assembler.add(.sp, .sp, immediate: UInt32(size))
        }
    }

    private func forKeptPairs(_ body: (_ offset: Int, ARM64Register, ARM64Register?) -> Void) {
        for index in stride(from: 0, to: keptRegisters.count, by: 2) {
            body(16 + 8 * index, keptRegisters[index], index + 1 < keptRegisters.count ? keptRegisters[index + 1] : nil)
        }
    }
}
