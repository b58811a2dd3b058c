import BPF
import Verifier

/// What is known of a program before it is compiled. The verifier sees it as the object holds it, while kfuncs and maps
/// still have their types.
struct ProgramProof {
    /// Bytes of the context that it may read.
    var contextBytes = 0
    /// Instructions that no path reaches.
    var deadSlots: Set<Int> = []
    /// Those of them that are left out of the machine code.
    var droppableSlots: Set<Int> = []
    /// Lookups in arrays that need not be made, by their slots.
    var constantLookups: [Int: ConstantLookup] = [:]
    /// Bytes of stack that each function uses, by its first slot.
    var stackDepths: [Int: Int] = [:]

    /// Proves all programs of an object safe, or says which is not, and why.
    static func prove(_ object: Object, _ options: LoadOptions) throws(EngineError) -> [ProgramProof] {
        guard options.verifies else { return object.programs.map { _ in ProgramProof() } }
        var proofs: [ProgramProof] = []
        for program in object.programs {
            proofs.append(try prove(VerifierInput(program, in: object, context: .largest)))
        }
        return proofs
    }

    static func prove(_ input: VerifierInput) throws(EngineError) -> ProgramProof {
        let verdict = Verifier.verify(input)
        if let failure = verdict.failure {
            throw .unsafeProgram(name: input.name, because: "\(failure)")
        }
        return ProgramProof(
            contextBytes: verdict.contextBytes, deadSlots: Set(verdict.deadSlots),
            droppableSlots: Set(verdict.droppableSlots), constantLookups: verdict.constantLookups,
            stackDepths: verdict.stackDepths)
    }

    /// Leaves out an instruction that never runs, or makes a jump of a branch that goes one way only. False: it stays, to
    /// be linked.
    func drop(_ instruction: Instruction, at slot: Int, in patcher: inout ProgramPatcher) -> Bool {
        if deadSlots.isEmpty { return false }
        if droppableSlots.contains(slot) {
            // What it calls, loads or jumps to need not exist.
            patcher.replace(at: slot, with: [])
            return true
        }
        if deadSlots.contains(slot), instruction.opcode == .call, instruction.source != .r1 {
            // In a function that nobody enters: it stays one, and what it calls need not exist.
            patcher.replace(at: slot, with: [.move(.r0, 0)])
            return true
        }
        guard instruction.isConditional, let distance = instruction.distance else { return false }
        if droppableSlots.contains(slot + 1 + distance) {
            patcher.replace(at: slot, with: [])
            return true
        }
        if droppableSlots.contains(slot + 1) { patcher.makeUnconditional(at: slot) }
        return false
    }
}

extension Instruction {
    /// A conditional jump, but for `may_goto`, which counts.
    fileprivate var isConditional: Bool {
        switch opcode.instructionClass {
        case .jump, .jump32: Condition(rawValue: opcode.operation) != nil
        default: false
        }
    }
}
