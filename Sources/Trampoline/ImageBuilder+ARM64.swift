import BPF
import MachineCode

/// Writes the template of a trampoline.
///
/// The stack while programs run; `S` is the stack pointer at the function's entry, a multiple of 16 as always:
///
///     S + 8i          the i-th stack argument, in the caller's frame
///     S - 8           return address, as it arrives: signed where the function's landing pad does that
///     S - 16          the caller's x29                                                             <- x29
///                     (0 or 8 bytes)
///                     returned: of x0…x15, as the function left them, those that exit programs change
///                     saved: of x0…x15 those that entry programs change and no ctx word holds
///     returnValue     ctx[n]
///     argument(i)     ctx[n - 1] … ctx[0]                               programs get &ctx[0]
///     metadata        ctx[-1], as `ContextLayout` has it, and what follows, too
///     functionIP      ctx[-2]
///     attachCookie    ctx[-3]
///     tailCalls       ctx[-4]
///     cookie(i)       ctx[-5], ctx[-6], …: one for each session that uses it          <- sp
///
/// and while the function runs, below that:
///
///     copiedWord(i)   copy of the i-th stack argument                                 <- sp
///
/// Nothing of ours is below the stack pointer when the function runs. x16, x17 and, once the frame record is made, x30
/// are all that this code uses itself; vector registers pass through.
struct ARM64ImageBuilder {
    /// What is filled in for each function: the values of `ImageValues`.
    struct ValueLabels: Sendable {
        var functionAddress: ARM64Label
        var relocatedEntry: ARM64Label
        var cookie: ARM64Label
        var counters: ARM64Label
    }

    private let shape: ImageShape
    private var lists: TrampolineLists { shape.lists }
    private var convention: CallingConvention { shape.convention }
    private let safeCopy: UInt64?
    private let address: UInt64
    private let layout: ARM64FrameLayout
    private let values: ValueLabels
    private var assembler = ARM64Assembler()
    private var frame = CallFrameBuilder()
    /// How far the stack pointer is below the caller's, as unwinders are told.
    private var depth = 0
    /// The words that are loaded from behind the code.
    private var literals: [(place: ARM64Label, value: Literal)] = []
    /// What the words that differ between programs hold now; nil: not known.
    private var metadata: UInt64?
    private var attachCookie: Literal?
    private var tailCallsAreZero = true

    private enum Literal: Equatable {
        case value(UInt64)
        case label(ARM64Label)
    }

    init(_ shape: ImageShape, safeCopy: UInt64?, at address: UInt64) {
        self.shape = shape
        self.safeCopy = safeCopy
        self.address = address
        layout = ARM64FrameLayout(convention: shape.convention, lists: shape.lists)
        values = ValueLabels(
            functionAddress: assembler.makeLabel(), relocatedEntry: assembler.makeLabel(), cookie: assembler.makeLabel(),
            counters: assembler.makeLabel())
    }

    mutating func build() -> ARM64ImageTemplate {
        // The landing pad has run.
        if convention.returnAddressKey != nil { frame.negateReturnAddressState() }
        enterFrame()
        for link in lists.entry { run(link) }
        if lists.isEntryOnly {
            transfer(layout.restorePlaces, load: true)
            leave { $0.assembler.b($0.values.relocatedEntry) }
        } else {
            callAndReturn()
        }
        finishLiterals()
        return ARM64ImageTemplate(
            assembler: assembler, values: values, unwind: frame.finish(atEntry: ARM64.callFrameAtEntry),
            callsFunction: !lists.isEntryOnly)
    }

    // MARK: The frame

    private mutating func moveStackPointer(by bytes: Int) {
        for part in [UInt32(bytes.magnitude) & 0xfff, UInt32(bytes.magnitude) & ~0xfff] where part != 0 {
            if bytes > 0 {
                assembler.sub(.sp, .sp, immediate: part)
                depth += Int(part)
            } else {
                assembler.add(.sp, .sp, immediate: part)
                depth -= Int(part)
            }
            frame.advance(to: assembler.offset)
            frame.defineCFA(offset: depth)
        }
    }

    private mutating func enterFrame() {
        assembler.stp(.x29, .x30, .before(.sp, -ARM64FrameLayout.record))
        depth = ARM64FrameLayout.record
        frame.advance(to: assembler.offset)
        frame.defineCFA(offset: depth)
        frame.save(.x29, belowCFA: 16)
        frame.save(.x30, belowCFA: 8)
        assembler.mov(.x29, .sp)
        moveStackPointer(by: layout.size)
        if shape.isCounted { count(isReturn: false) }
        guard let first = lists.entry.first ?? lists.fmodRet.first ?? lists.exit.first else { return }
        var words = layout.saved
        for (word, location) in convention.arguments.enumerated() {
            let offset = layout.context + 8 * word
            switch location {
            case .register(let number): words.append((ARM64Register.allCases[number], offset))
            case .vector(let number): assembler.str(vector: UInt8(number), .sp, offset)
            case .stack(let word):
                load(.x16, callerWord: word)
                assembler.str(.x16, .at(.sp, offset))
            }
        }
        words.append((.zr, layout.returnValue))
        for index in 0..<layout.cookieCount { words.append((.zr, 8 * index)) }
        transfer(words.sorted { $0.offset < $1.offset }, load: false)
        let cookie = cookie(of: first)
        load(.x16, cookie)
        assembler.stp(.zr, .x16, .at(.sp, layout.offset(of: .tailCalls)))
        attachCookie = cookie
        load(.x16, .label(values.functionAddress))
        let firstMetadata = metadata(for: first)
        assembler.mov(.x17, immediate: firstMetadata)
        assembler.stp(.x16, .x17, .at(.sp, layout.offset(of: .functionIP)))
        metadata = firstMetadata
    }

    /// Back to the state at the function's entry, then what leaves.
    private mutating func leave(_ body: (inout ARM64ImageBuilder) -> Void) {
        frame.advance(to: assembler.offset)
        frame.rememberState()
        let inside = depth
        moveStackPointer(by: ARM64FrameLayout.record - depth)
        assembler.ldp(.x29, .x30, .after(.sp, ARM64FrameLayout.record))
        frame.advance(to: assembler.offset)
        frame.defineCFA(offset: 0)
        frame.restore(.x29)
        frame.restore(.x30)
        if let key = convention.returnAddressKey {
            // As at the entry the stack pointer is what it was signed with.
            if key == .a { assembler.autiasp() } else { assembler.autibsp() }
            frame.advance(to: assembler.offset)
            frame.negateReturnAddressState()
        }
        body(&self)
        frame.advance(to: assembler.offset)
        frame.restoreState()
        depth = inside
    }

    /// Loads or stores words, two at once where they lie beside each other.
    private mutating func transfer(_ words: [(register: ARM64Register, offset: Int)], load: Bool) {
        var index = 0
        while index < words.count {
            let (register, offset) = words[index]
            if index + 1 < words.count, words[index + 1].offset == offset + 8, offset <= 504 {
                let second = words[index + 1].register
                if load { assembler.ldp(register, second, .at(.sp, offset)) } else { assembler.stp(register, second, .at(.sp, offset)) }
                index += 2
            } else {
                if load { assembler.ldr(register, .at(.sp, offset)) } else { assembler.str(register, .at(.sp, offset)) }
                index += 1
            }
        }
    }

    // MARK: Literals

    private mutating func load(_ register: ARM64Register, _ literal: Literal) {
        if case .value(let value) = literal {
            assembler.mov(register, immediate: value)
            return
        }
        if let known = literals.first(where: { $0.value == literal }) {
            assembler.ldr(register, literal: known.place)
        } else {
            let place = assembler.makeLabel()
            literals.append((place, literal))
            assembler.ldr(register, literal: place)
        }
    }

    private mutating func finishLiterals() {
        if assembler.offset % 8 != 0 { assembler.nop() }
        for (place, value) in literals {
            assembler.bind(place)
            if case .label(let label) = value { assembler.emitAddress(of: label) }
        }
    }

    // MARK: Programs

    private func cookie(of link: TrampolineLink) -> Literal {
        lists.only == nil ? .value(link.attachCookie) : .label(values.cookie)
    }

    private func metadata(for link: TrampolineLink, isReturn: Bool = false) -> UInt64 {
        ContextLayout.metadata(
            arguments: convention.arguments.count, cookieDepth: layout.cookieDepth(of: link), isReturn: isReturn)
    }

    /// Calls a program, after making those words right that may still be another program's.
    private mutating func run(_ link: TrampolineLink, isReturn: Bool = false) {
        let wanted = metadata(for: link, isReturn: isReturn)
        if metadata != wanted {
            assembler.mov(.x16, immediate: wanted)
            assembler.str(.x16, .at(.sp, layout.offset(of: .metadata)))
            metadata = wanted
        }
        let wantedCookie = cookie(of: link)
        if attachCookie != wantedCookie {
            load(.x16, wantedCookie)
            assembler.str(.x16, .at(.sp, layout.offset(of: .attachCookie)))
            attachCookie = wantedCookie
        }
        if link.usesTailCalls {
            if !tailCallsAreZero { assembler.str(.zr, .at(.sp, layout.offset(of: .tailCalls))) }
            tailCallsAreZero = false
        }
        assembler.add(.x0, .sp, immediate: UInt32(layout.context))
        call(link.programAddress)
    }

    /// Calls an address, however far away.
    private mutating func call(_ target: UInt64) {
        let distance = Int64(bitPattern: target &- address &- UInt64(assembler.offset))
        // Images of one template lie as near to each other.
        if distance.magnitude < ARM64.reach {
            assembler.bl(address: target)
        } else {
            assembler.mov(.x16, immediate: target)
            assembler.blr(.x16)
        }
    }

    /// Increments the counter of calls entered, or of those that returned, with the instructions that every processor has.
    private mutating func count(isReturn: Bool) {
        load(.x16, .label(values.counters))
        if isReturn { assembler.add(.x16, .x16, immediate: 8) }
        let again = assembler.here()
        assembler.ldxr(.x17, .x16, .relaxed)
        assembler.add(.x17, .x17, immediate: 1)
        assembler.stxr(failed: .x30, .x17, .x16, .relaxed)
        assembler.cb(zero: false, .x30, again, .word)
    }

    // MARK: The function

    /// Everything from the `fmod_ret` programs to the return.
    private mutating func callAndReturn() {
        let skip = assembler.makeLabel()
        let returned = assembler.makeLabel()
        for link in lists.fmodRet {
            run(link)
            assembler.cb(zero: false, .x0, skip)
        }
        transfer(layout.restorePlaces, load: true)
        let farWords = assembler.makeLabel()
        let wordsCopied = assembler.makeLabel()
        let mayCrossPage = convention.stackWords > 0 && !convention.stackWordsAreKnown
        moveStackPointer(by: layout.copySize)
        if mayCrossPage { jumpIfWordsCrossPage(to: farWords) }
        copyStackWords(convention.stackWords)
        assembler.bind(wordsCopied)
        if convention.takesFramePointer { assembler.ldr(.x29, .at(.x29)) }
        assembler.bl(values.relocatedEntry)
        moveStackPointer(by: -layout.copySize)
        assembler.bind(returned)
        if !lists.exit.isEmpty {
            transfer(layout.returned, load: false)
            switch convention.returnValue {
            case .register: assembler.str(.x0, .at(.sp, layout.returnValue))
            case .vector: assembler.str(vector: 0, .sp, layout.returnValue)
            case .none: break
            }
        }
        if shape.isCounted { count(isReturn: true) }
        // A skip may have come from after any of the fmod_ret programs.
        if !lists.fmodRet.isEmpty { attachCookie = nil }
        for link in lists.exit { run(link, isReturn: true) }
        transfer(layout.returned, load: true)
        leave { $0.assembler.ret() }

        if !lists.fmodRet.isEmpty {
            assembler.bind(skip)
            // A program's result takes the place of the function's: everything else is as it was at entry.
            if convention.returnValue == .vector { assembler.fmov(vector: 0, .x0) }
            transfer(layout.restorePlaces.filter { $0.register != .x0 }, load: true)
            assembler.b(returned)
        }
        if mayCrossPage, let safeCopy {
            assembler.bind(farWords)
            depth += layout.copySize
            frame.advance(to: assembler.offset)
            frame.defineCFA(offset: depth)
            copyFarStackWords(with: safeCopy)
            assembler.b(wordsCopied)
        }
    }

    // MARK: Stack arguments

    /// Up to here words are copied two by two, above in a loop.
    private static let unrolledWords = 16

    private mutating func load(_ register: ARM64Register, callerWord word: Int) {
        let offset = ARM64FrameLayout.record + 8 * word
        if ARM64Memory.isEncodable(offset: offset, .doubleword) {
            assembler.ldr(register, .at(.x29, offset))
        } else {
            assembler.mov(register, immediate: UInt64(offset))
            assembler.ldr(register, .indexed(.x29, register))
        }
    }

    private mutating func copyStackWords(_ words: Int) {
        if words > Self.unrolledWords {
            assembler.mov(.x16, immediate: UInt64(8 * words))
            copyBytes()
            return
        }
        for word in stride(from: 0, to: words - 1, by: 2) {
            assembler.ldp(.x16, .x17, .at(.x29, ARM64FrameLayout.record + 8 * word))
            assembler.stp(.x16, .x17, .at(.sp, 8 * word))
        }
        if words % 2 == 1 {
            load(.x16, callerWord: words - 1)
            assembler.str(.x16, .at(.sp, 8 * (words - 1)))
        }
    }

    /// As many bytes of the stack arguments as x16 says, not none.
    private mutating func copyBytes() {
        assembler.add(.x17, .x29, immediate: UInt32(ARM64FrameLayout.record))
        let next = assembler.here()
        assembler.sub(.x16, .x16, immediate: 8)
        assembler.ldr(.x30, .indexed(.x17, .x16))
        assembler.str(.x30, .indexed(.sp, .x16))
        assembler.cb(zero: false, .x16, next)
    }

    private static let page: UInt64 = 4096

    /// The frame record can be read; words on the same page can be, too, whatever the size of pages.
    private mutating func jumpIfWordsCrossPage(to label: ARM64Label) {
        // The last byte's page, beside the record's.
        assembler.add(.x16, .x29, immediate: UInt32(ARM64FrameLayout.record + 8 * convention.stackWords - 1))
        assembler.logical(.exclusiveOr, .x16, .x16, .x29)
        assembler.shift(.right, .x16, .x16, by: 12)
        assembler.cb(zero: false, .x16, label)
    }

    /// The words of the record's page directly, those of the next page by a routine that does not fault, zero for those that
    /// are not there. The registers are the function's already.
    private mutating func copyFarStackWords(with safeCopy: UInt64) {
        assembler.mov(.x16, immediate: UInt64(layout.copySize))
        let next = assembler.here()
        assembler.sub(.x16, .x16, immediate: 8)
        assembler.str(.zr, .indexed(.sp, .x16))
        assembler.cb(zero: false, .x16, next)
        // How many are on the record's page; none where that ends with it.
        assembler.add(.x16, .x29, immediate: UInt32(ARM64FrameLayout.record))
        assembler.neg(.x16, .x16)
        assembler.logical(.and, .x16, .x16, immediate: Self.page - 1)
        let kept = 8 * 20
        moveStackPointer(by: kept)
        var words: [(ARM64Register, Int)] = (0..<16).map { (ARM64Register.allCases[$0], 8 * $0) }
        words.append((.x16, 8 * 16))
        transfer(words, load: false)
        assembler.add(.x0, .sp, immediate: UInt32(kept))
        assembler.add(.x1, .x29, immediate: UInt32(ARM64FrameLayout.record))
        assembler.add(.x0, .x0, .x16)
        assembler.add(.x1, .x1, .x16)
        assembler.mov(.x2, immediate: UInt64(8 * convention.stackWords))
        assembler.sub(.x2, .x2, .x16)
        call(safeCopy)
        transfer(words, load: true)
        moveStackPointer(by: -kept)
        let done = assembler.makeLabel()
        assembler.cb(zero: true, .x16, done)
        copyBytes()
        assembler.bind(done)
    }
}
