import BPF
import Foundation
import Testing

@Suite("Conformance plugin")
struct ConformancePluginTests {
    private struct Outcome {
        let status: Int32
        let output: String
        let error: String
    }

    /// The executable that the package builds beside the tests.
    private func run(_ arguments: [String], input: String) throws -> Outcome {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent()
            .appendingPathComponent("bpf-conformance-plugin")
        process.arguments = arguments
        let (standardInput, output, error) = (Pipe(), Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // All of it fits into the pipes.
        standardInput.fileHandleForWriting.write(Data(input.utf8))
        try standardInput.fileHandleForWriting.close()
        process.waitUntilExit()
        let text = { (pipe: Pipe) in String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        return Outcome(status: process.terminationStatus, output: text(output), error: text(error))
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
        #expect(outcome.error == "")
        #expect(try run(options, input: base16("r0 = -1\nexit")).output == "ffffffffffffffff\n")
    }

    @Test("bad input gives one line of error and status 1", arguments: [
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
        #expect(outcome.error.hasPrefix("bpf-conformance-plugin: ") && outcome.error.contains(message))
        #expect(outcome.error.split(separator: "\n").count == 1)
    }
}
