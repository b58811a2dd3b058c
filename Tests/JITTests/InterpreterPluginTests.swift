import BPF
import Foundation
import TestSupport
import Testing

@Suite("Conformance plugin")
struct ConformancePluginTests {
    private func run(_ arguments: [String], input: String) throws -> Finished {
        try Running([Repository.product("bpf-conformance-plugin")] + arguments, input: input).wait()
    }

    private func base16(_ text: String, separator: String = "") throws -> String {
        try Assembler.assemble(text).flatMap(\.bytes).map { String(format: "%02x", $0) }.joined(separator: separator)
    }

    #if arch(x86_64)
    private static let engines = [[], ["--interpret"], ["--jit"]]
    #else
    private static let engines = [[], ["--interpret"]]
    #endif

    @Test("prints r0 in base 16; r1 is the memory and r2 its length", arguments: engines)
    func result(_ options: [String]) throws {
        let program = try base16("r0 = *(u16 *)(r1 +1)\nr0 <<= 8\nr0 += r2\nexit", separator: " ")
        let outcome = try run(["11 22 33 44"] + options, input: program + "\n")
        #expect(outcome.status == 0)
        #expect(outcome.output == "332204\n")
        #expect(outcome.errors == "")
        #expect(try run(options, input: base16("r0 = -1\nexit")).output == "ffffffffffffffff\n")
    }

    @Test(
        "bad input gives one line of error and status 1",
        arguments: [
            ([], "xyz", "standard input is not a program in base 16"),
            ([], "950", "standard input is not a program in base 16"),
            ([], "9500", "the program has 2 bytes, which is not a multiple of 8"),
            ([], "", "the program has no instructions"),
            (["zz"], "", "unexpected argument 'zz'"),
            (["--fast"], "", "unexpected argument '--fast'"),
            (["--elf"], "9500000000000000", "ELF"),
            ([], "b7000000000000008500000001000000 9500000000000000", "bpf_map_lookup_elem (1)"),
            ([], "8d00000000000000 9500000000000000", "instruction 0: unknown opcode 0x8d"),
            ([], "7900000000000000 9500000000000000", "instruction 0: reads 8 bytes at 0x0"),
        ] as [([String], String, String)])
    func badInput(_ arguments: [String], _ input: String, _ message: String) throws {
        let outcome = try run(arguments, input: input)
        #expect(outcome.status == 1)
        #expect(outcome.output == "")
        #expect(outcome.errors.hasPrefix("bpf-conformance-plugin: ") && outcome.errors.contains(message))
        #expect(outcome.errors.split(separator: "\n").count == 1)
    }
}
