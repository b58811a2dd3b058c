/// When a program runs, and at what: the first part of its section's name.
package enum ProgramKind: String, Sendable, CaseIterable {
    // MARK: At functions

    /// `BPF_TRACE_FSESSION`: at entry and at exit.
    case session = "fsession"
    /// `BPF_TRACE_FENTRY`.
    case fentry = "fentry"
    /// `BPF_TRACE_FEXIT`.
    case fexit = "fexit"
    /// `BPF_MODIFY_RETURN`: at entry; a result other than 0 takes the function's place.
    case fmodRet = "fmod_ret"
    /// `BPF_TRACE_FSESSION_MULTI` and its kin: one program at many functions, whose types it does not know.
    case sessionMulti = "fsession.multi"
    case fentryMulti = "fentry.multi"
    case fexitMulti = "fexit.multi"

    // MARK: In the kernel only

    /// `BPF_PROG_TYPE_KPROBE`, at an instruction of the kernel or at a function's return.
    case kprobe = "kprobe"
    case kretprobe = "kretprobe"
    /// The same at a system call, whatever its function is called on this architecture.
    case ksyscall = "ksyscall"
    case kretsyscall = "kretsyscall"
    /// `BPF_TRACE_KPROBE_MULTI`: one link at many functions.
    case kprobeMulti = "kprobe.multi"
    case kretprobeMulti = "kretprobe.multi"
    /// `BPF_TRACE_KPROBE_SESSION`: at entry and return of many functions.
    case kprobeSession = "kprobe.session"
    /// At an instruction of a file, in all processes that have it mapped.
    case uprobe = "uprobe"
    case uretprobe = "uretprobe"
    /// `BPF_TRACE_UPROBE_MULTI`.
    case uprobeMulti = "uprobe.multi"
    case uretprobeMulti = "uretprobe.multi"
    /// `BPF_TRACE_UPROBE_SESSION`.
    case uprobeSession = "uprobe.session"
    /// `BPF_PROG_TYPE_TRACEPOINT`: "tracepoint/sched/sched_switch".
    case tracepoint = "tracepoint"
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`: a tracepoint's own arguments.
    case rawTracepoint = "raw_tracepoint"
    case rawTracepointWritable = "raw_tracepoint.w"
    /// `BPF_TRACE_RAW_TP`: the same, typed.
    case typedTracepoint = "tp_btf"
    /// `BPF_LSM_MAC`: a hook of the security modules; a result below 0 forbids.
    case lsm = "lsm"
    /// `BPF_TRACE_ITER`: called for each of the kernel's objects of a sort when its text is read.
    case iterator = "iter"
    /// `BPF_PROG_TYPE_PERF_EVENT`: at each sample of a counter.
    case perfEvent = "perf_event"

    private static let shortNames: [String: ProgramKind] = [
        "tp": .tracepoint, "raw_tp": .rawTracepoint, "raw_tp.w": .rawTracepointWritable,
    ]

    /// The kind that a section's first part names, without ".s".
    init?(sectionPart name: String) {
        guard let kind = Self.shortNames[name] ?? ProgramKind(rawValue: name) else { return nil }
        self = kind
    }

    /// The kind of one function's program: what one for many is at each of them.
    package var single: ProgramKind {
        switch self {
        case .sessionMulti: .session
        case .fentryMulti: .fentry
        case .fexitMulti: .fexit
        default: self
        }
    }

    /// Whether it is attached to functions by a trampoline: such programs run in processes, too.
    package var isAtFunctions: Bool {
        switch single {
        case .session, .fentry, .fexit, .fmodRet: true
        default: false
        }
    }

    /// Whether it says what it is attached to as FILE:FUNCTION.
    fileprivate var namesFile: Bool {
        switch self {
        case .uprobe, .uretprobe, .uprobeMulti, .uretprobeMulti, .uprobeSession: true
        default: false
        }
    }
}

/// What the section of a program says: when it runs and at what.
package struct ProgramSection: Hashable, Sendable {
    package let kind: ProgramKind
    /// ".s": may sleep. It makes no difference in a process.
    package let sleepable: Bool
    /// "?" in front: not meant to be attached unless somebody asks for it.
    package let isOptional: Bool
    /// A path, a file name or "exe", maybe with `*`; nil for any module.
    package let module: String?
    /// A name, maybe with `*`; what else a program is attached to; empty where the section does not say.
    package let function: String
    /// The section's whole name.
    package let name: String

    /// Takes "fsession.s/libz:deflate*" apart; nil if no program kind has that name.
    package init?(name: String) {
        isOptional = name.hasPrefix("?")
        let rest = isOptional ? name.dropFirst() : name[...]
        let slash = rest.firstIndex(of: "/")
        var kind = rest[..<(slash ?? rest.endIndex)]
        sleepable = kind.hasSuffix(".s")
        if sleepable { kind = kind.dropLast(2) }
        guard let found = ProgramKind(sectionPart: String(kind)) else { return nil }
        self.kind = found
        self.name = name
        let target = slash.map { rest[rest.index(after: $0)...] } ?? ""
        guard found.isAtFunctions || found.namesFile, let colon = Self.separator(target) else {
            (module, function) = (nil, String(target))
            return
        }
        (module, function) = (String(target[..<colon]), String(target[target.index(after: colon)...]))
    }

    /// The first colon that is not half of a "::", which belongs to the names of C++ and Rust.
    private static func separator(_ target: Substring) -> Substring.Index? {
        var index = target.startIndex
        while let colon = target[index...].firstIndex(of: ":") {
            let end = target[colon...].firstIndex { $0 != ":" } ?? target.endIndex
            // An odd run is a separator with "::" behind it: "exe:::f".
            if target.distance(from: colon, to: end) % 2 == 1 { return colon }
            index = end
        }
        return nil
    }
}
