import BPF
import JIT
import TestSupport
import Verifier

/// Makes programs, has them verified, runs what is accepted, and tells what went wrong.
struct Fuzzer {
    struct Count: CustomStringConvertible {
        var programs = 0
        var accepted = 0
        var runs = 0
        /// Walked without dropping paths.
        var whole = 0
        /// Instructions before which registers and stack slots were compared.
        var compared = 0
        /// Stack slots among what was compared.
        var slots = 0
        /// Accepted programs that make tail calls, that call global functions, with callbacks or may_goto.
        var tailCalls = 0
        var globals = 0
        var loops = 0
        /// Runs that were not followed to their end.
        var long = 0

        var description: String {
            "\(programs) programs, \(accepted) accepted (\(tailCalls) with tail calls, \(globals) with global functions, "
                + "\(loops) with callbacks or may_goto), \(whole) of them also without dropping paths, \(runs) runs (\(long) cut short), "
                + "register values compared before \(compared) instructions, with them \(slots) stack slots"
        }
    }

    /// What can be left out.
    enum Omission: String, CaseIterable, CustomStringConvertible {
        case atomicsChangeSlots, tailCallsEndFunctions, globalsReadMemory, textMayBeShort
        /// A program needs what those need that it may tail-call.
        case tailCallsHandOnTheContext

        var rules: OmittedRules {
            switch self {
            case .atomicsChangeSlots: .atomicsChangeSlots
            case .tailCallsEndFunctions: .tailCallsEndFunctions
            case .globalsReadMemory: .globalsReadMemory
            case .textMayBeShort: .textMayBeShort
            case .tailCallsHandOnTheContext: []
            }
        }

        var description: String { rawValue }
    }

    struct Problem: CustomStringConvertible {
        var seed: UInt64
        var what: String
        var program: [Instruction]

        var description: String { "seed \(seed): \(what)\n\(Disassembler().text(program))" }
    }

    /// A program that was accepted, ready to run in both worlds.
    private struct Accepted {
        var program: FuzzProgram.Made
        /// Its own, without those of the programs that it may tail-call.
        var needs: ContextNeeds
        var one: Interpreter
        var other: Interpreter
        var verdict: Verdict

        var makesTailCalls: Bool { program.instructions.contains(.call(.tailCall)) }
    }

    private(set) var count = Count()
    private let omission: Omission?
    private let world = FuzzWorld()
    private let otherWorld = FuzzWorld(other: true)
    /// Programs to be tail-called: those that were accepted first.
    private var pool: [Accepted] = []
    /// What the verifier holds true in each of them; nil where that is not known.
    private var poolStates: [StateRecorder?] = []

    init(_ omission: Omission? = nil) {
        self.omission = omission
        var seed: UInt64 = 0xf00d_0000
        var callers = 0
        while pool.count < 12 {
            seed += 1
            guard let made = FuzzProgram.make(seed: seed), let accepted = accept(made, seed) else { continue }
            // Half of them go on.
            if callers >= 6, accepted.makesTailCalls { continue }
            if pool.count - callers >= 6, !accepted.makesTailCalls { continue }
            callers += accepted.makesTailCalls ? 1 : 0
            var member = accepted
            member.one.number = pool.count + 1
            member.other.number = pool.count + 1
            pool.append(member)
            poolStates.append(states(of: made).recorder)
        }
        count = Count()
    }

    /// Checks the program of that number and four that were changed a little.
    mutating func check(_ seed: UInt64) -> [Problem] {
        guard let made = FuzzProgram.make(seed: seed) else { return [] }
        var generator = SeededGenerator(seed: seed ^ 0xabcd_ef01)
        var problems = check(made, seed)
        for _ in 0..<4 {
            var mutant = made
            mutant.instructions = FuzzProgram.mutate(made.instructions, &generator)
            problems += check(mutant, seed)
        }
        return problems
    }

    private var options: VerifierOptions {
        var options = VerifierOptions()
        options.log = .none
        options.omitted = omission?.rules ?? []
        return options
    }

    private mutating func accept(_ made: FuzzProgram.Made, _ seed: UInt64) -> Accepted? {
        var options = options
        options.walkLimit = 20_000
        options.keepsEveryState = seed % 2 == 0
        let verdict = Verifier.verify(made.input, options)
        guard verdict.isAccepted else { return nil }
        func interpreter(_ world: FuzzWorld) throws -> Interpreter {
            // As it is compiled, with no more stack than has been proven to be enough.
            var interpreter = Interpreter(
                try ProgramStructure(world.resolved(made.instructions)).limitingStacks(to: verdict.stackDepths))
            interpreter.roots = Set(made.subprograms.map(\.start))
            return interpreter
        }
        // What no path reaches is refused when the program is compiled.
        guard let one = try? interpreter(world), let other = try? interpreter(otherWorld) else {
            if verdict.deadSlots.isEmpty { unresolvable.append(made.instructions) }
            return nil
        }
        return Accepted(
            program: made,
            needs: ContextNeeds(bytes: verdict.contextBytes, usesCookie: made.instructions.contains(.call(.external(1)))),
            one: one, other: other, verdict: verdict)
    }

    /// Accepted, and no programs.
    private var unresolvable: [[Instruction]] = []

    private mutating func check(_ made: FuzzProgram.Made, _ seed: UInt64) -> [Problem] {
        count.programs += 1
        func problem(_ what: String) -> [Problem] { [Problem(seed: seed, what: what, program: made.instructions)] }
        unresolvable = []
        guard var accepted = accept(made, seed) else {
            return unresolvable.isEmpty ? [] : problem("accepted, but no program")
        }
        count.accepted += 1
        let loops = made.instructions.contains { $0 == .call(.loop) || $0 == .call(.forEachMapElem) || $0.opcode == .mayGoto }
        if accepted.makesTailCalls { count.tailCalls += 1 }
        if !made.subprograms.isEmpty { count.globals += 1 }
        if loops { count.loops += 1 }
        // A walk goes through a global function once, however often it is called.
        let mayBeLong = loops || accepted.makesTailCalls || !made.subprograms.isEmpty
        let limit = mayBeLong ? 100_000 : accepted.verdict.statistics.instructions
        accepted.one.instructionLimit = limit
        accepted.other.instructionLimit = limit
        for run in 0..<4 as Range<UInt64> {
            count.runs += 1
            var setting = setting(for: accepted, seed: seed &* 31 &+ run)
            setting.programs = programs(setting.seed, accepted, \.one)
            let outcome = world.run(accepted.one, setting)
            setting.programs = programs(setting.seed, accepted, \.other)
            let other = otherWorld.run(accepted.other, setting)
            switch (outcome, other) {
            case (.harm(let what), _): return problem("run \(run): \(what)")
            case (.long, _) where !mayBeLong: return problem("run \(run): it ran longer than the walk")
            case (.long, _): count.long += 1
            case (.ended, let other) where other != outcome:
                return problem("run \(run): what is seen depends on addresses, or on what nobody wrote")
            case (.ended, _): break
            }
        }
        return compareValues(accepted, seed).map(problem) ?? []
    }

    // MARK: - Tail calls

    /// Numbers in the pool of what lies in the array of programs; nil is the program itself.
    private func slots(_ seed: UInt64) -> [Int: Int?] {
        var generator = SeededGenerator(seed: seed ^ 0x7a11_ca11)
        return [0: generator.below(pool.count), 1: generator.below(pool.count), 2: nil]
    }

    private func programs(
        _ seed: UInt64, _ own: Accepted, _ interpreter: (Accepted) -> Interpreter
    ) -> [Int: Interpreter] {
        slots(seed).mapValues { interpreter($0.map { pool[$0] } ?? own) }
    }

    private func setting(for accepted: Accepted, seed: UInt64) -> FuzzWorld.Setting {
        // The program is number 0.
        let others = slots(seed).values.map { $0.map { $0 + 1 } ?? 0 }
        let all = [accepted] + pool
        let successors = all.map { $0.makesTailCalls ? Set(others) : [] }
        var needs = ContextNeeds.following(all.map(\.needs), successors)[0]
        if omission == .tailCallsHandOnTheContext { needs = accepted.needs }
        return FuzzWorld.Setting(needs: needs, seed: seed)
    }

    // MARK: - Values

    /// The walk's limits; and, as in the kernel, a constant that is far too large for an offset is refused where it is
    /// added, an unknown number that may be as large only where the pointer is used. A slot that nobody reads any more is not
    /// compared where a path is dropped: whether a pointer was kept there, a part of which is overwritten, makes no difference.
    private static let limits = [
        "too large", "too complex", "infinite loop", "math between", "pointer offset", "corrupt spilled pointer",
    ]

    private func states(of made: FuzzProgram.Made) -> (recorder: StateRecorder?, failure: VerifierFailure?) {
        let recorder = StateRecorder(slots: made.instructions.count)
        var options = options
        options.walkLimit = 3_000
        options.prunes = false
        options.observer = recorder
        let failure = Verifier.verify(made.input, options).failure
        return (failure == nil ? recorder : nil, failure)
    }

    /// Walked without dropping paths, some state of the verifier holds what registers and stack really are, everywhere.
    private mutating func compareValues(_ accepted: Accepted, _ seed: UInt64) -> String? {
        let (recorder, failure) = states(of: accepted.program)
        if let failure {
            // What a path that was dropped would have met, the one that it was dropped for should have. Not so where
            // helpers call back: what changes from round to round is taken for any number there, depending on the rounds.
            let loops = accepted.program.instructions.contains {
                $0 == .call(.loop) || $0 == .call(.forEachMapElem) || $0.opcode == .mayGoto
            }
            return loops || Self.limits.contains(where: failure.message.contains)
                ? nil : "accepted, but not without dropping paths: \(failure)"
        }
        guard let recorder else { return nil }
        count.whole += 1
        let states = [recorder] + poolStates
        let found = states.map { $0?.states.withLock { $0 } }
        var interpreter = accepted.one
        interpreter.instructionLimit = 100_000
        for run in 0..<3 as Range<UInt64> {
            var problem: String?
            var compared = 0
            var slots = 0
            var setting = setting(for: accepted, seed: seed &* 37 &+ run)
            setting.programs = programs(setting.seed, accepted, \.one)
            _ = world.run(interpreter, setting) { step in
                guard problem == nil, let all = found[step.program] else { return }
                let known = all[step.slot].filter { $0.frame == step.frame }
                compared += 1
                slots += known.first?.slots.count ?? 0
                if known.contains(where: { $0.admits(step) }) { return }
                let values = (0...9).map { "r\($0)=0x\(String(step.registers[$0], radix: 16))" }.joined(separator: " ")
                problem =
                    "program \(step.program), instruction \(step.slot), frame \(step.frame): \(values) is in none of \(known.count) states"
                    + (known.count == 1 ? ": \(known[0])" : "")
            }
            count.compared += compared
            count.slots += slots
            if let problem { return "run \(run): \(problem)" }
        }
        return nil
    }
}
