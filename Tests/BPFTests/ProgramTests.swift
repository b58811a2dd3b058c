import BPF
import TestSupport
import Testing

@Suite("Programs")
struct ProgramTests {
    private func error(_ text: String) -> String? {
        do {
            _ = try ProgramStructure(Assembler.assemble(text))
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test(
        "malformed programs are refused by the instruction at fault",
        arguments: [
            ("", "the program has no instructions"),
            ("r0 = 0", "instruction 0: the function ends without exit or goto"),
            ("if r0 == 0x0 goto pc+1\nexit", "instruction 0: jumps to 2, which is outside the program"),
            ("goto pc-2", "instruction 0: jumps to -1, which is outside the program"),
            ("gotol pc+2147483647", "instruction 0: jumps to 2147483648, which is outside the program"),
            ("goto pc+1\nr0 = 0x5\nexit", "instruction 0: jumps to 2, the second half of a 64-bit immediate"),
            ("r0 = 0x1\ncall pc-2\nexit", "instruction 2: calls 1, where no instruction starts"),
            ("call pc+7\nexit", "instruction 0: calls 8, where no instruction starts"),
            ("call f\ngoto inside\nf:\nr0 = 1\ninside: exit", "instruction 1: jumps to 3, which belongs to another function"),
            ("call f\nr0 = 0\nf:\nexit", "instruction 1: the function ends without exit or goto"),
            ("r0 = *(u64 *)(r10 +0)\nexit", "instruction 0: r10+0 is outside the 512 bytes of stack"),
            ("r0 = *(u64 *)(r10 -4)\nexit", "instruction 0: r10-4 is outside the 512 bytes of stack"),
            ("r0 = *(u8 *)(r10 -513)\nexit", "instruction 0: r10-513 is outside the 512 bytes of stack"),
            (".quad 0xffffffffffffffff\nexit", "instruction 0: register r15 does not exist"),
            (".quad 0x18", "instruction 0: the second slot of the 64-bit immediate is missing or not empty"),
            (".quad 0x10018\nexit\nexit", "instruction 0: the reserved offset field is set"),
        ])
    func malformed(_ text: String, _ message: String) { #expect(error(text) == message) }

    @Test("a program of more than a million slots is refused")
    func tooLong() {
        let program = [Instruction](repeating: .move(.r0, 0), count: ProgramStructure.slotLimit) + [.exit]
        #expect(throws: ProgramError.self) { try ProgramStructure(program) }
    }

    @Test("subprograms are found by calls and function references, with their stack")
    func subprograms() throws {
        let structure = try ProgramStructure(
            Assembler.assemble(
                """
                    *(u32 *)(r10 -12) = 1
                    r2 = subprog[callback]
                    call helper
                    exit
                helper:
                    r1 = r10
                    exit
                callback:
                    r0 = 0
                    exit
                """))
        #expect(structure.subprograms.map(\.slots) == [0..<5, 5..<7, 7..<9])
        #expect(structure.subprograms.map(\.stackDepth) == [16, 512, 0])
        #expect(structure.subprograms.map(\.isCallback) == [false, false, true])
        #expect(structure.subprogram(at: 5)?.slots == 5..<7)
        #expect(structure.subprogram(at: 6) == nil)
        #expect(structure.operations[2] == nil)
    }

    @Test("hostile slots never crash the check")
    func hostile() throws {
        var generator = SeededGenerator(state: 6)
        for _ in 0..<50_000 {
            var program = (0..<8).flatMap { _ in
                let kind = Int(generator.next() % 13)
                return generator.operation(kind: kind).instructions
            }
            let slot = Int(generator.next() % UInt64(program.count))
            program[slot] = Instruction(encoded: program[slot].encoded ^ (1 << (generator.next() % 64)))
            _ = try? ProgramStructure(program)
        }
    }

    @Test("a builder resolves labels in both directions, and reports those without a place")
    func builder() throws {
        var code = ProgramBuilder()
        let start = code.placeLabel()
        let done = code.makeLabel()
        code.append(.load(.u64, into: .r0, from: .r1))
        code.branch(.equal, .r0, 0, to: done)
        code.jump(to: start)
        code.place(done)
        code.append(.exit)
        #expect(
            try code.finish() == [
                .load(.u64, into: .r0, from: .r1), .branch(.equal, .r0, 0, 1), .jump(-3), .exit,
            ])
        code.jump(to: code.makeLabel())
        #expect(throws: ProgramBuilder.BuildError.labelNotPlaced(slot: 4)) { try code.finish() }
    }

    @Test("a patch mends jumps, calls and function references over it, and maps every slot")
    func patcher() throws {
        let before = try Assembler.assemble(
            """
            top:
                if r1 == 0x0 goto out
                call kernel-function#0
                r2 = subprog[sub]
                call sub
                goto top
            out: exit
            sub:
                r1 = 0x7
                r0 = 1
                exit
            """)
        var patcher = ProgramPatcher(before)
        patcher.replace(at: 1, with: [.move(.r0, 1), .branch(.equal, .r0, 1, 1), .move(.r0, 2), .and(.r0, 3)])
        patcher.replace(at: 7, with: [.move(.r1, 7)])
        let after = try patcher.finish()
        #expect(
            after.instructions
                == (try Assembler.assemble(
                    """
                    top:
                        if r1 == 0x0 goto out
                        r0 = 1
                        if r0 == 0x1 goto skip
                        r0 = 2
                    skip:
                        r0 &= 3
                        r2 = subprog[sub]
                        call sub
                        goto top
                    out: exit
                    sub:
                        r1 = 7
                        r0 = 1
                        exit
                    """)))
        #expect((0...before.count).map(after.position) == [0, 1, 5, 6, 7, 8, 9, 10, 11, 11, 12, 13])
    }

    @Test("a removed instruction's jumps land behind it; a jump over too much grows or is refused")
    func patcherLimits() throws {
        var patcher = ProgramPatcher(try Assembler.assemble("goto a\na: r0 = 1\nexit"))
        patcher.replace(at: 1, with: [])
        #expect(try patcher.finish().instructions == [.jump(0), .exit])

        let filler = [Instruction](repeating: .move(.r0, 0), count: 40_000)
        var long = ProgramPatcher(try Assembler.assemble("goto a\nr0 = 1\na: exit"))
        long.replace(at: 1, with: filler)
        #expect(try long.finish().instructions.first == .jumpLong(40_000))
        var tooLong = ProgramPatcher(try Assembler.assemble("if r1 == 0x0 goto a\nr0 = 1\na: exit"))
        tooLong.replace(at: 1, with: filler)
        #expect(throws: ProgramPatcher.PatchError.tooFar(slot: 0)) { try tooLong.finish() }
        #expect(throws: ProgramPatcher.PatchError.badTarget(slot: 0)) {
            try ProgramPatcher([.jump(5), .exit]).finish()
        }
    }

    @Test("random replacements keep every jump at its target")
    func patcherProperty() throws {
        var generator = SeededGenerator(state: 7)
        for _ in 0..<2_000 {
            let count = 12
            var before: [Instruction] = []
            for slot in 0..<count {
                let target = Int(generator.next() % UInt64(count))
                before.append(
                    generator.chance() ? .jump(Int16(target - slot - 1)) : .branch(.equal, .r1, 0, Int16(target - slot - 1)))
            }
            before.append(.exit)
            var patcher = ProgramPatcher(before)
            var replaced: Set<Int> = []
            for _ in 0..<4 {
                let slot = Int(generator.next() % UInt64(count))
                replaced.insert(slot)
                patcher.replace(
                    at: slot, with: [Instruction](repeating: .add(.r0, 1), count: Int(generator.next() % 5)))
            }
            let after = try patcher.finish()
            for slot in 0..<count where !replaced.contains(slot) {
                let position = after.position(of: slot)
                let target = slot + 1 + (before[slot].distance ?? 0)
                #expect(position + 1 + (after.instructions[position].distance ?? 0) == after.position(of: target))
            }
        }
    }
}
