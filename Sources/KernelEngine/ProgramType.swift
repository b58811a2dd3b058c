import BPF
import LinuxBPF

/// What the kernel is told that a program is: its type and the way it is attached.
struct ProgramType: Hashable, Sendable {
    let number: BPFProgramType
    /// Nil for types that have only one way.
    let attachType: BPFAttachType?

    /// As attributes hold it.
    var attachNumber: UInt32 { attachType?.rawValue ?? 0 }

    static let fentry = ProgramType(.fentry)
    static let fexit = ProgramType(.fexit)

    init(number: BPFProgramType, attachType: BPFAttachType?) {
        self.number = number
        self.attachType = attachType
    }

    init(_ kind: ProgramKind) { self = KernelKind(kind).type }
}

/// How programs of a kind are loaded and attached: a line each. Since when kernels have them, `KernelHistory` says.
struct KernelKind: Sendable {
    /// How a program finds its way to where it runs.
    enum Way: Hashable, Sendable {
        /// A trampoline at a function: `BPF_LINK_CREATE`.
        case function
        /// Trampolines at many functions by one link.
        case functions
        /// A perf event at an instruction of the kernel.
        case probe(isReturn: Bool)
        /// One link at many functions.
        case probes(isReturn: Bool)
        /// A perf event at an instruction of a file.
        case fileProbe(isReturn: Bool)
        /// One link at many functions of a file.
        case fileProbes(isReturn: Bool)
        /// A perf event of tracefs.
        case tracepoint
        /// `BPF_RAW_TRACEPOINT_OPEN`, by name.
        case rawTracepoint
        /// The same, by a type that the kernel has for the tracepoint, hook or iterator.
        case typed(prefix: String, TypeKind)
        /// A counter that overflows so many times a second, on each CPU.
        case samples
    }

    /// What stands in the kernel's types for a place to attach to.
    enum TypeKind: Hashable, Sendable {
        case tracepoint
        case hook
        case iterator
    }

    let type: ProgramType
    let way: Way

    private init(_ number: BPFProgramType, _ attachType: BPFAttachType?, _ way: Way) {
        type = ProgramType(number: number, attachType: attachType)
        self.way = way
    }

    init(_ kind: ProgramKind) {
        switch kind {
        case .fentry: self.init(.tracing, .traceFentry, .function)
        case .fexit: self.init(.tracing, .traceFexit, .function)
        case .fmodRet: self.init(.tracing, .modifyReturn, .function)
        case .session: self.init(.tracing, .traceFsession, .function)
        case .fentryMulti: self.init(.tracing, .traceFentryMulti, .functions)
        case .fexitMulti: self.init(.tracing, .traceFexitMulti, .functions)
        case .sessionMulti: self.init(.tracing, .traceFsessionMulti, .functions)
        case .kprobe, .ksyscall: self.init(.kprobe, nil, .probe(isReturn: false))
        case .kretprobe, .kretsyscall: self.init(.kprobe, nil, .probe(isReturn: true))
        case .kprobeMulti: self.init(.kprobe, .traceKprobeMulti, .probes(isReturn: false))
        case .kretprobeMulti: self.init(.kprobe, .traceKprobeMulti, .probes(isReturn: true))
        case .kprobeSession: self.init(.kprobe, .traceKprobeSession, .probes(isReturn: false))
        case .uprobe: self.init(.kprobe, nil, .fileProbe(isReturn: false))
        case .uretprobe: self.init(.kprobe, nil, .fileProbe(isReturn: true))
        case .uprobeMulti: self.init(.kprobe, .traceUprobeMulti, .fileProbes(isReturn: false))
        case .uretprobeMulti: self.init(.kprobe, .traceUprobeMulti, .fileProbes(isReturn: true))
        case .uprobeSession: self.init(.kprobe, .traceUprobeSession, .fileProbes(isReturn: false))
        case .tracepoint: self.init(.tracepoint, nil, .tracepoint)
        case .rawTracepoint: self.init(.rawTracepoint, nil, .rawTracepoint)
        case .rawTracepointWritable: self.init(.rawTracepointWritable, nil, .rawTracepoint)
        case .typedTracepoint: self.init(.tracing, .traceRawTp, .typed(prefix: "btf_trace_", .tracepoint))
        case .lsm: self.init(.lsm, .lsmMac, .typed(prefix: "bpf_lsm_", .hook))
        case .iterator: self.init(.tracing, .traceIter, .typed(prefix: "bpf_iter_", .iterator))
        case .perfEvent: self.init(.perfEvent, nil, .samples)
        }
    }
}
