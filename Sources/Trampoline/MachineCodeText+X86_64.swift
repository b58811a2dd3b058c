import CCapstone
import MachineCode

extension X86_64: CodeText {
    static let capstoneArchitecture = CS_ARCH_X86
    static let capstoneMode = CS_MODE_64

    static func isBranch(_ instruction: MachineCodeText.Instruction) -> Bool {
        (instruction.name == "call" || instruction.name.hasPrefix("j")) && instruction.operands.hasPrefix("0x")
    }

    /// `movabs rax, ADDRESS`, `call rax`
    static func farTarget(of call: MachineCodeText.Instruction, behind load: MachineCodeText.Instruction) -> UInt64? {
        guard call.name == "call", call.operands == "rax", load.name == "movabs", load.operands.hasPrefix("rax,") else { return nil }
        return load.address
    }

    static func isPadding(_ instruction: MachineCodeText.Instruction) -> Bool { instruction.name == "int3" }
}
