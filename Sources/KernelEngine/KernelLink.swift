import BPF
import Engine
import Glibc
import LinuxBPF

/// A program at a function: one link of the kernel's, or the two of a split session.
struct KernelLink: Sendable {
    /// The same program cannot be at the same function twice.
    struct Key: Hashable, Sendable {
        let program: Int
        let module: String
        let function: String
    }

    /// One for each function that it is at.
    let keys: [Key]
    let attached: AttachedPrograms

    /// `BPF_LINK_CREATE`
    static func create(
        _ program: KernelProgram, _ name: String, _ function: KernelFunction, cookie: UInt64
    ) throws(EngineError) -> AttachedProgram {
        var attributes = LinkCreate(program) { $0.tracingCookie = cookie }
        switch attributes.open(.linkCreate) {
        case .success(let descriptor): return AttachedProgram(link: descriptor, program: program.descriptor)
        case .failure(let error):
            throw .refused(
                function: function.name, because: LinkRefusal.text(error.number, explanation: attributes.explanation(of: .linkCreate)))
        }
    }
}

extension LinkCreate {
    /// A link of a program, with what is particular to its kind.
    init(_ program: KernelProgram, _ fill: (inout LinkCreate) -> Void) {
        self.init {
            $0.progFd = program.descriptor.number
            $0.attachType = program.type.attachNumber
            fill(&$0)
        }
    }
}

/// A link and the program that it holds.
struct AttachedProgram: Sendable {
    let link: BPFDescriptor
    let program: BPFDescriptor

    /// How often the kernel skipped the program (`bpf_prog_info.recursion_misses`).
    var missed: UInt64 {
        var information = ProgramInfo()
        return BPFObjects.get(&information, of: program) ? information.recursionMisses : 0
    }
}

/// What one session at one function holds: a link, or the two of a split session.
struct AttachedPrograms: Sendable {
    /// In the order in which they are to be closed.
    private let programs: [AttachedProgram]

    init(_ programs: [AttachedProgram]) { self.programs = programs }

    /// Takes the programs out; how often the kernel skipped them.
    func close() -> UInt64 {
        let missed = missed
        for program in programs { program.link.close() }
        return missed
    }

    /// A program that several links hold counts for all of them.
    var missed: UInt64 {
        var known: Set<Int32> = []
        return programs.reduce(0) { known.insert($1.program.number).inserted ? $0 &+ $1.missed : $0 }
    }
}

extension EngineError {
    /// The reason alone, where it is one for a single function.
    var reason: String {
        switch self {
        case .refused(_, let because), .rejected(_, let because): because
        default: description
        }
    }

    /// No other function would fare better.
    var isFinal: Bool {
        switch self {
        case .refused(_, let because), .rejected(_, let because):
            because.contains("not permitted") || because.contains(Errno.tooManyFiles)
        default: true
        }
    }
}
