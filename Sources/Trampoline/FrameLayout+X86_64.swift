import BPF
import MachineCode

/// Offsets from `rbp` of the words that `X86_64ImageBuilder` draws.
struct X86_64FrameLayout {
    static let argumentRegisters: [X86_64Register] = [.rdi, .rsi, .rdx, .rcx, .r8, .r9]
    /// What the function leaves in caller-saved registers: Swift returns in rax rdx rcx r8, and callers
    /// compiled with -fipa-ra count on the registers that the function does not touch.
    private static let returnable: [X86_64Register] = [.rax, .rcx, .rdx, .rsi, .rdi, .r8, .r9, .r10, .r11]
    static let returnAddress: Int32 = 8

    static func callerStackWord(_ word: Int) -> Int32 { Int32(16 + 8 * word) }

    /// In pushing order. rax counts vector registers for variable arguments and is Swift's indirect
    /// result; r10 is the static chain; r11 may be anything under -fipa-ra.
    let saved: [X86_64Register]
    /// Where every caller-saved register is restored from before the function is called.
    let restorePlaces: [(register: X86_64Register, offset: Int32)]
    let returnValue: Int32
    let context: Int32
    func offset(of word: ContextLayout) -> Int32 { context + word.offset }
    /// How far below ctx the cookie of a session that uses one is, by link.
    private let cookieDepths: [TrampolineLink.ID: Int]
    var cookieCount: Int { cookieDepths.count }
    /// Offset of the lowest ctx word: the last cookie, or tailCalls.
    let contextBottom: Int32
    let programFrameSize: Int32
    let frameSize: Int32
    /// How far below rbp the stack pointer is when the entry programs have run.
    let entryDepth: Int32
    let alignsStack: Bool
    let returned: [X86_64Register]
    var returnedBottom: Int32 { -frameSize - Int32(8 * returned.count) }

    init(convention: CallingConvention, lists: TrampolineLists) {
        var holders: [X86_64Register: Int] = [:]
        for (word, location) in convention.arguments.enumerated() {
            if case .register(let number) = location {
                holders[Self.argumentRegisters[number], default: word] = word
            }
        }
        // rdi is where programs find ctx. What copies far stack words is an ordinary function.
        let ours = RegisterSet([.rax, .r10, .r11])
        let forPrograms = lists.links.isEmpty ? ours : ours.union(RegisterSet([.rdi]))
        let beforeCall = (lists.entry + lists.fmodRet).reduce(forPrograms) { $0.union($1.clobbers) }
        let afterCall = lists.exit.reduce(lists.exit.isEmpty ? ours : forPrograms) { $0.union($1.clobbers) }
        let copiesFar = !lists.isEntryOnly && convention.stackWords > 0 && !convention.stackWordsAreKnown
        let clobbered = copiesFar ? .all : beforeCall
        let saved =
            [.rax, .r10, .r11]
            + Self.argumentRegisters.filter { holders[$0] == nil && clobbered.contains($0) }
        let returnValue = Int32(-8 * (saved.count + 1))
        let context = returnValue - Int32(8 * convention.arguments.count)
        var places: [(X86_64Register, Int32)] = []
        for (index, register) in saved.enumerated() { places.append((register, Int32(-8 * (index + 1)))) }
        for register in Self.argumentRegisters {
            if let word = holders[register], clobbered.contains(register) { places.append((register, context + Int32(8 * word))) }
        }
        var cookieDepths: [TrampolineLink.ID: Int] = [:]
        for link in lists.entry where link.kind == .session && link.usesCookie {
            cookieDepths[link.id] = ContextLayout.firstCookie.depth + cookieDepths.count
        }
        self.saved = saved
        self.restorePlaces = places
        self.returnValue = returnValue
        self.context = context
        self.cookieDepths = cookieDepths
        returned = Self.returnable.filter(afterCall.contains)
        alignsStack = lists.links.contains(where: \.needsAlignedStack)
        let hasProgram = !lists.links.isEmpty
        contextBottom = context - Int32(hasProgram ? 8 * (ContextLayout.tailCalls.depth + cookieDepths.count) : convention.keepsFrame ? 0 : 16)
        programFrameSize = (-contextBottom + 15) / 16 * 16
        frameSize = programFrameSize + Int32((8 * convention.stackWords + 15) / 16 * 16)
        entryDepth = hasProgram ? programFrameSize : -contextBottom
    }

    /// How far below ctx a link's cookie is. A session that has none never asks; were it to, it would be given
    /// its attach cookie, not an argument of the function.
    func cookieDepth(of link: TrampolineLink) -> Int {
        cookieDepths[link.id] ?? (link.kind == .session ? ContextLayout.attachCookie.depth : 0)
    }
}
