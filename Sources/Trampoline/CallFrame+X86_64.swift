import MachineCode

extension DwarfRegister {
    static let rbx = DwarfRegister(number: 3)
    static let rbp = DwarfRegister(number: 6)
    static let rsp = DwarfRegister(number: 7)
    static let r12 = DwarfRegister(number: 12)
    static let r13 = DwarfRegister(number: 13)
    static let r14 = DwarfRegister(number: 14)
    static let r15 = DwarfRegister(number: 15)
}

extension X86_64 {
    /// Return address column 16; CFA = rsp + 8, return address at CFA - 8.
    static let callFrameAtEntry: [UInt8] = [16, 0x0C, 7, 8, 0x90, 1]
}
