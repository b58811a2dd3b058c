import BPF

/// What the kernel is told that a program is: its type and the way it is attached.
struct ProgramType: Hashable, Sendable {
    /// `BPF_PROG_TYPE_*`
    let number: UInt32
    /// `BPF_TRACE_*` and the like, `enum bpf_attach_type`
    let attachType: UInt32

    private static let tracing: UInt32 = 26

    static let fentry = ProgramType(number: tracing, attachType: 24)
    static let fexit = ProgramType(number: tracing, attachType: 25)
    static let fmodRet = ProgramType(number: tracing, attachType: 26)
    static let session = ProgramType(number: tracing, attachType: 58)
    static let sessionMulti = ProgramType(number: tracing, attachType: 61)

    init(number: UInt32, attachType: UInt32) {
        self.number = number
        self.attachType = attachType
    }

    init(_ kind: ProgramKind) {
        self =
            switch kind {
            case .session: .session
            case .fentry: .fentry
            case .fexit: .fexit
            case .fmodRet: .fmodRet
            }
    }
}
