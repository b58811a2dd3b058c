/// A register number as an instruction carries it: four bits, so 11…15 occur in hostile input.
package struct Register: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue & 0xf }

    /// The result of a call and of the program.
    package static let r0 = Register(rawValue: 0)
    /// First argument of a call; the context when the program starts.
    package static let r1 = Register(rawValue: 1)
    package static let r2 = Register(rawValue: 2)
    package static let r3 = Register(rawValue: 3)
    package static let r4 = Register(rawValue: 4)
    /// Last argument of a call.
    package static let r5 = Register(rawValue: 5)
    /// First register that a call preserves.
    package static let r6 = Register(rawValue: 6)
    package static let r7 = Register(rawValue: 7)
    package static let r8 = Register(rawValue: 8)
    package static let r9 = Register(rawValue: 9)
    /// The frame pointer, read only: the end of the 512-byte stack of a subprogram (`BPF_REG_FP`).
    package static let r10 = Register(rawValue: 10)

    /// r0…r10, the registers that exist (`MAX_BPF_REG`).
    package var isValid: Bool { rawValue <= 10 }
    /// r0…r9.
    package var isWritable: Bool { rawValue < 10 }
}

extension Register: CustomStringConvertible {
    package var description: String { "r\(rawValue)" }
}
