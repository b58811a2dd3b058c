import BPF
import Verifier

/// What is known of a program before it is compiled. The verifier sees it as the object holds it, while kfuncs and maps
/// still have their types.
struct ProgramProof {
    /// Bytes of the context that it may read.
    var contextBytes = 0
    /// Instructions that no path reaches.
    var deadSlots: Set<Int> = []

    /// More words than any function's context has: how many there are is compared when a program is linked.
    private static let contextWords = 64

    /// Proves all programs of an object safe, or says which is not, and why.
    static func prove(_ object: Object, _ options: LoadOptions) throws(EngineError) -> [ProgramProof] {
        guard options.verifies else { return object.programs.map { _ in ProgramProof() } }
        var proofs: [ProgramProof] = []
        for program in object.programs {
            proofs.append(try prove(VerifierInput(program, in: object, context: .words(contextWords))))
        }
        return proofs
    }

    static func prove(_ input: VerifierInput) throws(EngineError) -> ProgramProof {
        let verdict = Verifier.verify(input)
        if let failure = verdict.failure {
            throw .unsafeProgram(name: input.name, because: "\(failure)")
        }
        return ProgramProof(contextBytes: verdict.contextBytes, deadSlots: Set(verdict.deadSlots))
    }
}
