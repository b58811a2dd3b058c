import BPF
import TestSupport
import Testing

@Suite("Kernel log syntax")
struct TextTests {
    @Test(
        "each instruction is written as the kernel's log writes it, and read back",
        arguments: [
            (Instruction.move(.r0, 0), "r0 = 0"),
            (.move32(.r1, .r2), "w1 = w2"),
            (.move(.r1, -5), "r1 = -5"),
            (.load(.u64, into: .r1, from: .r10, offset: -8), "r1 = *(u64 *)(r10 -8)"),
            (.load(.s8, into: .r1, from: .r2), "r1 = *(s8 *)(r2 +0)"),
            (.store(.u32, .r3, to: .r10, offset: -4), "*(u32 *)(r10 -4) = r3"),
            (.store(.u8, 7, to: .r1, offset: 2), "*(u8 *)(r1 +2) = 7"),
            (.branch(.signedGreater, .r1, 5, 3), "if r1 s> 0x5 goto pc+3"),
            (.branch(.less, .bits32, .r1, .register(.r2), -3), "if w1 < w2 goto pc-3"),
            (.branch(.anyBitSet, .r1, -1, 0), "if r1 & 0xffffffff goto pc+0"),
            (.jump(-4), "goto pc-4"),
            (.jumpLong(7), "gotol pc+7"),
            (.call(.mapLookupElem), "call bpf_map_lookup_elem#1"),
            (.call(.helper(999)), "call unknown#999"),
            (.call(.subprogram(5)), "call pc+5"),
            (.call(.external(2)), "call kernel-function#2"),
            (.exit, "exit"),
            (.atomic(.add, base: .r1, .r2), "lock *(u64 *)(r1 +0) += r2"),
            (.atomic(.xor, .bits32, base: .r1, offset: 4, .r2), "lock *(u32 *)(r1 +4) ^= r2"),
            (.atomic(.fetchAdd, base: .r1, .r0), "r0 = atomic64_fetch_add((u64 *)(r1 +0), r0)"),
            (.atomic(.fetchOr, .bits32, base: .r1, .r3), "r3 = atomic_fetch_or((u32 *)(r1 +0), r3)"),
            (.atomic(.exchange, base: .r1, .r3), "r3 = atomic64_xchg((u64 *)(r1 +0), r3)"),
            (.atomic(.compareExchange, base: .r1, .r3), "r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r3)"),
            (.moveSigned(.r1, .r2, from: 8), "r1 = (s8)r2"),
            (.moveSigned(.bits32, .r1, .r2, from: 16), "w1 = (s16)w2"),
            (.byteOrder(.swap, bits: 16, .r1), "r1 = bswap16 r1"),
            (.byteOrder(.toBig, bits: 64, .r1), "r1 = be64 r1"),
            (.byteOrder(.toLittle, bits: 32, .r1), "r1 = le32 r1"),
            (.negate(.r1), "r1 = -r1"),
            (.negate(.bits32, .r1), "w1 = -w1"),
            (.add(.r1, .r2), "r1 += r2"),
            (.arithmetic(.divideSigned, .bits64, .r1, .register(.r2)), "r1 s/= r2"),
            (.arithmetic(.moduloSigned, .bits32, .r1, .immediate(-3)), "w1 s%= -3"),
            (.arithmetic(.shiftRightArithmetic, .bits64, .r1, .immediate(3)), "r1 s>>= 3"),
            (.shiftLeft(.r1, 3), "r1 <<= 3"),
        ] as [(Instruction, String)])
    func forms(_ instruction: Instruction, _ text: String) throws {
        #expect(Disassembler().text([instruction]) == text + "\n")
        #expect(try Assembler.assemble(text) == [instruction])
    }

    @Test("the instructions of two slots are one line")
    func wideForms() throws {
        let cases: [([Instruction], String)] = [
            (Instruction.loadImmediate(.r1, 0x1_0000_0002), "r1 = 0x100000002"),
            (Instruction.loadMap(.r1, index: 3), "r1 = map[idx:3]"),
            (Instruction.loadMapValue(.r1, index: 3, offset: 8), "r1 = map[idx:3]+8"),
            (Instruction.loadImmediate(.mapDescriptor, .r1, first: 3), "r1 = map[id:3]"),
            (Instruction.loadImmediate(.mapDescriptorValue, .r1, first: 3, second: 4), "r1 = map[id:3][0]+4"),
            (Instruction.loadImmediate(.variable, .r1, first: 2), "r1 = ksym[2]"),
            (Instruction.loadImmediate(.function, .r2, first: -7), "r2 = subprog[-7]"),
        ]
        for (slots, text) in cases {
            #expect(Disassembler().text(slots) == text + "\n")
            #expect(try Assembler.assemble(text) == slots)
        }
        let named = Disassembler(mapName: { $0 == 3 ? "events" : nil }, externName: { _ in "bpf_session_cookie" })
        #expect(named.text(Instruction.loadMap(.r1, index: 3)) == "r1 = map[events]\n")
        #expect(named.text([.call(.external(1))]) == "call bpf_session_cookie#1\n")
    }

    @Test("whatever the disassembler writes, the assembler reads back exactly")
    func roundTrip() throws {
        var generator = SeededGenerator(state: 3)
        for round in 0..<2_000 {
            let program = (0..<39).flatMap { generator.operation(kind: round + $0).instructions }
            #expect(try Assembler.assemble(Disassembler().text(program)) == program)
        }
    }

    @Test("slots that are no instructions survive the round trip too")
    func hostileRoundTrip() throws {
        var generator = SeededGenerator(state: 4)
        for _ in 0..<500 {
            let program = (0..<20).map { _ in Instruction(encoded: generator.next()) }
            #expect(try Assembler.assemble(Disassembler().text(program)) == program)
        }
    }

    @Test("labels, comments and the log's prefixes")
    func conveniences() throws {
        let program = try Assembler.assemble(
            """
            ; int f(void *ctx)
            0: (b7) r0 = 1
            1: r2 = 5 ll
            again:  // counts up
                r0 += 1
                if r0 < 0x10 goto again
                call double
                call bpf_ktime_get_ns
                r3 = subprog[double]
                goto done
            done: exit
            double:
                r0 += r0
                exit
            """)
        var expected: [Instruction] = [.move(.r0, 1)]
        expected += Instruction.loadImmediate(.r2, 5)
        expected += [.add(.r0, 1), .branch(.less, .r0, 16, -2), .call(.subprogram(5)), .call(.ktimeGetNs)]
        expected += Instruction.loadImmediate(.function, .r3, first: 3)
        expected += [.jump(0), .exit, .add(.r0, .r0), .exit]
        #expect(program == expected)
    }

    @Test(
        "errors name the line and what is wrong with it",
        arguments: [
            ("r0 = ", "line 1: expected a register or a number at the end"),
            ("exit\nr11 = 1", "line 2: 'r11' is no instruction"),
            ("r0 = w1", "line 1: both registers have the same width"),
            ("r0 = -r1", "line 1: a negation keeps its register"),
            ("goto nowhere", "line 1: there is no label 'nowhere'"),
            ("a:\na:\nexit", "line 2: the label 'a' is there twice"),
            ("r0 = 1 2", "line 1: unexpected '2'"),
            ("r0 += 4294967296", "line 1: 4294967296 does not fit 32 bits"),
            ("r0 = *(u64 *)(r1 +40000)", "line 1: the offset 40000 does not fit 16 bits"),
            ("call bpf_loop#1", "line 1: the helper 1 is not bpf_loop"),
            ("r0 = atomic64_xchg((u64 *)(r1 +0), r2)", "line 1: atomic64_xchg returns in the register of its operand"),
            ("lock *(u16 *)(r1 +0) += r2", "line 1: atomics work on u32 and u64"),
            ("frobnicate", "line 1: 'frobnicate' is no instruction"),
        ])
    func errors(_ text: String, _ message: String) {
        #expect { try Assembler.assemble(text) } throws: { "\($0)" == message }
    }

    @Test("mutated text never crashes the assembler")
    func mutatedText() {
        var generator = SeededGenerator(state: 5)
        let source = Array(
            Disassembler().text((0..<26).flatMap { generator.operation(kind: $0).instructions }).utf8)
        for _ in 0..<20_000 {
            var text = source
            for _ in 0..<3 { text[Int(generator.next() % UInt64(text.count))] = UInt8(generator.next() & 0x7f) }
            _ = try? Assembler.assemble(String(decoding: text, as: UTF8.self))
        }
    }
}
