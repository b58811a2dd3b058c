import MachineCode

extension ARM64 {
    /// CFA = sp; the return address is in x30.
    static let callFrameAtEntry: [UInt8] = [30, 0x0C, 31, 0]
}

extension CallFrameBuilder {
    /// `DW_CFA_AARCH64_negate_ra_state`: from here on the return address is signed, or no longer.
    mutating func negateReturnAddressState() { add(0x2D) }
}

extension DwarfRegister {
    static let x29 = DwarfRegister(number: 29)
    static let x30 = DwarfRegister(number: 30)
}
