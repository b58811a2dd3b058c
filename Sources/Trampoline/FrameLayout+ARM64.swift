import BPF
import MachineCode

/// Offsets from the stack pointer, while programs run, of the words that `ARM64ImageBuilder` draws.
struct ARM64FrameLayout {
    /// A frame record's size.
    static let record = 16
    /// What a function may leave changed, or its caller count on: code compiled with -fipa-ra knows what the functions of its
    /// own file touch. x16 and x17 are nobody's between two functions, since a linker may use them there.
    private static let kept: [ARM64Register] = [
        .x0, .x1, .x2, .x3, .x4, .x5, .x6, .x7, .x8, .x9, .x10, .x11, .x12, .x13, .x14, .x15,
    ]

    let context: Int
    let returnValue: Int
    func offset(of word: ContextLayout) -> Int { context + Int(word.offset) }
    /// How far below ctx the cookie of a session that uses one is, by link.
    private let cookieDepths: [TrampolineLink.ID: Int]
    var cookieCount: Int { cookieDepths.count }
    /// Registers that programs change before the function runs, and no ctx word holds.
    let saved: [(register: ARM64Register, offset: Int)]
    /// Where those that they change are restored from before the function is called.
    let restorePlaces: [(register: ARM64Register, offset: Int)]
    /// Those that they change behind it.
    let returned: [(register: ARM64Register, offset: Int)]
    /// Up to the frame record: a multiple of 16.
    let size: Int
    /// Of the copied stack words: likewise.
    let copySize: Int

    init(convention: CallingConvention, lists: TrampolineLists) {
        let hasProgram = !lists.links.isEmpty
        // x0 is where programs find ctx.
        func clobbered(_ links: [TrampolineLink]) -> [ARM64Register] {
            let all = links.reduce(RegisterSet([ARM64Register.x0])) { $0.union($1.clobbers) }
            return links.isEmpty ? [] : Self.kept.filter(all.contains)
        }
        var cookieDepths: [TrampolineLink.ID: Int] = [:]
        for link in lists.entry where link.kind == .session && link.usesCookie {
            cookieDepths[link.id] = ContextLayout.firstCookie.depth + cookieDepths.count
        }
        self.cookieDepths = cookieDepths
        context = hasProgram ? 8 * (ContextLayout.tailCalls.depth + cookieDepths.count) : 0
        let count = hasProgram ? convention.arguments.count : 0
        returnValue = context + 8 * count
        var holders: [ARM64Register: Int] = [:]
        for (word, location) in convention.arguments.enumerated() {
            if case .register(let number) = location { holders[Self.kept[number], default: word] = word }
        }
        var next = hasProgram ? returnValue + 8 : 0
        var saved: [(ARM64Register, Int)] = []
        var places: [(ARM64Register, Int)] = []
        for register in clobbered(lists.entry + lists.fmodRet) {
            if let word = holders[register] {
                places.append((register, context + 8 * word))
            } else {
                saved.append((register, next))
                places.append((register, next))
                next += 8
            }
        }
        self.saved = saved
        restorePlaces = places
        returned = clobbered(lists.exit).enumerated().map { ($1, next + 8 * $0) }
        size = (next + 8 * returned.count + 15) / 16 * 16
        copySize = (8 * convention.stackWords + 15) / 16 * 16
    }

    /// How far below ctx a link's cookie is. A session that has none never asks; were it to, it would be given
    /// its attach cookie, not an argument of the function.
    func cookieDepth(of link: TrampolineLink) -> Int {
        cookieDepths[link.id] ?? (link.kind == .session ? ContextLayout.attachCookie.depth : 0)
    }
}
