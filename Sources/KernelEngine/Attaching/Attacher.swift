import BPF
import BTF
import Engine
import Glibc
import LinuxBPF

/// Attaches programs to all that is not a function with a trampoline: probes, tracepoints, hooks, iterators, counters.
struct Attacher {
    let program: ObjectProgram
    let kind: KernelKind
    let loader: ProgramLoader
    /// What its section, or the user in its place, says that it is attached to.
    let place: FunctionPattern?
    let cookie: UInt64

    /// What was attached, and what it is attached to, by name.
    struct Attached {
        var programs: AttachedPrograms
        var places: [FunctionInfo]
        /// What an iterator wrote.
        var text = ""
    }

    init(_ program: ObjectProgram, _ loader: ProgramLoader, place: FunctionPattern?, cookie: UInt64) {
        self.program = program
        self.loader = loader
        self.place = place
        self.cookie = cookie
        kind = KernelKind(program.section.kind)
    }

    func attach(_ kernel: inout KernelTypes, _ traceable: inout TraceableFunctions) throws(EngineError) -> Attached {
        try KernelFeatures.require(program.section.kind, of: program.name, kernel.vmlinux.types)
        switch kind.way {
        case .function, .functions: throw .program(name: program.name, because: "it is attached by functions")
        case .probe(let isReturn): return try probe(isReturn, &traceable)
        case .probes(let isReturn): return try probes(isReturn, &traceable)
        case .fileProbe(let isReturn): return try fileProbe(isReturn)
        case .fileProbes(let isReturn): return try fileProbes(isReturn)
        case .tracepoint: return try tracepoint()
        case .rawTracepoint: return try rawTracepoint()
        case .typed(let prefix, let sort): return try typed(prefix, sort, &kernel)
        case .samples: return try samples()
        }
    }

    /// The place as one text; what to write where there is none.
    func text(_ example: String, separator: String = ":") throws(EngineError) -> String {
        guard let place, !place.function.text.isEmpty else {
            throw .request(
                "program '\(program.name)': its section '\(program.section.name)' does not say what to attach it to; "
                    + "write it as in '\(example)', or use --program and --at")
        }
        return place.module.map { $0.text + separator + place.function.text } ?? place.function.text
    }

    func load(for target: LoadTarget = .none) throws(EngineError) -> KernelProgram {
        try loader.load(program, as: kind.type, for: target)
    }

    func info(_ name: String, _ module: String) -> FunctionInfo {
        FunctionInfo(name: name, module: module, modulePath: module, address: 0, size: 0)
    }

    func attached(_ program: AttachedProgram, _ place: FunctionInfo) -> Attached {
        Attached(programs: AttachedPrograms([program]), places: [place])
    }

    /// What an error number of a probe means.
    func failure(_ error: Errno, _ place: String, nearest: [String] = []) -> EngineError {
        switch error.number {
        case ENOENT, ESRCH, EADDRNOTAVAIL: .noFunction(pattern: place, nearest: nearest)
        case EPERM, EACCES: .refused(function: place, because: KernelAdvice.text(Errno(EPERM)))
        case EINVAL, EILSEQ:
            .refused(
                function: place,
                because: "the kernel refuses a probe there: "
                    + (error.number == EILSEQ ? "no instruction starts at that offset (EILSEQ)" : "it must not stop in that function (EINVAL)"))
        case Errno.notSupported, EOPNOTSUPP:
            .refused(
                function: place,
                because: "this kernel was built without support for \(program.section.kind.rawValue) programs"
                    + ([.traceKprobeMulti, .traceKprobeSession].contains(kind.type.attachType)
                        ? " (CONFIG_FPROBE); kprobe and kretprobe programs it has" : ": \(error)"))
        default: .refused(function: place, because: KernelAdvice.text(error))
        }
    }
}
