/// The opcode byte of an instruction, with its fields by the names of RFC 9669.
package struct Opcode: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The lowest three bits: `BPF_CLASS`.
    package enum Class: UInt8, Sendable {
        /// `BPF_LD`: 64-bit immediates.
        case loadImmediate = 0
        /// `BPF_LDX`: memory to register.
        case load = 1
        /// `BPF_ST`: immediate to memory.
        case storeImmediate = 2
        /// `BPF_STX`: register to memory, and the atomics.
        case store = 3
        /// `BPF_ALU`: arithmetic on the low 32 bits; the high 32 become zero.
        case arithmetic32 = 4
        /// `BPF_JMP`: jumps that compare 64 bits, call, exit.
        case jump = 5
        /// `BPF_JMP32`: jumps that compare 32 bits, and the long jump.
        case jump32 = 6
        /// `BPF_ALU64`.
        case arithmetic64 = 7
    }

    /// Bits 3–4 of a load or store: `BPF_SIZE`.
    package enum Size: UInt8, Sendable {
        /// `BPF_W`, 4 bytes.
        case word = 0x00
        /// `BPF_H`, 2 bytes.
        case half = 0x08
        /// `BPF_B`, 1 byte.
        case byte = 0x10
        /// `BPF_DW`, 8 bytes.
        case double = 0x18
    }

    /// Bits 5–7 of a load or store: `BPF_MODE`.
    package enum Mode: UInt8, Sendable {
        /// `BPF_IMM`: the two-slot 64-bit immediate.
        case immediate = 0x00
        /// `BPF_ABS`: legacy packet access, which tracing programs do not have.
        case absolute = 0x20
        /// `BPF_IND`: legacy packet access, which tracing programs do not have.
        case indirect = 0x40
        /// `BPF_MEM`.
        case memory = 0x60
        /// `BPF_MEMSX`: load with sign extension.
        case memorySigned = 0x80
        /// `BPF_ATOMIC`.
        case atomic = 0xc0
    }

    package var instructionClass: Class {
        switch rawValue & 7 {
        case 0: .loadImmediate
        case 1: .load
        case 2: .storeImmediate
        case 3: .store
        case 4: .arithmetic32
        case 5: .jump
        case 6: .jump32
        default: .arithmetic64
        }
    }

    package var size: Size {
        switch rawValue & 0x18 {
        case 0x00: .word
        case 0x08: .half
        case 0x10: .byte
        default: .double
        }
    }

    /// `nil` for the values that no instruction uses.
    package var mode: Mode? { Mode(rawValue: rawValue & 0xe0) }

    /// Bits 4–7 of an arithmetic or jump instruction: `BPF_OP`.
    package var operation: UInt8 { rawValue & 0xf0 }

    /// Bit 3 of an arithmetic or jump instruction: `BPF_X`, the second operand is a register.
    package var usesSourceRegister: Bool { rawValue & 0x08 != 0 }

    /// `BPF_LD | BPF_IMM | BPF_DW`: the first slot of the instruction that takes two.
    package static let wideLoad = Opcode(rawValue: 0x18)
    /// `BPF_JMP | BPF_CALL`.
    package static let call = Opcode(rawValue: 0x85)
    /// `BPF_JMP | BPF_EXIT`.
    package static let exit = Opcode(rawValue: 0x95)
    /// `BPF_JMP | BPF_JCOND`: `may_goto`, the only one of its kind.
    package static let mayGoto = Opcode(rawValue: 0xe5)
    /// `BPF_JMP | BPF_JA`: 16-bit distance in the offset.
    package static let jump = Opcode(rawValue: 0x05)
    /// `BPF_JMP32 | BPF_JA`: 32-bit distance in the immediate (`gotol`).
    package static let jumpLong = Opcode(rawValue: 0x06)
}
