import BPF
import BTF
import TestSupport
import Testing
import Verifier

/// Whatever comes is answered, soon and within bounds.
@Suite("Bad input")
struct HostileTests {
    private func refusal(_ instructions: [Instruction], _ context: ContextShape = .unknown) -> (text: String, seconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let verdict = Verifier.verify(VerifierInput(instructions: instructions, context: context))
        #expect(verdict.statistics.peakMemory < 1 << 30)
        return (verdict.failure.map { "\($0)\n\(verdict.log)" } ?? "accepted", (clock.now - start) / .seconds(1))
    }

    @Test("nothing, half a wide load, and bytes that mean nothing")
    func shapes() {
        #expect(refusal([]).text.contains("no instructions"))
        #expect(refusal([Instruction.loadImmediate(.r1, 5)[0]]).text.contains("invalid bpf_ld_imm64 insn"))
        #expect(refusal([Instruction(encoded: .max)]).text.contains("instruction 0"))
    }

    @Test("random words name the instruction that is none")
    func words() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            let program = (0..<1 + generator.below(12)).map { _ in Instruction(encoded: generator.next()) }
            let verdict = Verifier.verify(VerifierInput(instructions: program))
            if let failure = verdict.failure { #expect(program.indices.contains(failure.slot)) }
        }
    }

    @Test("a million branches, a million different ways, and a loop without end are answered within ten seconds")
    func large() {
        let branches: [Instruction] =
            (0..<999_998).map { _ in .branch(.equal, .r1, 0, 0) } + [.move(.r0, 0), .exit]
        let forks = Array(
            repeating: [
                Instruction.call(.getPrandomU32), .branch(.equal, .r0, 0, 1), .add(.r6, .r0), .add(.r6, 1),
            ], count: 200_000
        ).flatMap { $0 }
        let diverging = [Instruction.move(.r6, 0)] + forks + [.move(.r0, 0), .exit]
        let counting: [Instruction] = [.move(.r0, 0), .add(.r0, 1), .jump(-2)]
        let outside: [Instruction] = (0..<999_999).map { _ in .jump(0) } + [.exit]
        // Wherever it goes on, it may come back to where slots are read.
        let reads = (0..<64).flatMap { slot in
            [Instruction.load(.u64, into: .r2, from: .r10, offset: Int16(-8 * (slot + 1))), .branch(.equal, .r2, 0, 0)]
        }
        let jumps = (0..<1900).map { (index: Int) -> Instruction in .branch(.equal, .r1, 0, Int16(-index - 129)) }
        var back = (0..<64).map { (slot: Int) -> Instruction in .store(.u64, 0, to: .r10, offset: Int16(-8 * (slot + 1))) }
        for _ in 0..<490 { back += reads + jumps }
        back += [.move(.r0, 0), .exit]
        let programs = [
            ("branches", branches), ("forks", diverging), ("counting", counting), ("jumps", outside), ("back", back),
        ]
        for (name, program) in programs {
            let (text, seconds) = refusal(program)
            print("\(name): \(program.count) instructions in \(seconds) s: \(text.prefix(200))")
            // A million jumps straight on are just within the limit.
            if name == "forks" || name == "counting" { #expect(text.contains("instruction"), "\(name)") }
            #expect(seconds < 10, "\(name): \(seconds) s")
        }
    }

    @Test("what walks to the limit, in the worst ways, is answered within ten seconds and a gigabyte", arguments: HostileShape.allCases)
    func limit(_ shape: HostileShape) throws {
        let input = VerifierInput(instructions: try shape.program(), maps: HostileShape.maps)
        let clock = ContinuousClock()
        let start = clock.now
        let verdict = Verifier.verify(input)
        let seconds = (clock.now - start) / .seconds(1)
        print(
            "\(shape): \(verdict.statistics.instructions) instructions, \(verdict.statistics.states) states, "
                + "\(verdict.statistics.peakMemory >> 20) MiB, \(seconds) s: \(verdict.failure?.message ?? "accepted")")
        #expect(seconds < 10)
        #expect(verdict.statistics.peakMemory < 1 << 30)
    }

    @Test("functions that call themselves, also by a round about way")
    func recursion() {
        #expect(refusal([.call(.subprogram(-1)), .exit]).text.contains("recursive call"))
        #expect(
            refusal([
                .call(.subprogram(1)), .exit, .call(.subprogram(1)), .exit, .call(.subprogram(-3)), .exit,
            ]).text.contains("recursive call"))
    }

    @Test("chains of calls that are deeper than eight")
    func depth() {
        var program: [Instruction] = [.call(.subprogram(1)), .exit]
        for _ in 0..<8 { program += [.call(.subprogram(1)), .exit] }
        program += [.move(.r0, 0), .exit]
        #expect(refusal(program).text.contains("frames is too deep"))
    }

    @Test("a subprogram that starts where no instruction does")
    func startsNowhere() {
        let subprogram = ObjectProgram.Subprogram(name: "f", start: 77, isGlobal: true, typeID: nil)
        let verdict = Verifier.verify(
            VerifierInput(instructions: [.move(.r0, 0), .exit], subprograms: [subprogram]))
        #expect(verdict.failure?.message.contains("func_info") == true)
    }
}
