import MachineCode

extension ARM64 {
    package typealias Registers = RegistersARM64
}

/// struct user_pt_regs of arm64: x0…x30, sp, pc, pstate.
package struct RegistersARM64: ThreadRegisters {
    package var words: [UInt64]
    package static let wordCount = 34

    package init(words: [UInt64]) {
        self.words = Array((words + Array(repeating: 0, count: Self.wordCount)).prefix(Self.wordCount))
    }

    /// x0 … x30.
    package subscript(_ index: Int) -> UInt64 {
        get { index >= 0 && index < 31 ? words[index] : 0 }
        set { if index >= 0 && index < 31 { words[index] = newValue } }
    }

    package var stackPointer: UInt64 {
        get { words[31] }
        set { words[31] = newValue }
    }
    package var instructionPointer: UInt64 {
        get { words[32] }
        set { words[32] = newValue }
    }
    package var pstate: UInt64 {
        get { words[33] }
        set { words[33] = newValue }
    }
    /// PSTATE.nRW is set for AArch32.
    package var is64Bit: Bool { pstate & 0x10 == 0 }
    /// The link register.
    package var returnAddresses: [UInt64] { [self[30]] }
    /// Pointer authentication has the bits that addresses of 48 bits leave free.
    @inlinable package static func returnAddress(_ word: UInt64) -> UInt64 { word & 0xffff_ffff_ffff }
    // TPIDR_EL0 is in a set of registers of its own (NT_ARM_TLS).
    package var threadBlock: UInt64? { nil }
    package static let threadBlockNamesItself = false
    package var systemCallResult: Int64 {
        get { Int64(bitPattern: words[0]) }
        set { words[0] = UInt64(bitPattern: newValue) }
    }
    // The first argument is gone by then.
    package var failedWhenStopped: Bool { false }
    /// arm64 sets the registers back for the restart before a tracer sees them, so there is nothing to tell.
    package var isInterruptedSystemCall: Bool { false }

    package func calling(number: Int, arguments: [UInt64], at address: UInt64) -> RegistersARM64 {
        var changed = self
        changed.instructionPointer = address
        changed[8] = UInt64(bitPattern: Int64(number))
        for index in 0..<6 { changed[index] = index < arguments.count ? arguments[index] : 0 }
        return changed
    }

    /// svc #0
    package static let systemCallInstruction: [UInt8] = [0x01, 0x00, 0x00, 0xd4]
    /// brk #0
    package static let breakpointInstruction: [UInt8] = [0x00, 0x00, 0x20, 0xd4]
    package static let breakpointAdvance: UInt64 = 0
    package static let machine: UInt16 = 183

    // No way back without us is known here.
    static let returnPatterns: (callAndReturn: [UInt8], restorer: [UInt8])? = nil
    func returnFrame(at address: UInt64, restorer: UInt64, signalMask: UInt64, vectors: [UInt8]) -> [UInt8] { [] }
}
