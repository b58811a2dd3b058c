import BPF
import MachineCode

/// Writes the template of a trampoline.
///
/// The stack while programs run; `rbp` is the trampoline's own frame pointer. Every word is at a multiple
/// of 8 from it, and everything from `saved` to the cookies is made by pushing, from the top down:
///
///     rbp + 16 + 8i   callerStackWord(i): the i-th stack argument, in the caller's frame
///     rbp + 8         return address
///     rbp             the caller's rbp                                                       <- rbp
///                     saved: rax, r10, r11, and those integer registers that no ctx word holds and a program
///                     may change
///     returnValue     ctx[n]
///     argument(i)     ctx[n - 1] … ctx[0]                               programs get &ctx[0]
///     metadata        ctx[-1], as `ContextLayout` has it, and what follows, too
///     functionIP      ctx[-2]
///     attachCookie    ctx[-3]
///     tailCalls       ctx[-4]
///     cookie(i)       ctx[-5], ctx[-6], …: one for each session that uses it
///                     (0 or 8 bytes)                                          <- rbp - programFrameSize
///
/// and while the function runs:
///
///                     (0 or 8 bytes)
///     copiedWord(i)   copy of callerStackWord(i); word 0 is the lowest              <- rbp - frameSize
///
/// and while exit programs run, below that:
///
///                     returned: of rax rcx rdx rsi rdi r8 r9 r10 r11, as the function left them, those that a
///                     program or a counter may change
///                     (0 or 8 bytes)
///
/// Both sizes are multiples of 16: the function finds its stack as far from a multiple of 16 as the caller left
/// it, and so do programs, but for those that ask for an aligned stack. The stack pointer is moved by constants
/// and `rbp` is read for addresses only, so that neither waits for a word on its way through memory.
///
/// ctx words that hold an integer register are also the place from which it is restored for the function.
struct X86_64ImageBuilder {
    private let shape: ImageShape
    private var lists: TrampolineLists { shape.lists }
    private var convention: CallingConvention { shape.convention }
    /// What distances are measured with.
    let sample: ImageValues
    let lanes: CallCounters.Lanes?
    private let safeCopy: UInt64?
    let address: UInt64
    private let layout: X86_64FrameLayout

    var assembler = X86_64Assembler()
    var counts: [Count] = []
    private var frame = CallFrameBuilder()
    /// What the words that differ between programs hold now; nil: not known.
    private var metadata: UInt64?
    private var attachCookie: Cookie?
    private var tailCallsAreZero = true

    // What is filled in for each function: the values of `ImageValues`.
    private let functionAddress: X86_64Label
    private let relocatedEntry: X86_64Label
    private let cookie: X86_64Label
    let counter: X86_64Label

    init(
        _ shape: ImageShape, _ sample: ImageValues, lanes: CallCounters.Lanes?, safeCopy: UInt64?, at address: UInt64
    ) {
        self.shape = shape
        self.sample = sample
        self.lanes = lanes
        self.safeCopy = safeCopy
        self.address = address
        layout = X86_64FrameLayout(convention: shape.convention, lists: shape.lists)
        functionAddress = assembler.makeLabel()
        relocatedEntry = assembler.makeLabel()
        cookie = assembler.makeLabel()
        counter = assembler.makeLabel()
    }

    /// A link's cookie: filled in where the link is the only one.
    private enum Cookie: Equatable {
        case value(UInt64)
        case filledIn
    }

    mutating func build() throws(TrampolineError) -> X86_64ImageTemplate {
        enterFrame()
        for link in lists.entry { run(link) }
        if lists.isEntryOnly {
            restoreArguments(includingRax: true)
            frame.advance(to: assembler.offset)
            frame.rememberState()
            leave(from: layout.entryDepth)
            frame.advance(to: assembler.offset)
            frame.defineCFA(.rsp, offset: 8)
            frame.restore(.rbp)
            assembler.jmp(relocatedEntry)
            frame.advance(to: assembler.offset)
            frame.restoreState()
        } else {
            callAndReturn()
        }
        finishCounts()
        let code: X86_64Template
        do {
            code = try assembler.template(externals: [functionAddress, relocatedEntry, cookie, counter])
        } catch {
            throw TrampolineError(error)
        }
        return X86_64ImageTemplate(template: code, unwind: frame.finish(atEntry: X86_64.callFrameAtEntry), callsFunction: !lists.isEntryOnly)
    }

    // MARK: Entry

    /// Makes the frame and fills it, up to the cookies.
    private mutating func enterFrame() {
        assembler.push(.rbp)
        frame.advance(to: assembler.offset)
        frame.defineCFA(offset: 16)
        frame.save(.rbp, belowCFA: 16)
        assembler.mov(.rbp, .rsp)
        frame.advance(to: assembler.offset)
        frame.defineCFA(.rbp, offset: 16)

        for register in layout.saved { assembler.push(register) }
        if shape.isCounted { count(isReturn: false) }
        assembler.push(immediate: 0)  // returnValue
        for location in convention.arguments.reversed() {
            switch location {
            case .register(let number):
                assembler.push(X86_64FrameLayout.argumentRegisters[number])
            case .vector(let number):
                assembler.movq(.rax, X86_64VectorRegister(UInt8(number)))
                assembler.push(.rax)
            case .stack(let word):
                assembler.push(.at(.rbp, X86_64FrameLayout.callerStackWord(word)))
            }
        }
        guard let first = lists.entry.first ?? lists.fmodRet.first ?? lists.exit.first else {
            // Nothing below counts on other words when there is no program.
            if !convention.keepsFrame {
                assembler.push(immediate: 0)
                pushFunctionAddress()
            }
            return
        }
        let firstMetadata = metadata(for: first)
        assembler.push(immediate: Int32(firstMetadata))
        metadata = firstMetadata
        pushFunctionAddress()
        push(cookie(of: first))
        attachCookie = cookie(of: first)
        assembler.push(immediate: 0)  // tailCalls
        for _ in 0..<layout.cookieCount { assembler.push(immediate: 0) }
        moveStackPointer(by: layout.contextBottom + layout.programFrameSize)
        if layout.alignsStack { assembler.alu(.and, .rsp, immediate: -16) }
    }

    /// Down for positive numbers. The flags may be lost.
    private mutating func moveStackPointer(by bytes: Int32) {
        if bytes > 0 { assembler.alu(.sub, .rsp, immediate: bytes) }
        if bytes < 0 { assembler.alu(.add, .rsp, immediate: -bytes) }
    }

    /// From `rsp = rbp - size` to the state at the function's entry.
    private mutating func leave(from size: Int32) {
        if layout.alignsStack {
            assembler.leave()
        } else {
            moveStackPointer(by: -size)
            assembler.pop(.rbp)
        }
    }

    private mutating func pushFunctionAddress() {
        if shape.hasShortAddress {
            assembler.push(valueOf: functionAddress)
        } else {
            assembler.mov64(.rax, addressOf: functionAddress)
            assembler.push(.rax)
        }
    }

    private func cookie(of link: TrampolineLink) -> Cookie {
        lists.only == nil ? .value(link.attachCookie) : .filledIn
    }

    private mutating func push(_ value: Cookie) {
        switch value {
        case .filledIn where shape.hasShortCookie:
            assembler.push(valueOf: cookie)
        case .filledIn:
            assembler.mov64(.rax, addressOf: cookie)
            assembler.push(.rax)
        case .value(let value):
            if let short = Int32(exactly: Int64(bitPattern: value)) {
                assembler.push(immediate: short)
            } else {
                assembler.mov64(.rax, value)
                assembler.push(.rax)
            }
        }
    }

    // MARK: Programs

    private func metadata(for link: TrampolineLink, isReturn: Bool = false) -> UInt64 {
        ContextLayout.metadata(
            arguments: convention.arguments.count, cookieDepth: layout.cookieDepth(of: link), isReturn: isReturn)
    }

    /// Writes a whole word: programs load it whole, and a load cannot be served from two stores that are
    /// still on their way, which costs as much as the rest of a trampoline.
    private mutating func store(_ value: UInt64, at offset: Int32) {
        if let short = Int32(exactly: Int64(bitPattern: value)) {
            assembler.mov(.at(.rbp, offset), immediate: short)
        } else {
            assembler.mov64(.rax, value)
            assembler.mov(.at(.rbp, offset), .rax)
        }
    }

    /// Calls a program, after making those words right that may still be another program's.
    private mutating func run(_ link: TrampolineLink, isReturn: Bool = false) {
        let wanted = metadata(for: link, isReturn: isReturn)
        if metadata != wanted {
            store(wanted, at: layout.offset(of: .metadata))
            metadata = wanted
        }
        let wantedCookie = cookie(of: link)
        if attachCookie != wantedCookie {
            switch wantedCookie {
            case .value(let value): store(value, at: layout.offset(of: .attachCookie))
            case .filledIn where shape.hasShortCookie:
                assembler.mov(.at(.rbp, layout.offset(of: .attachCookie)), valueOf: cookie)
            case .filledIn:
                assembler.mov64(.rax, addressOf: cookie)
                assembler.mov(.at(.rbp, layout.offset(of: .attachCookie)), .rax)
            }
            attachCookie = wantedCookie
        }
        if link.usesTailCalls {
            if !tailCallsAreZero { assembler.mov(.at(.rbp, layout.offset(of: .tailCalls)), immediate: 0) }
            tailCallsAreZero = false
        }
        assembler.lea(.rdi, .at(.rbp, layout.context))
        call(link.programAddress)
    }

    /// Calls an address, however far away; rax is free.
    mutating func call(_ target: UInt64) {
        let end = address + UInt64(assembler.offset) + 5
        if Int32(exactly: Int64(bitPattern: target &- end)) != nil {
            assembler.call(address: target)
        } else {
            assembler.mov64(.rax, target)
            assembler.call(.rax)
        }
    }

    // MARK: The function

    /// Everything from the `fmod_ret` programs to the return.
    private mutating func callAndReturn() {
        let skip = assembler.makeLabel()
        let returned = assembler.makeLabel()
        for link in lists.fmodRet {
            run(link)
            assembler.test(.rax, .rax)
            assembler.jcc(.notEqual, skip)
        }

        let farWords = assembler.makeLabel()
        let wordsCopied = assembler.makeLabel()
        let mayCrossPage = convention.stackWords > 0 && !convention.stackWordsAreKnown
        if mayCrossPage { jumpIfWordsCrossPage(to: farWords) }
        copyStackWords()
        assembler.bind(wordsCopied)
        restoreArguments(includingRax: true)
        if convention.takesFramePointer { assembler.mov(.rbp, .at(.rbp)) }
        if !convention.keepsFrame {
            frame.advance(to: assembler.offset)
            frame.defineCFA(.rsp, offset: Int(layout.frameSize) + 16)
        }
        assembler.call(relocatedEntry)
        if !convention.keepsFrame {
            // A caller's frame is looked up by the call, not by what it returns to.
            frame.advance(to: assembler.offset)
            frame.defineCFA(.rbp, offset: 16)
        }

        let lost = assembler.makeLabel()
        let found = assembler.makeLabel()
        if convention.keepsFrame {
            assembler.bind(returned)
            for register in layout.returned { assembler.push(register) }
        } else {
            for register in layout.returned { assembler.push(register) }
            assembler.lea(.r11, .at(.rsp, -layout.returnedBottom))
            assembler.alu(.cmp, .r11, .rbp)
            assembler.jcc(.notEqual, lost)
            assembler.bind(found)
        }
        if !lists.exit.isEmpty { keepReturnValue() }
        if shape.isCounted { count(isReturn: true) }
        if !lists.exit.isEmpty { runExitPrograms() }
        for register in layout.returned.reversed() { assembler.pop(register) }
        frame.advance(to: assembler.offset)
        frame.rememberState()
        leave(from: layout.frameSize)
        frame.advance(to: assembler.offset)
        frame.defineCFA(.rsp, offset: 8)
        frame.restore(.rbp)
        assembler.ret()
        frame.advance(to: assembler.offset)
        frame.restoreState()

        if !lists.fmodRet.isEmpty {
            assembler.bind(skip)
            skipFunction(to: convention.keepsFrame ? returned : found)
        }
        if !convention.keepsFrame {
            assembler.bind(lost)
            findFrame()
            assembler.jmp(found)
        }
        if mayCrossPage, let safeCopy {
            assembler.bind(farWords)
            copyFarStackWords(with: safeCopy)
            assembler.jmp(wordsCopied)
        }
    }

    /// Behind a function that has not kept `rbp`, or has taken words off its caller's stack; r11 is where the frame is if
    /// it has not taken any, and the registers that the function left have been pushed.
    ///
    ///     r11 + 8         the return address, when we leave     │ moved there by as many words
    ///     r11             the function's rbp                    │ as the function took
    private mutating func findFrame() {
        let taken = assembler.makeLabel()
        let moved = assembler.makeLabel()
        assembler.cmp(.at(.r11, layout.offset(of: .functionIP)), lowHalfOf: functionAddress)
        assembler.jcc(.notEqual, taken)
        assembler.mov(.at(.r11), .rbp)
        assembler.mov(.rbp, .r11)
        assembler.jmp(moved)

        // The frame is lower by as many words as were taken: as many as there are copies, at most.
        assembler.bind(taken)
        assembler.mov(.r10, .r11)
        assembler.mov(.rax, immediate: UInt64(max(convention.stackWords, 1)))
        let next = assembler.here()
        let here = assembler.makeLabel()
        assembler.lea(.r10, .at(.r10, -8))
        assembler.cmp(.at(.r10, layout.offset(of: .functionIP)), lowHalfOf: functionAddress)
        assembler.jcc(.equal, here)
        assembler.dec(.rax, .dword)
        assembler.jcc(.notEqual, next)
        assembler.emit([0x0F, 0x0B])  // ud2: there is nowhere to go from here

        assembler.bind(here)
        let kept = assembler.makeLabel()
        assembler.mov(.rax, .at(.r10, 8))
        assembler.alu(.cmp, .rbp, .r10)
        assembler.jcc(.notEqual, kept)
        assembler.mov(.rbp, .at(.r10))
        assembler.bind(kept)
        assembler.mov(.at(.r11, 8), .rax)
        assembler.mov(.at(.r11), .rbp)
        assembler.mov(.rbp, .r10)
        // rax was pushed first.
        assembler.mov(.rax, .at(.rsp, Int32(8 * (layout.returned.count - 1))))
        assembler.bind(moved)
    }

    private mutating func keepReturnValue() {
        switch convention.returnValue {
        case .register:
            assembler.mov(.at(.rbp, layout.returnValue), .rax)
        case .vector:
            assembler.movq(.at(.rbp, layout.returnValue), X86_64VectorRegister(0))
        case .none:
            break
        }
    }

    private mutating func runExitPrograms() {
        // A skip may have come from after any of the fmod_ret programs.
        if !lists.fmodRet.isEmpty { attachCookie = nil }
        if layout.alignsStack {
            // The stack pointer cannot be told from rbp when the function has taken words off the stack.
            assembler.mov(.r11, .rsp)
            moveStackPointer(by: 16)
            assembler.alu(.and, .rsp, immediate: -16)
            assembler.mov(.at(.rsp), .r11)
            for link in lists.exit { run(link, isReturn: true) }
            assembler.mov(.rsp, .at(.rsp))
            return
        }
        let padding = Int32(layout.returned.count % 2 * 8)
        moveStackPointer(by: padding)
        for link in lists.exit { run(link, isReturn: true) }
        moveStackPointer(by: -padding)
    }

    /// A program's result in rax takes the place of the function's: everything else is as it was at entry.
    private mutating func skipFunction(to returned: X86_64Label) {
        if convention.returnValue == .vector { assembler.movq(X86_64VectorRegister(0), .rax) }
        assembler.lea(.rsp, .at(.rbp, -layout.frameSize))
        restoreArguments(includingRax: false)
        // Where a frame had to be found these are pushed already.
        if !convention.keepsFrame { for register in layout.returned { assembler.push(register) } }
        assembler.jmp(returned)
    }

    /// Gives the function the registers that its caller gave us.
    private mutating func restoreArguments(includingRax: Bool) {
        for (register, offset) in layout.restorePlaces where includingRax || register != .rax {
            assembler.mov(register, .at(.rbp, offset))
        }
    }

    // MARK: Stack arguments

    /// Up to here words are pushed one by one, above in a loop.
    private static let unrolledWords = 16

    private mutating func copyStackWords() {
        let words = convention.stackWords
        let top = layout.frameSize - Int32(8 * words)
        if layout.alignsStack {
            assembler.lea(.rsp, .at(.rbp, -top))
        } else {
            moveStackPointer(by: top - layout.entryDepth)
        }
        if words <= Self.unrolledWords {
            for word in (0..<words).reversed() {
                assembler.push(.at(.rbp, X86_64FrameLayout.callerStackWord(word)))
            }
        } else {
            assembler.mov(.rax, immediate: UInt64(words))
            let next = assembler.here()
            assembler.push(.at(.rbp, index: .rax, scale: 8, X86_64FrameLayout.callerStackWord(-1)))
            assembler.dec(.rax, .dword)
            assembler.jcc(.notEqual, next, .short)
        }
    }

    /// The return address can be read; words on the same page can be, too.
    private mutating func jumpIfWordsCrossPage(to label: X86_64Label) {
        assembler.lea(.rax, .at(.rbp, X86_64FrameLayout.returnAddress), .dword)
        assembler.alu(.and, .rax, immediate: 4095, .dword)
        assembler.alu(.cmp, .rax, immediate: Int32(4096 - 8 - 8 * convention.stackWords), .dword)
        assembler.jcc(.above, label)
    }

    /// The words of the return address's page directly, those of the next page by a routine that does
    /// not fault, zero for those that are not there.
    private mutating func copyFarStackWords(with safeCopy: UInt64) {
        let bytes = UInt64(8 * convention.stackWords)
        assembler.lea(.rsp, .at(.rbp, -layout.frameSize))
        assembler.mov(.rdi, .rsp)
        assembler.mov(.rcx, immediate: bytes)
        assembler.alu(.xor, .rax, .rax, .dword)
        assembler.emit([0xF3, 0xAA])  // rep stosb
        assembler.mov(.rdi, .rsp)
        assembler.lea(.rsi, .at(.rbp, X86_64FrameLayout.callerStackWord(0)))
        assembler.mov(.rcx, .rsi, .dword)
        assembler.neg(.rcx, .dword)
        assembler.alu(.and, .rcx, immediate: 4095, .dword)
        assembler.mov(.rdx, immediate: bytes)
        assembler.alu(.sub, .rdx, .rcx, .dword)
        assembler.emit([0xF3, 0xA4])  // rep movsb
        assembler.alu(.and, .rsp, immediate: -16)
        call(safeCopy)
        assembler.lea(.rsp, .at(.rbp, -layout.frameSize))
    }
}
