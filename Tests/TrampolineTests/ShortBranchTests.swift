import MachineCode
import Testing
import Trampoline

#if arch(x86_64)
@Suite struct ShortBranchTests {
    /// As glibc's mempcpy enters memcpy behind its first instruction:
    ///
    ///     0: mov rax, rdi   3: add rax, rdx   6: jmp 0x13   8: nop…
    ///     10: mov rax, rdi  13: mov rcx, rdx
    static let code: [UInt8] = [
        0x48, 0x89, 0xf8, 0x48, 0x01, 0xd0, 0xeb, 0x0b, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x48, 0x89, 0xf8, 0x48, 0x89, 0xd1, 0xf3, 0xa4, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    ]

    @Test("A short branch into another function's first bytes is found without symbols")
    func found() {
        let hits = Self.code.withUnsafeBytes {
            X86_64.shortBranches(in: $0, base: 0x1000, into: 0x1011..<0x1015, except: [])
        }
        #expect(hits == [CodeBranch(address: 0x1006, target: 0x1013, isCall: false)])
    }

    @Test("Ranges that are decoded from their starts are left out")
    func known() {
        let hits = Self.code.withUnsafeBytes {
            X86_64.shortBranches(in: $0, base: 0x1000, into: 0x1011..<0x1015, except: [0x1000..<0x1008])
        }
        #expect(hits.isEmpty)
    }
}
#endif
