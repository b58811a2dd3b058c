import CCapstone
import MachineCode

extension ARM64: CodeText {
    static let capstoneArchitecture = CS_ARCH_ARM64
    static let capstoneMode = CS_MODE_LITTLE_ENDIAN

    static func isBranch(_ instruction: MachineCodeText.Instruction) -> Bool {
        ["b", "bl"].contains(instruction.name) || instruction.name.hasPrefix("b.")
    }

    static func farTarget(of call: MachineCodeText.Instruction, behind load: MachineCodeText.Instruction) -> UInt64? { nil }

    static func isPadding(_ instruction: MachineCodeText.Instruction) -> Bool { instruction.name == "brk" }
}
