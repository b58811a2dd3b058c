import BPF
import Engine
import Glibc

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
        var attributes = BPFAttributes()
        attributes.set(0, program.descriptor.number)
        attributes.set(4, UInt32(0))
        attributes.set(8, program.type.attachType)
        attributes.set(12, UInt32(0))
        attributes.set(16, UInt32(0))
        // Kernels before 5.19 do not know it.
        if cookie != 0 { attributes.set(24, cookie) }
        switch attributes.open(.linkCreate) {
        case .success(let descriptor): return AttachedProgram(link: descriptor, program: program.descriptor)
        case .failure(let error):
            throw .refused(
                function: function.name, because: LinkRefusal.text(error.number, explanation: attributes.explanation(of: .linkCreate)))
        }
    }
}

/// A link and the program that it holds.
struct AttachedProgram: Sendable {
    let link: BPFDescriptor
    let program: BPFDescriptor

    /// How often the kernel skipped the program (`bpf_prog_info.recursion_misses`).
    var missed: UInt64 {
        var information = BPFAttributes()
        information.set(212, UInt32(0))
        guard BPFObjects.information(program.number, &information) else { return 0 }
        return UInt64(information.u32(208)) | UInt64(information.u32(212)) << 32
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
