import BPF
import BTF

/// Proves that a program can neither crash nor hang the process that it runs in, with the kernel's rules.
///
/// It sees a program as the object holds it: maps, externs and kfuncs by their indices, before anything is
/// resolved or inlined, so that each of them has its type.
package enum Verifier {
    /// Longer walks are not repeated for their log, which nobody could read.
    private static let loggedWalk = 50_000

    package static func verify(_ input: VerifierInput, _ options: VerifierOptions = VerifierOptions()) -> Verdict {
        let program: PreparedProgram
        do throws(VerifierFailure) {
            program = try PreparedProgram(input)
        } catch {
            var failure = error
            failure.source = failure.source ?? input.line(at: failure.slot)
            return Verdict(
                failure: failure, log: failure.logged, statistics: VerifierStatistics(), deadSlots: [], contextBytes: 0)
        }
        // Most programs are accepted: the log is only made of those that are not, in a second walk.
        var walker = Walker(input, program, options, options.log == .all ? .all : .off)
        do throws(VerifierFailure) {
            try walker.walkProgram()
            return walker.verdict(nil)
        } catch {
            if options.log == .failure, walker.statistics.instructions <= loggedWalk {
                var options = options
                options.observer = nil
                walker = Walker(input, program, options, .path)
                // It goes the same way and ends the same.
                do throws(VerifierFailure) { try walker.walkProgram() } catch {}
            }
            return walker.verdict(error)
        }
    }
}

/// A program and what it refers to.
package struct VerifierInput: Sendable {
    package var name: String
    package var kind: ProgramKind
    /// The program, then its subprograms. Wide loads of maps, variables and functions and calls of kfuncs carry
    /// the indices of the object (`BPF_PSEUDO_MAP_IDX`, `BPF_PSEUDO_MAP_IDX_VALUE`, …).
    package var instructions: [Instruction]
    /// Names, linkage and types of the functions behind the first one. Those that are missing here are static.
    package var subprograms: [ObjectProgram.Subprogram]
    package var lines: [SourceLine]
    package var maps: [MapDefinition]
    package var externs: [Extern]
    package var btf: BTF?
    package var context: ContextShape

    package init(
        name: String = "program", kind: ProgramKind = .session, instructions: [Instruction],
        subprograms: [ObjectProgram.Subprogram] = [], lines: [SourceLine] = [], maps: [MapDefinition] = [],
        externs: [Extern] = SessionKfunc.externs, btf: BTF? = nil, context: ContextShape = .unknown
    ) {
        self.name = name
        self.kind = kind
        self.instructions = instructions
        self.subprograms = subprograms
        self.lines = lines
        self.maps = maps
        self.externs = externs
        self.btf = btf
        self.context = context
    }

    package init(_ program: ObjectProgram, in object: Object, context: ContextShape = .unknown) {
        self.init(
            name: program.name, kind: program.section.kind.single, instructions: program.instructions,
            subprograms: program.subprograms, lines: program.lines, maps: object.maps, externs: object.externs,
            btf: object.btf, context: context)
    }
}

/// How many words the target's functions put into the context.
package enum ContextShape: Hashable, Sendable {
    /// A prototype is known: that many argument words, then the return value.
    case words(Int)
    /// None is known: the six argument registers, then the return value.
    case unknown

    /// As many as any function has: what a program may read is proven of that, and a function that has fewer words than it
    /// reads is refused when the two are linked.
    package static let largest = ContextShape.words(64)

    package var argumentWords: Int {
        switch self {
        case .words(let count): max(0, count)
        case .unknown: 6
        }
    }
}

package struct VerifierOptions: Sendable {
    package var log = LogLevel.failure
    /// Most instructions that are walked (`BPF_COMPLEXITY_LIMIT_INSNS`).
    package var walkLimit = 1_000_000
    /// Pointers may be stored where user space can see them.
    package var allowsPointerLeaks = false
    /// Paths end where others have been with a state that includes theirs. Without, small programs only.
    package var prunes = true
    /// States are kept wherever they may be, however little has been walked in between (`BPF_F_TEST_STATE_FREQ`):
    /// tests see more paths end at others.
    package var keepsEveryState = false
    /// For tests of the tests.
    package var omitted: OmittedRules = []
    /// Keep what is known before each instruction of each path: for tests that compare it with real runs.
    package var observer: (any VerifierObserver)?

    package init() {}

    package enum LogLevel: Int, Sendable {
        /// Only what went wrong, without the way there.
        case none
        /// The path to the fault.
        case failure
        /// Every instruction walked.
        case all
    }
}

/// Is told what the verifier holds true before an instruction, on each path that it walks.
package protocol VerifierObserver: Sendable {
    func visit(_ visit: VerifierVisit)
}

/// What the verifier holds true before an instruction. Of registers and stack slots that cannot be read any more nothing is
/// promised.
package struct VerifierVisit: Sendable {
    package var slot: Int
    /// Functions that the running one is inside of.
    package var frame: Int
    /// r0…r10
    package var registers: [RegisterState]
    /// A bit for each register that may still be read.
    package var live: UInt16
    /// What may still be read on the stack of each frame, from the program's own on.
    package var stacks: [[(index: Int, slot: StackSlot)]]
}

/// What the verifier found.
package struct Verdict: Sendable {
    /// nil if the program is safe.
    package var failure: VerifierFailure?
    /// In the kernel's format.
    package var log: String
    package var statistics: VerifierStatistics
    /// Slots that no path reaches; a wide load is named by its first slot.
    package var deadSlots: [Int]
    /// Those of them in functions that are entered: without them, and with branches that go one way only made jumps,
    /// the program is the same.
    package var droppableSlots: [Int] = []
    /// Bytes of stack that each function uses at most, by the function's first slot.
    package var stackDepths: [Int: Int] = [:]
    /// Bytes of the context that the program may read, from its start.
    package var contextBytes: Int
    /// Calls of `bpf_map_lookup_elem` that find the same element of an array on every path, by their slots.
    package var constantLookups: [Int: ConstantLookup] = [:]

    package var isAccepted: Bool { failure == nil }
}

/// A lookup whose answer is known before the program runs.
package struct ConstantLookup: Hashable, Sendable {
    /// The map's index in the object; an array, or one with a value for each CPU.
    package var map: Int
    package var element: UInt32
}

/// Why a program is refused.
package struct VerifierFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var slot: Int
    /// The kernel's words.
    package var message: String
    /// What usually mends it.
    package var hint: String?
    /// The line of the source, where it is known.
    package var source: SourceLine?

    package init(slot: Int, message: String, hint: String? = nil, source: SourceLine? = nil) {
        self.slot = slot
        self.message = message
        self.hint = hint
        self.source = source
    }

    /// As the log ends with it.
    var logged: String {
        var text = message
        if let source { text += "\nat \(source.place): \(source.code)" }
        if let hint { text += "\nhint: \(hint)" }
        return text
    }

    package var description: String {
        var text = "instruction \(slot)"
        if let source { text += " (\(source.place))" }
        text += ": \(message.split(separator: "\n").joined(separator: "; "))"
        if let hint { text += "; \(hint)" }
        return text
    }
}

package struct VerifierStatistics: Hashable, Sendable {
    /// Instructions walked, on all paths.
    package var instructions = 0
    /// States that were kept to compare others with, over all and at most for one instruction.
    package var states = 0
    package var peakStates = 0
    /// Roughly, in bytes, what the verifier held at most.
    package var peakMemory = 0
    /// Bytes of stack over the deepest chain of calls.
    package var stackDepth = 0
    package init() {}
}
