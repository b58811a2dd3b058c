import BPF
import Glibc
import JIT
import TestSupport
import Testing

/// What the arm64 compiler makes, run by an emulator of the processor.
@Suite("arm64 programs, run", .enabled(if: Emulator.isAvailable, "qemu-aarch64-static or clang is missing"))
struct ARM64EmulatedTests {
    typealias Processor = Emulator.Processor

    private func structure(_ text: String) throws -> ProgramStructure {
        try ProgramStructure(try Assembler.assemble(text))
    }

    @Test("each case returns what RFC 9669 says", arguments: Processor.allCases)
    func conformance(_ processor: Processor) throws {
        #expect(ConformanceCase.all.count >= 150)
        let runs = try ConformanceCase.all.map { conformanceCase in
            Emulator.Run(
                program: try structure(conformanceCase.program),
                memory: conformanceCase.memory + [UInt8](repeating: 0, count: max(0, 8 - conformanceCase.memory.count)),
                second: UInt64(conformanceCase.memory.count))
        }
        for (outcome, conformanceCase) in zip(try Emulator(processor).run(runs), ConformanceCase.all) {
            #expect(outcome.result == conformanceCase.result, "\(conformanceCase.name)")
        }
    }

    @Test("every instruction, and what it leaves in memory", arguments: Processor.allCases)
    func instructions(_ processor: Processor) throws {
        let runs = try InstructionCases.all.map { test in
            Emulator.Run(
                program: try structure(test.program), memory: test.memory, second: UInt64(test.memory.count))
        }
        for (outcome, test) in zip(try Emulator(processor).run(runs), InstructionCases.all) {
            #expect(outcome.result == test.result, "\(test.program)")
            if let after = test.memoryAfter { #expect(outcome.memory == after, "\(test.program)") }
        }
    }

    /// FSESSION_FUZZ: how many programs; FSESSION_FUZZ_SEED: the number of the first.
    private static func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    @Test("r0 and memory are the interpreter's, on every generated program", arguments: Processor.allCases)
    func equality(_ processor: Processor) throws {
        let count = Int(Self.environment("FSESSION_FUZZ") ?? 40_000)
        let first = (Self.environment("FSESSION_FUZZ_SEED") ?? 1) + (processor == .old ? 1 << 32 : 0)
        let comparison = try EmulatedComparison(processor)
        var done = 0
        while done < count {
            let seeds = (0..<min(4000, count - done)).map { first + UInt64(done + $0) }
            let programs = seeds.map { RandomProgram(seed: $0).instructions }
            if let failed = try comparison.mismatches(programs, seeds: seeds).first {
                let text = Disassembler().lines(RandomProgram(seed: failed).instructions).map { "\($0.slot): \($0.text)" }
                Issue.record("program \(failed) gives different results:\n\(text.joined(separator: "\n"))")
                return
            }
            done += seeds.count
        }
    }

    @Test("the comparison notices a program that differs")
    func sensitivity() throws {
        let seed = try #require(
            (1...100).first { seed in
                RandomProgram(seed: seed).instructions.count { $0 == .exit } == 1
            })
        let program = RandomProgram(seed: seed).instructions
        let comparison = try EmulatedComparison(.newest)
        #expect(try comparison.mismatches([program], seeds: [seed]) == [])
        let other = Array(program.dropLast()) + [.add(.r0, 1), .exit]
        #expect(try comparison.mismatches([program], seeds: [seed], interpreting: [other]) == [seed])
    }

    @Test("a helper gets r1…r5 and the state, and its result is r0", arguments: Processor.allCases)
    func helpers(_ processor: Processor) throws {
        let program = try structure(
            "r6 = 7\nr1 = 1\nr2 = 2\nr3 = 3\nr4 = 4\nr5 = 5\ncall bpf_map_lookup_elem\nr0 *= 10\nr0 += r6\nexit")
        #expect(try Emulator(processor).run([.init(program: program, state: 6)])[0].result == 6_543_217)
    }

    @Test("a helper calls a subprogram back by the address that the program gave it", arguments: Processor.allCases)
    func callbacks(_ processor: Processor) throws {
        let text = """
            r6 = r1
            r1 = 10
            r2 = subprog[callback]
            r3 = r6
            r4 = 0
            call bpf_loop
            r7 = r0
            r1 = *(u64 *)(r6 +0)
            r0 = r1
            r0 *= 100
            r0 += r7
            exit
            callback:
            r3 = *(u64 *)(r2 +0)
            r3 += r1
            *(u64 *)(r2 +0) = r3
            r0 = 0
            if r1 != 6 goto +1
            r0 = 1
            exit
            """
        let memory = [UInt8](repeating: 0, count: 8)
        let outcome = try Emulator(processor).run([.init(program: structure(text), memory: memory)])[0]
        #expect(outcome == .init(result: 2107, memory: [21, 0, 0, 0, 0, 0, 0, 0]))
    }

    /// The word at an offset.
    private func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(bytes[offset + $1]) }
    }

    private func bytes(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }
    }

    @Test("a tail call jumps with the context, counts, and ends after 33 times", arguments: Processor.allCases)
    func tailCalls(_ processor: Processor) throws {
        // Below the context are its hidden words, above it a prog array as TargetRuntime.h lays it out: a header of 128
        // bytes and two slots, of which the second is the target's.
        func memory(tailCalls: UInt64, slot: UInt8) -> [UInt8] {
            var words = [UInt64](repeating: 0, count: 9 + 16 + 2)
            words[4] = tailCalls
            words[8] = 7
            words[9 + 2] = 2 << 32 | 8  // value_size, max_entries
            words[9 + 4] = 16 * 8  // data_offset
            words[9 + 17] = UInt64(slot)
            return bytes(words)
        }
        func caller(_ index: UInt64) throws -> ProgramStructure {
            // The stack and the saved register must be gone in the program that is jumped to.
            try structure(
                """
                r6 = 1
                *(u64 *)(r10 -8) = 5
                r7 = 2
                r2 = r1
                r2 += 8
                r3 = 0x\(String(index, radix: 16))
                call bpf_tail_call
                r0 = 1000
                r0 += r6
                exit
                """)
        }
        // One that has called something, so that there is more to undo.
        let calling = try structure(
            """
            r6 = r1
            r7 = 2
            *(u64 *)(r10 -16) = 5
            call bpf_ktime_get_ns
            r1 = r6
            r2 = r1
            r2 += 8
            r3 = 1
            call bpf_tail_call
            r0 = 1000
            r0 += r7
            exit
            """)
        let target = try structure("r0 = *(u64 *)(r1 +0)\nr0 += 40\nexit")
        let last = (9 + 17) * 8
        // What each returns, and the count behind it; the slot holds the number of the run that it goes to.
        let cases: [(ProgramStructure, count: UInt64, slot: UInt8, result: UInt64, after: UInt64)] = [
            (target, 0, 0, 47, 0),
            (try caller(1), 0, 0, 47, 1),
            (try caller(1), 32, 0, 47, 33),
            // The index has 32 bits.
            (try caller(0x1_0000_0001), 0, 0, 47, 1),
            // Over the limit, an empty slot, and outside the map: the program goes on.
            (try caller(1), 33, 0, 1001, 33),
            (try caller(1), .max, 0, 1001, .max),
            (try caller(0), 0, 0, 1001, 0),
            (try caller(2), 0, 0, 1001, 0),
            (try caller(0xffff_ffff), 0, 0, 1001, 0),
            // Itself.
            (try caller(1), 0, 9, 1001, 33),
            (calling, 0, 10, 1002, 33),
            (calling, 0, 0, 47, 1),
        ]
        let runs = cases.map { Emulator.Run(program: $0.0, memory: memory(tailCalls: $0.count, slot: $0.slot), offset: 64) }
        let outcomes = try Emulator(processor).run(runs, slots: cases.map { _ in [last] })
        for (index, (outcome, test)) in zip(outcomes, cases).enumerated() {
            #expect(outcome.result == test.result, "case \(index)")
            #expect(word(outcome.memory, 32) == test.after, "case \(index)")
        }
    }

    @Test("the clock is the one that the index names; where the counter lags, and where it may not be read, the helper is called")
    func clock() throws {
        let read = try structure("r6 = 100\nr1 = 5\ncall bpf_ktime_get_ns\nr0 += r6\nexit")
        // The slow way keeps what the quick one does, the stack, too.
        var keeping: [Instruction] = [.move(.r6, 100)]
        for slot in 1...16 { keeping.append(.store(.u64, Int32(slot), to: .r10, offset: Int16(-8 * slot))) }
        keeping += [.move(.r9, 1000), .call(.helper(Helper.ktimeGetNs.rawValue)), .add(.r0, .r6), .add(.r0, .r9)]
        for slot in 1...16 {
            keeping += [.load(.u64, into: .r1, from: .r10, offset: Int16(-8 * slot)), .add(.r0, .r1)]
        }
        keeping.append(.exit)
        // Two of base_tsc, base_ns, mult, unused; the index; whether the counter is forbidden.
        func memory(_ bases: (UInt64, UInt64), _ times: (UInt64, UInt64), index: UInt64, filtered: UInt64 = 0) -> [UInt8] {
            bytes([bases.0, times.0, 0, 0, bases.1, times.1, 0, 0, index, filtered])
        }
        let clock = CompileContext.Clock(parameters: 0, index: 64, filtered: 72)
        let ahead = UInt64.max >> 1
        let runs: [Emulator.Run] = [
            .init(program: read, memory: memory((0, ahead), (5000, 9000), index: 0), clock: clock),
            .init(program: read, memory: memory((ahead, 0), (5000, 9000), index: 1), clock: clock),
            .init(program: read, memory: memory((ahead, 0), (5000, 9000), index: 2), clock: clock),
            .init(program: read, memory: memory((0, 0), (5000, 9000), index: 0, filtered: 1), clock: clock),
            .init(program: try ProgramStructure(keeping), memory: memory((ahead, 0), (0, 0), index: 0), clock: clock),
            .init(program: read, memory: memory((0, 0), (0, 0), index: 0)),
        ]
        for processor in Processor.allCases {
            let results = try Emulator(processor).run(runs).map(\.result)
            #expect(results == [5100, 9100, 4811, 4811, 4711 + 1100 + 136, 4811])
        }
    }

    @Test("the counter's difference is multiplied in full: 96 bits of the product count")
    func clockProduct() throws {
        let twice = try structure("call bpf_ktime_get_ns\nr6 = r0\ncall bpf_ktime_get_ns\n*(u64 *)(r1 +80) = r6\nexit")
        let once = UInt64(1) << 32
        let clock = CompileContext.Clock(parameters: 0, index: 64)
        let runs = [once, once << 7, once >> 20].map { mult in
            Emulator.Run(
                program: twice, memory: bytes([0, 0, mult, 0, 0, 0, 0, 0, 0, 0, 0]), clock: clock)
        }
        // One machine's counter for all three.
        let outcomes = try Emulator(.newest).run(runs)
        let counter = outcomes[0].result
        #expect(counter > 0 && counter >= word(outcomes[0].memory, 80))
        let second = Int64(100_000_000_000)
        for (outcome, shift) in zip(outcomes, [0, 7, -20]) {
            let back = shift >= 0 ? outcome.result >> UInt64(shift) : outcome.result << UInt64(-shift)
            #expect(abs(Int64(bitPattern: back &- counter)) < second)
            #expect(outcome.result >= word(outcome.memory, 80))
        }
    }

    @Test("branches reach across more than a mebibyte of code", arguments: [10, 30_000])
    func farBranches(_ length: Int) throws {
        // Forward over all of it, back over all of it, then the end; a subprogram's address from far away.
        var text = """
            r0 = 0
            r6 = subprog[callee]
            if r2 == 7 goto there
            again: r0 += 1
            if r0 s< 4 goto there
            call callee
            exit

            """
        for _ in 0..<length { text += "call bpf_ktime_get_ns\n" }
        text += "there: r0 += 1\nif w0 s< 3 goto again\ngoto again\ncallee: r0 = 5\nexit"
        let run = Emulator.Run(program: try structure(text), second: 7, clock: .init(parameters: 0, index: 64))
        #expect(try Emulator(.newest).run([run])[0].result == 5)
    }
}

/// Programs that run both ways, on the same memory at the same address.
private struct EmulatedComparison {
    private let emulator: Emulator
    private let memory: UnsafeMutableRawBufferPointer

    init(_ processor: Emulator.Processor) throws {
        emulator = Emulator(processor)
        let size = RandomProgram.bufferSize
        let place = UnsafeMutableRawPointer(bitPattern: UInt(emulator.room))
        // MAP_FIXED_NOREPLACE
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | 0x100000
        guard let start = mmap(place, 65536, PROT_READ | PROT_WRITE, flags, -1, 0), start == place else {
            throw EmulatorError("no memory at 0x\(String(emulator.room, radix: 16))")
        }
        memory = UnsafeMutableRawBufferPointer(start: start, count: size)
    }

    /// Seeds of the programs that give another r0 or leave another buffer.
    func mismatches(
        _ programs: [[Instruction]], seeds: [UInt64], interpreting others: [[Instruction]]? = nil
    ) throws -> [UInt64] {
        var runs: [Emulator.Run] = []
        var expected: [Emulator.Outcome] = []
        for (index, seed) in seeds.enumerated() {
            var generator = SeededGenerator(seed: ~seed)
            let initial = (0..<RandomProgram.bufferSize).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            let structure = try ProgramStructure(programs[index])
            runs.append(.init(program: structure, memory: initial))
            memory.copyBytes(from: initial)
            let interpreter = try others.map { try Interpreter($0[index]) } ?? Interpreter(structure)
            let result = try interpreter.run(context: emulator.room, memory: [MemoryRegion(memory)])
            expected.append(.init(result: result, memory: [UInt8](memory)))
        }
        let outcomes = try emulator.run(runs)
        return seeds.indices.filter { outcomes[$0] != expected[$0] }.map { seeds[$0] }
    }
}
