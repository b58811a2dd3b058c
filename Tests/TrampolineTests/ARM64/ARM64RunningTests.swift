import Foundation
import MachineCode
import Testing
import Trampoline

/// Functions with their trampolines, run by an emulator of the processor: each is called as it is, and as it is traced, and
/// must leave the same registers and the same memory.
@Suite("arm64 trampolines, run", .enabled(if: ARM64Caller.isAvailable, "qemu-aarch64-static or clang is missing"))
struct ARM64RunningTests {
    /// What a program notes of the calls that it sees.
    private struct Notes {
        let words: [UInt64]
        var entries: UInt64 { words[0] }
        var exits: UInt64 { words[1] }
        var metadata: UInt64 { words[2] }
        var functionIP: UInt64 { words[3] }
        var attachCookie: UInt64 { words[4] }
        var tailCalls: UInt64 { words[5] }
        var cookieAtEntry: UInt64 { words[6] }
        var returnAtExit: UInt64 { words[7] }
        var metadataAtExit: UInt64 { words[8] }
        var cookieAtExit: UInt64 { words[9] }
        var attachCookieAtExit: UInt64 { words[10] }
        func context(_ count: Int) -> [UInt64] { Array(words[16..<16 + count]) }
        func contextAtExit(_ count: Int) -> [UInt64] { Array(words[80..<80 + count]) }
        static let size = 144 * 8
    }

    /// A session program that writes `Notes`, changes whatever a program may change, and returns a number.
    private static func program(notes: UInt64, returning result: Int = 0) throws -> [UInt8] {
        let text = """
            bti c
            ldr x9, 9f
            ldur x10, [x0, #-8]
            and x12, x10, #0xff
            mov x13, #0
            tbnz x10, #63, 2f
            ldr x11, [x9]
            add x11, x11, #1
            str x11, [x9]
            str x10, [x9, #16]
            ldur x11, [x0, #-16]
            str x11, [x9, #24]
            ldur x11, [x0, #-24]
            str x11, [x9, #32]
            ldur x11, [x0, #-32]
            str x11, [x9, #40]
            ubfx x14, x10, #8, #8
            neg x14, x14
            ldr x11, [x0, x14, lsl #3]
            str x11, [x9, #48]
            ubfx x15, x10, #8, #8
            cmp x15, #5
            b.lo 4f
            add x11, x11, #0x123
            str x11, [x0, x14, lsl #3]
            4: add x9, x9, #128
            b 3f
            2: ldr x11, [x9, #8]
            add x11, x11, #1
            str x11, [x9, #8]
            ldr x11, [x0, x12, lsl #3]
            str x11, [x9, #56]
            str x10, [x9, #64]
            ubfx x14, x10, #8, #8
            neg x14, x14
            ldr x11, [x0, x14, lsl #3]
            str x11, [x9, #72]
            ldur x11, [x0, #-24]
            str x11, [x9, #80]
            add x9, x9, #640
            3: ldr x11, [x0, x13, lsl #3]
            str x11, [x9, x13, lsl #3]
            cmp x13, x12
            add x13, x13, #1
            b.ne 3b
            .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17
            mov x\\n, #-\\n - 3
            .endr
            mov x0, #\(result)
            ret
            .balign 8
            9: .quad 0
            """
        let code = try ARM64Text.assemble(text.split(separator: "\n").map(String.init))
        return code.dropLast(8) + (0..<8).map { UInt8(truncatingIfNeeded: notes >> UInt64($0 * 8)) }
    }

    /// A function and how it is called.
    private struct Case {
        var name: String
        var lines: [String]
        var convention: CallingConvention
        var memory: UInt64 = 0
    }

    private static let arguments: [UInt64] = (0..<16).map { 0x1111_2222_3333_0000 + UInt64($0) * 0x101 }
    private static let vectors: [UInt64] = (0..<8).map { (Double($0) + 1.5).bitPattern }
    private static let words: [UInt64] = (0..<UInt64(ARM64Caller.stackWords)).map { 0x5555_0000_0000 + $0 * 7 }

    private static func integers(_ count: Int, stack: Int = 0, known: Bool = true) -> CallingConvention {
        CallingConvention(
            arguments: (0..<count).map { .register($0) } + (0..<stack).map { .stack($0) }, stackWords: stack, stackWordsAreKnown: known)
    }

    private static let cases: [Case] = [
        Case(name: "a leaf", lines: ["add x0, x0, x1", "ret"], convention: integers(2)),
        Case(name: "ret alone", lines: ["ret"], convention: integers(0)),
        Case(name: "a NOP", lines: ["bti c", "nop", "eor x0, x0, x3", "ret"], convention: integers(4)),
        Case(
            name: "a frame, and a call",
            lines: [
                "bti c", "stp x29, x30, [sp, #-32]!", "mov x29, sp", "str x19, [sp, #16]", "mov x19, x2", "bl 1f", "add x0, x0, x19",
                "ldr x19, [sp, #16]", "ldp x29, x30, [sp], #32", "ret", "1: mul x0, x0, x1", "ret",
            ], convention: integers(3)),
        Case(
            name: "a signed return address",
            lines: [
                "paciasp", "stp x29, x30, [sp, #-16]!", "mov x29, sp", "mov x7, #5", "ldp x29, x30, [sp], #16", "autiasp", "ret",
            ], convention: integers(8)),
        Case(
            name: "one that is signed with the other key",
            lines: [
                "pacibsp", "str x30, [sp, #-16]!", "mov x1, #5", "ldr x30, [sp], #16", "autibsp", "ret",
            ], convention: integers(1)),
        Case(
            name: "checked by the return itself", lines: ["paciasp", "sub sp, sp, #64", "str x0, [sp]", "add sp, sp, #64", "retaa"],
            convention: integers(1)),
        Case(name: "signed behind the pad", lines: ["bti c", "paciasp", "mov x0, #3", "autiasp", "ret"], convention: integers(2)),
        Case(
            name: "signed, and nothing to move", lines: ["paciasp", "nop", "mov x0, #3", "autiasp", "ret"], convention: integers(2)),
        Case(
            name: "stack arguments",
            lines: [
                "bti c", "ldr x9, [sp]", "ldr x10, [sp, #8]", "ldr x11, [sp, #64]", "str x0, [sp, #16]", "add x0, x9, x10", "add x0, x0, x11",
                "ret",
            ], convention: integers(8, stack: 9)),
        Case(
            name: "many of them",
            lines: ["mov x2, #0", "1: ldr x3, [sp, x2, lsl #3]", "add x0, x0, x3", "add x2, x2, #1", "cmp x2, #40", "b.ne 1b", "ret"],
            convention: integers(2, stack: 40)),
        Case(
            name: "nobody knows how many", lines: ["bti c", "ldr x9, [sp]", "ldr x10, [sp, #96]", "add x0, x9, x10", "ret"],
            convention: {
                var convention = CallingConvention.unknown
                convention.arguments = (0..<8).map { .register($0) }
                convention.stackWords = 16
                convention.stackWordsAreKnown = false
                return convention
            }()),
        Case(
            name: "a result in memory", lines: ["bti c", "stp x0, x1, [x8]", "str x2, [x8, #16]", "ret"], convention: integers(3), memory: 24),
        Case(
            name: "results in many registers", lines: ["mov x8, #18"] + (0..<8).map { "mov x\($0), #\(100 + $0)" } + ["ret"],
            convention: integers(1)),
        Case(
            name: "floating point", lines: ["bti c", "fadd d0, d0, d7", "fmul d3, d1, d2", "ret"],
            convention: CallingConvention(
                arguments: [.vector(0), .register(0), .vector(7), .register(1)], returnValue: .vector)),
        Case(
            name: "a condition that holds", lines: ["bti c", "cbnz x0, 1f", "mov x0, #1", "ret", "1: mov x0, #2", "ret"],
            convention: integers(1)),
        Case(
            name: "a condition that does not", lines: ["bti c", "tbnz x0, #60, 1f", "mov x1, #1", "ret", "1: mov x0, #2", "2: ret"],
            convention: integers(1)),
        Case(
            name: "its own address", lines: ["adr x0, 1f", "1: adr x1, 1b", "sub x0, x0, x1", "mov x1, #0", "ret"],
            convention: integers(1)),
        Case(
            name: "its own page", lines: ["bti c", "adrp x0, #0x3000", "adr x1, #0", "and x1, x1, #~0xfff", "sub x0, x0, x1", "mov x1, #0", "ret"],
            convention: integers(1)),
        Case(
            name: "a word beside the code", lines: ["bti c", "ldr x0, 1f", "ret", ".balign 8", "1: .quad 0x123456789"],
            convention: integers(1)),
        Case(name: "a jump", lines: ["b 1f", "nop", "1: mov x0, #77", "ret"], convention: integers(1)),
    ]

    private func session(
        _ id: Int, _ program: UInt64, cookie: UInt64, usesCookie: Bool = true, kind: TrampolineProgramKind = .session
    ) -> TrampolineLink {
        TrampolineLink(id: id, programID: id, kind: kind, programAddress: program, attachCookie: cookie, usesCookie: usesCookie)
    }

    /// Registers and memory of a call.
    private struct State: Equatable, CustomStringConvertible {
        var x: [UInt64]
        var d: [UInt64]
        var memory: [UInt64]
        var description: String {
            "x \(x.map { String($0, radix: 16) }) d \(d.map { String($0, radix: 16) }) memory \(memory.map { String($0, radix: 16) })"
        }
    }

    /// A function twice, the second one traced.
    private struct Traced {
        var plain: ARM64Caller.Call
        var call: ARM64Caller.Call
        var function: UInt64
        var memories: (UInt64, UInt64)
        var notes: [UInt64]
        var counters: UInt64
    }

    /// Lays out a function as it is, and one with an image that runs programs of these kinds, the last one first.
    private func lay(
        _ test: Case, _ kinds: [TrampolineProgramKind], in caller: inout ARM64Caller, stack: Int = 0, result: Int = 0, cookies: [UInt64] = []
    ) throws -> Traced {
        let code = try ARM64Text.assemble(test.lines)
        let plain = caller.place(code, alignment: 4096)
        let function = caller.place(code, alignment: 4096)
        let memories = (caller.room(64), caller.room(64))
        let counters = caller.room(16)
        let safeCopy = caller.place(
            try ARM64Text.assemble([
                "bti c", "1: cbz x2, 2f", "ldrb w3, [x1], #1", "strb w3, [x0], #1", "sub x2, x2, #1", "b 1b",
                "2: .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "mov x\\n, #-\\n", ".endr", "ret",
            ]))
        var lists = TrampolineLists()
        var notes: [UInt64] = []
        for (index, kind) in kinds.enumerated() {
            notes.append(caller.room(Notes.size))
            let program = caller.place(try Self.program(notes: notes[index], returning: kind == .fmodRet ? result : 0))
            let cookie = cookies.isEmpty ? 0x1000_0000_0000 + UInt64(index) : cookies[index]
            try lists.link(session(index, program, cookie: cookie, usesCookie: index != 1, kind: kind))
        }
        let moved = try ARM64.displace(DisplacementRequest(function: CodeRange(address: function, bytes: code)), at: caller.next)
        if !moved.code.isEmpty { #expect(caller.place(moved.code) == moved.codeAddress) }
        var convention = test.convention
        convention.returnAddressKey = moved.returnAddressKey
        let address = caller.next
        let image = try ARM64.image(
            lists, function: FunctionEntry(address: function, relocatedEntry: moved.bodyEntry), convention: convention,
            counters: CallCounters(address: counters), safeCopy: safeCopy, at: address)
        #expect(caller.place(image.code) == address)
        let jump = try #require(ARM64.jump(from: moved.patch.address, to: address))
        caller.write(Array(jump), at: moved.patch.address)
        let hasPad = test.lines[0].hasPrefix("bti") || test.lines[0].hasPrefix("paci")
        func call(_ code: UInt64, _ memory: UInt64) throws -> ARM64Caller.Call {
            var x = Self.arguments
            if test.memory > 0 { x[8] = memory }
            var start = code
            if !hasPad {
                // The pages are guarded, and the caller goes through a register.
                let jump = try #require(ARM64.jump(from: caller.next + 4, to: code))
                start = caller.place(try ARM64Text.assemble(["bti c"]) + jump)
            }
            return .init(code: start, stackBelowPage: stack, words: Self.words, x: x, d: Self.vectors)
        }
        return Traced(
            plain: try call(plain, memories.0), call: try call(function, memories.1), function: function, memories: memories,
            notes: notes, counters: counters)
    }

    private func state(_ outcome: ARM64Caller.Outcome, _ memory: UInt64, _ test: Case, _ caller: ARM64Caller) -> State {
        var x = outcome.x
        if test.memory > 0 {
            #expect(x[8] == memory)
            x[8] = 0
        }
        return State(x: x, d: outcome.d, memory: caller.words(at: memory, 8))
    }

    private func argument(_ location: ArgumentLocation) -> UInt64 {
        switch location {
        case .register(let number): Self.arguments[number]
        case .vector(let number): Self.vectors[number]
        case .stack(let word): Self.words[word]
        }
    }

    /// Runs all functions as they are and with programs of these kinds, and compares what they leave.
    private func compare(
        _ kinds: [TrampolineProgramKind], stack: Int = 0, _ check: (Case, Traced, State, [Notes], _ counts: [UInt64]) -> Void
    ) throws {
        var caller = ARM64Caller()
        let traced = try Self.cases.map { try lay($0, kinds, in: &caller, stack: stack) }
        let outcomes = try caller.run(traced.flatMap { [$0.plain, $0.call] })
        for (index, (test, traced)) in zip(Self.cases, traced).enumerated() {
            let plain = state(outcomes[2 * index], traced.memories.0, test, caller)
            let after = state(outcomes[2 * index + 1], traced.memories.1, test, caller)
            #expect(after == plain, "\(test.name)")
            #expect(outcomes[2 * index].damage == 0 && outcomes[2 * index + 1].damage == 0, "\(test.name)")
            let notes = traced.notes.map { Notes(words: caller.words(at: $0, Notes.size / 8)) }
            check(test, traced, plain, notes, caller.words(at: traced.counters, 2))
        }
    }

    @Test("a session sees both ends of a call, which leaves what it would have left without it")
    func sessions() throws {
        try compare([.session]) { test, traced, plain, notes, counts in
            let count = test.convention.arguments.count
            let arguments = test.convention.arguments.map(argument)
            let note = notes[0]
            #expect(note.entries == 1 && note.exits == 1 && counts == [1, 1], "\(test.name)")
            #expect(note.metadata == UInt64(count) | 5 << 8 && note.metadataAtExit == note.metadata | 1 << 63, "\(test.name)")
            #expect(note.functionIP == traced.function && note.attachCookie == 0x1000_0000_0000 && note.tailCalls == 0, "\(test.name)")
            #expect(note.cookieAtEntry == 0 && note.cookieAtExit == 0x123, "\(test.name)")
            #expect(note.context(count + 1) == arguments + [0], "\(test.name)")
            let result = test.convention.returnValue == .vector ? plain.d[0] : plain.x[0]
            #expect(note.returnAtExit == result && note.contextAtExit(count + 1) == arguments + [result], "\(test.name)")
        }
    }

    @Test("several programs of one function have cookies of their own")
    func several() throws {
        try compare([.session, .session, .fexit, .fentry, .session]) { test, traced, plain, notes, counts in
            #expect(counts == [1, 1])
            #expect(notes.map(\.entries) == [1, 1, 0, 1, 1] && notes.map(\.exits) == [1, 1, 1, 0, 1], "\(test.name)")
            // The last one linked is the first one in the frame; the second one has no cookie.
            #expect([0, 4].allSatisfy { notes[$0].cookieAtEntry == 0 && notes[$0].cookieAtExit == 0x123 }, "\(test.name)")
            for (index, note) in notes.enumerated() where note.entries > 0 {
                #expect(note.attachCookie == 0x1000_0000_0000 + UInt64(index) && note.functionIP == traced.function, "\(test.name)")
            }
        }
    }

    @Test("with entry programs only, the trampoline jumps on")
    func entryOnly() throws {
        try compare([.fentry, .fentry]) { test, _, _, notes, counts in
            #expect(notes.allSatisfy { $0.entries == 1 && $0.exits == 0 } && counts == [1, 0], "\(test.name)")
        }
    }

    @Test("without programs it counts")
    func counting() throws {
        try compare([]) { test, _, _, _, counts in #expect(counts == [1, 0], "\(test.name)") }
    }

    @Test("an fmod_ret program that returns 0 lets the function run")
    func fmodRetOfNothing() throws {
        try compare([.fmodRet, .session]) { test, _, _, notes, counts in
            #expect(notes.map(\.entries) == [1, 1] && notes[1].exits == 1 && counts == [1, 1], "\(test.name)")
        }
    }

    @Test("an fmod_ret program that returns a number takes the function's place")
    func fmodRet() throws {
        var caller = ARM64Caller()
        let traced = try Self.cases.map { try lay($0, [.session, .fmodRet], in: &caller, result: 4711) }
        let outcomes = try caller.run(traced.map(\.call))
        for (index, test) in Self.cases.enumerated() {
            var x = traced[index].call.x
            x[0] = 4711
            #expect(outcomes[index].x == x && outcomes[index].damage == 0, "\(test.name)")
            let d = test.convention.returnValue == .vector ? [4711] + Self.vectors[1...] : Self.vectors
            #expect(outcomes[index].d == d, "\(test.name)")
            let note = Notes(words: caller.words(at: traced[index].notes[0], Notes.size / 8))
            #expect(note.exits == 1 && note.returnAtExit == 4711 && note.cookieAtExit == 0x123, "\(test.name)")
            #expect(caller.words(at: traced[index].memories.1, 8) == Array(repeating: 0, count: 8), "\(test.name)")
        }
    }

    @Test("the first fmod_ret program that returns a number is the last one, and exits have their own cookies then")
    func firstOfSeveral() throws {
        var caller = ARM64Caller()
        // The last one linked runs first.
        let traced = try Self.cases.map {
            try lay($0, [.session, .fmodRet, .fmodRet], in: &caller, result: 4711, cookies: [2, 2, 1])
        }
        let outcomes = try caller.run(traced.map(\.call))
        for (index, test) in Self.cases.enumerated() {
            let notes = traced[index].notes.map { Notes(words: caller.words(at: $0, Notes.size / 8)) }
            #expect(outcomes[index].x[0] == 4711 && notes.map(\.entries) == [1, 0, 1], "\(test.name)")
            #expect(notes[2].attachCookie == 1 && notes[0].attachCookie == 2 && notes[0].attachCookieAtExit == 2, "\(test.name)")
        }
    }

    @Test("a thunk gives a routine its fourth argument")
    func thunk() throws {
        var caller = ARM64Caller()
        let routine = caller.place(try ARM64Text.assemble(["bti c", "ret"]))
        let thunk = caller.place(ARM64.thunk(to: routine, fourthArgument: 0x1234_5678_9abc_def0))
        let call = ARM64Caller.Call(code: thunk, stackBelowPage: 0, words: Self.words, x: Self.arguments, d: Self.vectors)
        var x = Self.arguments
        x[3] = 0x1234_5678_9abc_def0
        let outcome = try caller.run([call])[0]
        #expect(outcome.x == x && outcome.d == Self.vectors && outcome.damage == 0)
    }

    @Test("stack words across the end of a page are copied, too", arguments: [0, 16, 32, 64, 112, 128, 144])
    func pages(_ below: Int) throws {
        try compare([.session], stack: below) { test, _, _, notes, _ in
            #expect(notes[0].entries == 1 && notes[0].exits == 1, "\(test.name)")
        }
    }

    @Test(
        "unwinders are told where the caller's stack is, and whether the return address is signed", arguments: [nil, .a, .b] as [ReturnAddressKey?])
    func unwinding(_ key: ReturnAddressKey?) throws {
        for (kinds, words) in [([.session], 0), ([.session], 40), ([.fentry], 0), ([.fmodRet, .session], 5)] as [([TrampolineProgramKind], Int)] {
            var lists = TrampolineLists()
            for (index, kind) in kinds.enumerated() { try lists.link(session(index, 0x40_3000, cookie: 0, kind: kind)) }
            var convention = Self.integers(2, stack: words)
            convention.returnAddressKey = key
            let image = try ARM64.image(
                lists, function: FunctionEntry(address: 0x40_0000, relocatedEntry: 0x40_0008), convention: convention, at: 0x40_1000)
            let rows = UnwindRows(image.unwind.description)
            // What the instructions do, as far as the end of what runs without a jump.
            var row = UnwindRows.Row(cfa: 0, isSigned: key != nil, saved: [:])
            for offset in stride(from: 0, to: image.code.count, by: 4) {
                #expect(rows.row(at: offset) == row, "\(kinds), at \(offset)")
                let word = (0..<4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32(image.code[offset + $1]) }
                let constant = Int(word >> 10 & 0xfff) << (word >> 22 & 1 == 1 ? 12 : 0)
                if word == 0xa9bf_7bfd {  // stp x29, x30, [sp, #-16]!
                    row = .init(cfa: 16, isSigned: row.isSigned, saved: [29: -16, 30: -8])
                } else if word == 0xa8c1_7bfd {  // ldp x29, x30, [sp], #16
                    row = .init(cfa: 0, isSigned: row.isSigned, saved: [:])
                } else if word & 0xff80_03ff == 0xd100_03ff {
                    row.cfa += constant
                } else if word & 0xff80_03ff == 0x9100_03ff {
                    row.cfa -= constant
                } else if word == 0xd503_23bf || word == 0xd503_23ff {
                    #expect(row.isSigned && row.cfa == 0)
                    row.isSigned = false
                } else if word == 0xd65f_03c0 || word >> 26 == 5 {  // ret, b
                    #expect(!row.isSigned && row.cfa == 0 && row.saved.isEmpty)
                    break
                }
            }
        }
    }

    @Test("a program that changes less has less kept, and more than 128 MiB away it is called through a register")
    func shapes() throws {
        func size(_ clobbers: RegisterSet, at program: UInt64 = 0x250_1000) throws -> Int {
            var lists = TrampolineLists()
            try lists.link(
                TrampolineLink(id: 1, programID: 1, kind: .session, programAddress: program, clobbers: clobbers, needsAlignedStack: false))
            let entry = FunctionEntry(address: 0x40_0000, relocatedEntry: 0x40_0008)
            return try ARM64.image(lists, function: entry, convention: Self.integers(2), at: 0x250_0000).code.count
        }
        let few = RegisterSet([ARM64Register.x0, .x7, .x9])
        #expect(try size(few) < size(.all))
        #expect(try size(few, at: 0x7fff_0000_0000) > size(few))
        let far = FunctionEntry(address: 0x40_0000, relocatedEntry: 0x40_0008)
        var lists = TrampolineLists()
        try lists.link(session(1, 0x7000_0000_1000, cookie: 0))
        #expect(throws: TrampolineError.self) {
            try ARM64.image(lists, function: far, convention: Self.integers(2), at: 0x7000_0000_0000)
        }
        #expect(throws: TrampolineError.safeCopyMissing) {
            try ARM64.image(lists, function: far, convention: .unknown, at: 0x40_1000)
        }
        #expect(throws: TrampolineError.badArgumentLocation(.register(8))) {
            try ARM64.image(lists, function: far, convention: Self.integers(9), at: 0x40_1000)
        }
    }
}

/// What call frame information says at each place.
private struct UnwindRows {
    struct Row: Equatable {
        /// From the stack pointer.
        var cfa: Int
        var isSigned: Bool
        /// Where registers are, from the CFA.
        var saved: [UInt8: Int]
    }

    private var rows: [(offset: Int, row: Row)] = []

    func row(at offset: Int) -> Row? { rows.last { $0.offset <= offset }?.row }

    init(_ unwind: UnwindDescription) {
        // Behind length, distance to the CIE, address and size.
        let bytes = Array(unwind.bytes[(unwind.offset + 24)...])
        var row = Row(cfa: 0, isSigned: false, saved: [:])
        var remembered: [Row] = []
        var offset = 0
        var index = 0
        func next() -> Int {
            defer { index += 1 }
            return Int(bytes[index])
        }
        func number() -> Int {
            var (value, shift) = (0, 0)
            while true {
                let byte = next()
                value |= (byte & 0x7f) << shift
                shift += 7
                if byte < 0x80 { return value }
            }
        }
        while index < bytes.count {
            let byte = next()
            var distance = 0
            switch byte {
            case 0x40...0x7f: distance = byte & 0x3f
            case 2: distance = next()
            case 3: distance = next() | next() << 8
            case 0x0e: row.cfa = number()
            case 0x80...0xbf: row.saved[UInt8(byte & 0x3f)] = -8 * number()
            case 0xc0...0xff: row.saved[UInt8(byte & 0x3f)] = nil
            case 0x0a: remembered.append(row)
            case 0x0b: row = remembered.popLast() ?? row
            case 0x2d: row.isSigned.toggle()
            case 0: break
            default: Issue.record("unknown instruction \(byte)")
            }
            if distance > 0 {
                rows.append((offset, row))
                offset += distance
            }
        }
        rows.append((offset, row))
    }
}
