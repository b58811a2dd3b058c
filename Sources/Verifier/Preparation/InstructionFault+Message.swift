import BPF

extension PreparedProgram {
    /// A fault of an instruction in the kernel's words.
    static func failure(_ fault: InstructionFault, _ instruction: Instruction, _ slot: Int) -> VerifierFailure {
        let opcode = String(instruction.opcode.rawValue, radix: 16)
        let padded = opcode.count < 2 ? "0" + opcode : opcode
        let message: String =
            switch fault {
            case .unknownOpcode where instruction.opcode.instructionClass == .store && instruction.opcode.mode == .atomic:
                "invalid atomic operand size"
            case .unknownOpcode: "unknown opcode \(padded)"
            case .unknownAtomic(let operation):
                "BPF_ATOMIC uses invalid atomic opcode \(String(UInt32(bitPattern: operation), radix: 16))"
            case .unknownPseudoSource where instruction.opcode == .wideLoad: "unrecognized bpf_ld_imm64 insn"
            case .unknownPseudoSource: "unrecognized or reserved source register in insn \(slot): \(fault)"
            case .packetAccess: "BPF_LD_[ABS|IND] instructions not allowed for this program type"
            case .noSuchRegister(let register): "R\(register.rawValue) is invalid"
            case .writesFramePointer: "frame pointer is read only"
            case .reservedField: "\(name(of: instruction)) uses reserved fields"
            case .incompleteWideLoad: "invalid bpf_ld_imm64 insn"
            case .badConstant(let what): what
            }
        let hint: String? =
            switch fault {
            case .unknownOpcode: "compile for BPF of version 4 or older"
            case .packetAccess: "tracing programs have no packets"
            default: nil
            }
        return VerifierFailure(slot: slot, message: message, hint: hint)
    }

    private static func name(of instruction: Instruction) -> String {
        switch instruction.opcode.instructionClass {
        case .loadImmediate: "BPF_LD_IMM64"
        case .load: "BPF_LDX"
        case .storeImmediate: "BPF_ST"
        case .store: "BPF_STX"
        case .arithmetic32, .arithmetic64:
            switch instruction.opcode.operation {
            case 0x80: "BPF_NEG"
            case 0xb0: "BPF_MOV"
            case 0xd0: "BPF_END"
            default: "BPF_ALU"
            }
        case .jump, .jump32:
            switch instruction.opcode {
            case .jump, .jumpLong: "BPF_JA"
            case .mayGoto: "may_goto"
            case .call: "BPF_CALL"
            case .exit: "BPF_EXIT"
            default: "BPF_JMP/JMP32"
            }
        }
    }
}
