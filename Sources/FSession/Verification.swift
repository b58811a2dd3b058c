import BPF
import Verifier

extension BPFObject {
    /// What the verifier says of a program.
    public struct Verification: Sendable {
        /// The program's name and section.
        public let program: String
        /// The section: what the program is, and where it wants to be attached.
        public let section: String
        /// Nil if the program can do no harm; else what is wrong, where, and what usually mends it, in one sentence.
        public let fault: String?
        /// The way to the fault, or all ways, in the format of the kernel's log.
        public let log: String
        /// Instructions walked, on all paths.
        public let instructions: Int
        /// States that were kept to compare others with.
        public let states: Int
        /// Roughly what was held at most, in bytes.
        public let peakMemory: Int
        /// Bytes of stack that the program and what it calls use.
        public let stackDepth: Int
        /// How long verifying took.
        public let duration: Duration

        /// Whether the program can do no harm.
        public var isSafe: Bool { fault == nil }
    }
}

extension BPFObject {
    /// Proves each program safe, or says why it is not; nothing is loaded anywhere.
    /// - Parameters:
    ///   - argumentWords: words of arguments that the functions have; without, as many as any function has, as when
    ///     an object is loaded: functions that have fewer than a program reads are refused when it is attached.
    ///   - detailed: logs every instruction walked, not only the way to a fault.
    public func verify(argumentWords: Int? = nil, detailed: Bool = false) -> [Verification] {
        var options = VerifierOptions()
        if detailed { options.log = .all }
        let clock = ContinuousClock()
        return object.programs.map { program in
            guard program.section.kind.isAtFunctions else {
                return Verification(
                    program: program.name, section: program.section.name,
                    fault: "\(program.section.kind.rawValue) programs run in the kernel, whose own verifier proves them when they are loaded",
                    log: "", instructions: 0, states: 0, peakMemory: 0, stackDepth: 0, duration: .zero)
            }
            let input = VerifierInput(
                program, in: object, context: argumentWords.map { .words(min($0, ContextShape.largest.argumentWords)) } ?? .largest)
            let start = clock.now
            let verdict = Verifier.verify(input, options)
            let duration = clock.now - start
            return Verification(
                program: program.name, section: program.section.name, fault: verdict.failure.map { "\($0)" },
                log: verdict.log, instructions: verdict.statistics.instructions, states: verdict.statistics.states,
                peakMemory: verdict.statistics.peakMemory, stackDepth: verdict.statistics.stackDepth,
                duration: duration)
        }
    }
}
