import LinuxProcess
import Testing

/// Where a stopped thread may go on: what patching must know of it, on every architecture.
@Suite("Where a stopped thread returns to")
struct RegisterTests {
    @Test("on arm64 it may be in the link register, and what signs it is no part of it")
    func arm64() {
        var registers = RegistersARM64(words: [])
        registers[30] = 0x003f_aaaa_bbbb_cccc
        #expect(registers.returnAddresses.map(RegistersARM64.returnAddress) == [0xaaaa_bbbb_cccc])
    }

    #if arch(x86_64)
    @Test("on x86-64 it is on the stack, as it is")
    func x86() {
        let registers = Registers(words: Array(repeating: 0x7fff_0000, count: Registers.wordCount))
        #expect(registers.returnAddresses.isEmpty && Registers.returnAddress(.max) == .max)
    }
    #endif
}
