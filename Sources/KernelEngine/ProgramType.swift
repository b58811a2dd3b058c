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

/// All that the kernel engine knows of a kind of programs: a line each.
struct KernelKind: Sendable {
    /// How a program finds its way to where it runs.
    enum Way: Hashable, Sendable {
        /// A trampoline at a function: `BPF_LINK_CREATE`.
        case function
        /// Trampolines at many functions by one link.
        case functions
        /// A perf event at an instruction of the kernel.
        case probe(isReturn: Bool)
        /// One link at many functions; flags of `BPF_TRACE_KPROBE_MULTI`.
        case probes(flags: UInt32)
        /// A perf event at an instruction of a file.
        case fileProbe(isReturn: Bool)
        /// One link at many functions of a file; flags of `BPF_TRACE_UPROBE_MULTI`.
        case fileProbes(flags: UInt32)
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
    /// The enumerator of `enum bpf_attach_type` that kernels with this kind have in their types; nil where no
    /// kernel with types is without.
    let constant: String?
    /// The first Linux that has it.
    let since: String

    private init(_ number: BPFProgramType, _ attachType: BPFAttachType?, _ way: Way, _ constant: String?, _ since: String) {
        type = ProgramType(number: number, attachType: attachType)
        self.way = way
        self.constant = constant
        self.since = since
    }

    init(_ kind: ProgramKind) {
        switch kind {
        case .fentry: self.init(.tracing, .traceFentry, .function, "BPF_TRACE_FENTRY", "5.5")
        case .fexit: self.init(.tracing, .traceFexit, .function, "BPF_TRACE_FEXIT", "5.5")
        case .fmodRet: self.init(.tracing, .modifyReturn, .function, "BPF_MODIFY_RETURN", "5.7")
        case .session: self.init(.tracing, .traceFsession, .function, "BPF_TRACE_FSESSION", "7.0")
        case .fentryMulti: self.init(.tracing, .traceFentryMulti, .functions, "BPF_TRACE_FENTRY_MULTI", "7.2")
        case .fexitMulti: self.init(.tracing, .traceFexitMulti, .functions, "BPF_TRACE_FEXIT_MULTI", "7.2")
        case .sessionMulti: self.init(.tracing, .traceFsessionMulti, .functions, "BPF_TRACE_FSESSION_MULTI", "7.2")
        case .kprobe, .ksyscall: self.init(.kprobe, nil, .probe(isReturn: false), nil, "4.17")
        case .kretprobe, .kretsyscall: self.init(.kprobe, nil, .probe(isReturn: true), nil, "4.17")
        case .kprobeMulti: self.init(.kprobe, .traceKprobeMulti, .probes(flags: 0), "BPF_TRACE_KPROBE_MULTI", "5.18")
        case .kretprobeMulti: self.init(.kprobe, .traceKprobeMulti, .probes(flags: UInt32(LinuxFlag.bpfFKprobeMultiReturn)), "BPF_TRACE_KPROBE_MULTI", "5.18")
        case .kprobeSession: self.init(.kprobe, .traceKprobeSession, .probes(flags: 0), "BPF_TRACE_KPROBE_SESSION", "6.10")
        case .uprobe: self.init(.kprobe, nil, .fileProbe(isReturn: false), nil, "4.17")
        case .uretprobe: self.init(.kprobe, nil, .fileProbe(isReturn: true), nil, "4.17")
        case .uprobeMulti: self.init(.kprobe, .traceUprobeMulti, .fileProbes(flags: 0), "BPF_TRACE_UPROBE_MULTI", "6.6")
        case .uretprobeMulti: self.init(.kprobe, .traceUprobeMulti, .fileProbes(flags: UInt32(LinuxFlag.bpfFUprobeMultiReturn)), "BPF_TRACE_UPROBE_MULTI", "6.6")
        case .uprobeSession: self.init(.kprobe, .traceUprobeSession, .fileProbes(flags: 0), "BPF_TRACE_UPROBE_SESSION", "6.13")
        case .tracepoint: self.init(.tracepoint, nil, .tracepoint, nil, "4.7")
        case .rawTracepoint: self.init(.rawTracepoint, nil, .rawTracepoint, nil, "4.17")
        case .rawTracepointWritable: self.init(.rawTracepointWritable, nil, .rawTracepoint, nil, "5.2")
        case .typedTracepoint:
            self.init(.tracing, .traceRawTp, .typed(prefix: "btf_trace_", .tracepoint), "BPF_TRACE_RAW_TP", "5.5")
        case .lsm: self.init(.lsm, .lsmMac, .typed(prefix: "bpf_lsm_", .hook), "BPF_LSM_MAC", "5.7")
        case .iterator: self.init(.tracing, .traceIter, .typed(prefix: "bpf_iter_", .iterator), "BPF_TRACE_ITER", "5.8")
        case .perfEvent: self.init(.perfEvent, nil, .samples, nil, "4.9")
        }
    }
}
