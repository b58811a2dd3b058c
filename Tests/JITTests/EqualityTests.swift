import BPF
import Glibc
import JIT
import TestSupport
import Testing

#if arch(x86_64)
@Suite("the JIT against the interpreter, on generated programs")
struct EqualityTests {
    /// FSESSION_FUZZ: how many programs; FSESSION_FUZZ_SEED: the number of the first.
    private static func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    @Test("r0 and memory are equal on every generated program")
    func equality() throws {
        let count = Int(Self.environment("FSESSION_FUZZ") ?? 1_000_000)
        let first = Self.environment("FSESSION_FUZZ_SEED") ?? 1
        let batch = 1000
        var done = 0
        while done < count {
            let seeds = (0..<min(batch, count - done)).map { first + UInt64(done + $0) }
            // Both ways to shift by a register, where the processor has both.
            let hasBMI2 = X86_64Processor.hasBMI2 && done / batch % 2 == 0
            for seed in try EngineComparison(seeds: seeds, hasBMI2: hasBMI2).mismatches() {
                Issue.record("\(EngineComparison.explanation(seed: seed, hasBMI2: hasBMI2))")
                return
            }
            done += seeds.count
        }
    }

    @Test("the comparison notices a program that differs")
    func sensitivity() throws {
        // The interpreter gets another program than the JIT: an addition more before the exit.
        let seed = try #require(
            (1...100).first { seed in
                RandomProgram(seed: seed).instructions.count { $0 == .exit } == 1
            })
        let program = RandomProgram(seed: seed).instructions
        let other = program.dropLast() + [.add(.r0, 1), .exit]
        let comparison = EngineComparison(programs: [(seed, program)], hasBMI2: false)
        #expect(try comparison.mismatches() == [])
        #expect(try comparison.mismatches(interpreting: [Array(other)]) == [seed])
    }
}

/// Programs that run both ways.
struct EngineComparison {
    private let programs: [(seed: UInt64, instructions: [Instruction])]
    private let hasBMI2: Bool

    init(programs: [(seed: UInt64, instructions: [Instruction])], hasBMI2: Bool) {
        self.programs = programs
        self.hasBMI2 = hasBMI2
    }

    init(seeds: [UInt64], hasBMI2: Bool) {
        self.init(programs: seeds.map { ($0, RandomProgram(seed: $0).instructions) }, hasBMI2: hasBMI2)
    }

    /// Seeds of the programs that give another r0 or leave another buffer.
    func mismatches(interpreting others: [[Instruction]]? = nil) throws -> [UInt64] {
        let structures = try programs.map { try ProgramStructure($0.instructions) }
        var offsets: [Int] = []
        let limit = structures.reduce(0) { $0 + $1.codeSizeLimit }
        let memory = try ExecutableMemory(byteCount: limit) { address in
            var code: [UInt8] = []
            for structure in structures {
                offsets.append(code.count)
                let context = CompileContext(address: address + UInt64(code.count), features: hasBMI2 ? .bmi2 : [])
                let compiled = try X86_64Compiler.compile(structure, context: context)
                #expect(compiled.code.count <= structure.codeSizeLimit)
                code += compiled.code
            }
            return code
        }
        // One buffer for both, since its address may get into values; guards at its ends.
        let guardSize = 64
        let size = RandomProgram.bufferSize
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 2 * guardSize, alignment: 64)
        defer { whole.deallocate() }
        let buffer = UnsafeMutableRawBufferPointer(rebasing: whole[guardSize..<guardSize + size])
        let start = UInt64(UInt(bitPattern: buffer.baseAddress))
        var initial = [UInt8](repeating: 0xa5, count: whole.count)
        var result: [UInt64] = []
        for (index, program) in programs.enumerated() {
            var generator = SeededGenerator(seed: ~program.seed)
            for position in guardSize..<guardSize + size {
                initial[position] = UInt8(truncatingIfNeeded: generator.next())
            }
            whole.copyBytes(from: initial)
            let interpreted: UInt64
            let interpreter =
                others == nil ? Interpreter(structures[index]) : try Interpreter(others?[index] ?? [])
            interpreted = try interpreter.run(context: start, memory: [MemoryRegion(buffer)])
            let expected = [UInt8](whole)
            whole.copyBytes(from: initial)
            let compiled = memory.call(offset: offsets[index], start)
            let isSame = whole.elementsEqual(expected)
            if compiled != interpreted || !isSame { result.append(program.seed) }
        }
        return result
    }

    /// The program without the instructions that do not matter, as text.
    static func explanation(seed: UInt64, hasBMI2: Bool) -> String {
        let program = RandomProgram(seed: seed)
        var instructions = program.instructions
        for slot in program.removable {
            let kept = instructions[slot]
            instructions[slot] = .jump(0)
            let comparison = EngineComparison(programs: [(seed, instructions)], hasBMI2: hasBMI2)
            if (try? comparison.mismatches()) != [seed] { instructions[slot] = kept }
        }
        var lines = ["program \(seed) (BMI2 \(hasBMI2)) gives different results:"]
        for line in Disassembler().lines(instructions) where instructions[line.slot] != .jump(0) {
            lines.append("\(line.slot): \(line.text)")
        }
        return lines.joined(separator: "\n")
    }
}
#endif
