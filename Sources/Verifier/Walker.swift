import BPF
import BTF

/// Walks all paths of a program.
struct Walker {
    let input: VerifierInput
    let options: VerifierOptions

    init(_ input: VerifierInput, _ options: VerifierOptions) {
        self.input = input
        self.options = options
    }

    mutating func run() -> Verdict {
        Verdict(
            failure: VerifierFailure(slot: 0, message: "the verifier is not there yet"), log: "",
            statistics: VerifierStatistics(), deadSlots: [], contextBytes: 0)
    }
}
