import MachineCode

/// When a linked program runs. (The BPF program types and attach types of the kernel's trampolines.)
package enum TrampolineProgramKind: String, Sendable, Hashable, CaseIterable {
    /// `BPF_TRACE_FENTRY`: before the function.
    case fentry
    /// `BPF_TRACE_FEXIT`: after the function.
    case fexit
    /// `BPF_MODIFY_RETURN`: before the function, which is skipped when the program's result is not zero.
    case fmodRet = "fmod_ret"
    /// `BPF_TRACE_FSESSION`: before and after the function.
    case session = "fsession"

    /// How many of a trampoline's nodes a link takes.
    package var nodeCount: Int { self == .session ? 2 : 1 }

    /// Whether the trampoline must see the function return.
    package var needsReturn: Bool { self != .fentry }
}

/// One program linked to one function.
package struct TrampolineLink: Sendable, Hashable, Identifiable {
    package var id: Int
    /// The same program twice on a function is refused.
    package var programID: Int
    package var kind: TrampolineProgramKind
    /// Where the compiled program is: `uint64_t program(uint64_t *ctx)`.
    package var programAddress: UInt64
    /// What `bpf_get_attach_cookie` returns in this link.
    package var attachCookie: UInt64
    /// Whether the program calls `bpf_session_cookie`: it gets a slot then.
    package var usesCookie: Bool
    /// Whether the program calls `bpf_tail_call`: the call count starts at zero for it then.
    package var usesTailCalls: Bool
    /// The caller-saved registers that the program may change: only these are kept for the function and its caller.
    package var clobbers: RegisterSet
    /// Whether the program must be called with a stack at a multiple of 16, however the function's caller left it:
    /// code that keeps vector registers there. Compiled programs and the runtime do not.
    package var needsAlignedStack: Bool

    package init(
        id: Int, programID: Int, kind: TrampolineProgramKind, programAddress: UInt64,
        attachCookie: UInt64 = 0, usesCookie: Bool = false, usesTailCalls: Bool = false,
        clobbers: RegisterSet = .all, needsAlignedStack: Bool = true
    ) {
        self.id = id
        self.programID = programID
        self.kind = kind
        self.programAddress = programAddress
        self.attachCookie = attachCookie
        self.usesCookie = usesCookie
        self.usesTailCalls = usesTailCalls
        self.clobbers = clobbers
        self.needsAlignedStack = needsAlignedStack
    }
}
