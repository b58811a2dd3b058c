import MachineCode
import Testing
import Trampoline

#if arch(x86_64)
/// How long instructions are, and what functions do with their callers' stacks.
@Suite("Stack use")
struct StackUseTests {
    @Test(
        "instructions are as long as Capstone says",
        arguments: ["libc.so.6", "libcrypto.so.3", "libsqlite3.so.0", "libstdc++.so.6"])
    func lengths(name: String) throws {
        guard let library = FunctionSymbols(path: "/usr/lib/x86_64-linux-gnu/" + name), !library.functions.isEmpty
        else { return }
        guard let decoder = X86_64Decoder() else {
            Issue.record("no decoder")
            return
        }
        var wrong: [String] = []
        var seen = 0
        for function in library.functions where function.size < 4000 {
            function.bytes.withUnsafeBytes { code in
                let reader = X86_64InstructionReader(code)
                var offset = 0
                while offset < code.count {
                    guard let truth = decoder.size(function.bytes, at: offset) else { break }
                    let size = reader.size(at: offset)
                    seen += 1
                    if size != truth {
                        let bytes = function.bytes[offset..<min(offset + 15, function.bytes.count)]
                        wrong.append(
                            "\(function.name)+\(offset): \(truth), not \(size ?? 0): " + bytes.map { String($0, radix: 16) }.joined(separator: " "))
                    }
                    offset += truth
                }
            }
        }
        #expect(seen > 10_000)
        #expect(wrong.isEmpty, "\(wrong.count) of \(seen): \(wrong.prefix(8).joined(separator: "\n"))")
    }

    @Test("words that code reads by a frame pointer count where only a branch back leads to that code")
    func branchBack() {
        let code: [UInt8] = [
            0x55,  //                       push rbp
            0x48, 0x89, 0xe5,  //           mov rbp, rsp
            0x85, 0xff,  //                 test edi, edi
            0x75, 0x0a,  //                 jne last
            0xc9, 0xc3,  //                 leave; ret
            0x85, 0xf6,  //           back: test esi, esi
            0x48, 0x8b, 0x45, 0x18,  //     mov rax, [rbp + 24]
            0xc9, 0xc3,  //                 leave; ret
            0xeb, 0xf6,  //           last: jmp back
        ]
        let range = UInt64(0x1000)..<UInt64(0x1000 + code.count)
        let use = code.withUnsafeBytes { X86_64.stackUse(of: range, in: $0, base: 0x1000) { _ in range.upperBound } }
        #expect(use.words == 2 && !use.isOpen)
    }
}
#endif
