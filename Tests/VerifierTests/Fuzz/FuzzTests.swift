import BPF
import JIT
import Synchronization
import Testing
import Verifier

#if canImport(Glibc)
import Glibc
#endif

/// Programs that the verifier accepts run in the interpreter, which checks every access.
@Suite("what is accepted does no harm")
struct FuzzTests {
    /// Longer with `make fuzz`.
    static let seconds = getenv("FSESSION_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) } ?? 20
    static let firstSeed = getenv("FSESSION_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    struct Count {
        var programs = 0
        var accepted = 0
        var runs = 0
        /// Walked without dropping paths.
        var whole = 0
        var compared = 0
    }

    @Test("generated and mutated programs: no bad access, no leak, no run longer than the walk, values within bounds")
    func soundness() throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds)
        let world = FuzzWorld()
        var seed = Self.firstSeed
        var count = Count()
        while clock.now < end {
            for _ in 0..<50 {
                guard let program = FuzzProgram.make(seed: seed) else { continue }
                var generator = SeededGenerator(seed: seed ^ 0xabcd_ef01)
                check(program, world, seed, &count)
                for _ in 0..<4 { check(FuzzProgram.mutate(program, &generator), world, seed, &count) }
                seed += 1
            }
        }
        print(
            "fuzz: \(count.programs) programs, \(count.accepted) accepted, \(count.whole) of them also without dropping paths, \(count.runs) runs, "
                + "\(count.compared) register values compared, seeds \(Self.firstSeed)..<\(seed)")
        // Else nothing has been tested.
        #expect(count.accepted * 20 > count.programs)
        #expect(count.compared > count.accepted)
    }

    private func check(_ program: [Instruction], _ world: FuzzWorld, _ seed: UInt64, _ count: inout Count) {
        count.programs += 1
        let input = VerifierInput(instructions: program, maps: FuzzProgram.maps)
        var options = VerifierOptions()
        options.log = .none
        options.walkLimit = 20_000
        options.keepsEveryState = seed % 2 == 0
        let verdict = Verifier.verify(input, options)
        guard verdict.isAccepted else { return }
        count.accepted += 1
        var interpreter: Interpreter
        do {
            interpreter = try Interpreter(world.resolved(program))
        } catch {
            // What no path reaches is refused when the program is compiled.
            let slot = "\(error)".split(whereSeparator: { $0 == " " || $0 == ":" }).dropFirst().first.flatMap { Int($0) }
            guard let slot, verdict.deadSlots.contains(slot) else {
                Issue.record("seed \(seed): accepted, but no program: \(error)\n\(Disassembler().text(program))")
                return
            }
            return
        }
        let callsBack = program.contains { $0 == .call(.loop) }
        interpreter.instructionLimit = callsBack ? 10_000_000 : verdict.statistics.instructions
        for run in 0..<4 as Range<UInt64> {
            count.runs += 1
            if let problem = world.run(interpreter, seed: seed &* 31 &+ run) {
                Issue.record("seed \(seed), run \(run): \(problem)\n\(Disassembler().text(program))")
                return
            }
        }
        compareValues(input, interpreter, world, seed, &count)
    }

    /// The walk's limits; and, as in the kernel, a constant that is far too large for an offset is refused where it is
    /// added, an unknown number that may be as large only where the pointer is used.
    private static let limits = ["too large", "too complex", "infinite loop", "math between", "pointer offset"]

    /// Walked without dropping paths, some state of the verifier holds what the registers really are, everywhere.
    private func compareValues(
        _ input: VerifierInput, _ interpreter: Interpreter, _ world: FuzzWorld, _ seed: UInt64, _ count: inout Count
    ) {
        let recorder = StateRecorder(slots: input.instructions.count)
        var options = VerifierOptions()
        options.log = .none
        options.walkLimit = 3_000
        options.prunes = false
        options.observer = recorder
        if let failure = Verifier.verify(input, options).failure {
            // What a path that was dropped would have met, the one that it was dropped for should have. Not so where
            // helpers call back: what changes from round to round is taken for any number there, depending on the rounds.
            let callsBack = input.instructions.contains { $0 == .call(.loop) }
            if !callsBack, !Self.limits.contains(where: failure.message.contains) {
                Issue.record(
                    "seed \(seed): accepted, but not without dropping paths: \(failure)\n\(Disassembler().text(input.instructions))")
            }
            return
        }
        count.whole += 1
        let states = recorder.states.withLock { $0 }
        var interpreter = interpreter
        interpreter.instructionLimit = 10_000_000
        for run in 0..<3 as Range<UInt64> {
            var problem: String?
            var compared = 0
            _ = world.run(interpreter, seed: seed &* 37 &+ run) { slot, depth, registers in
                guard problem == nil else { return }
                let known = states[slot].filter { $0.frame == depth - 1 }
                compared += 1
                let fits = known.contains { state in
                    state.values.allSatisfy { $0.value.contains(registers[$0.register]) }
                }
                if !fits {
                    let values = (0...9).map { "r\($0)=0x\(String(registers[$0], radix: 16))" }.joined(separator: " ")
                    problem = "instruction \(slot), frame \(depth - 1): \(values) is in none of \(known.count) states"
                        + (known.count == 1 ? ": \(known[0].values)" : "")
                }
            }
            count.compared += compared
            if let problem {
                Issue.record("seed \(seed), run \(run): \(problem)\n\(Disassembler().text(input.instructions))")
                return
            }
        }
    }
}

/// The scalars of every state, by instruction.
final class StateRecorder: VerifierObserver {
    struct State {
        var frame: Int
        var values: [(register: Int, value: Scalar)]
    }

    let states: Mutex<[[State]]>

    init(slots: Int) { states = Mutex(Array(repeating: [], count: slots)) }

    func visit(slot: Int, frame: Int, registers: [RegisterState], live: UInt16) {
        var values: [(register: Int, value: Scalar)] = []
        for index in 0..<10 where registers[index].kind == .scalar && live & 1 << UInt16(index) != 0 {
            values.append((index, registers[index].value))
        }
        states.withLock { $0[slot].append(State(frame: frame, values: values)) }
    }
}
