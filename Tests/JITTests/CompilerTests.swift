import BPF
import JIT
import MachineCode
import TargetRuntime
import TestSupport
import Testing

/// A helper that shows its six arguments, a digit each.
private let weightedSum: @convention(c) (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) -> UInt64 = {
    $0 + 10 * $1 + 100 * $2 + 1000 * $3 + 10_000 * $4 + 100_000 * $5
}

/// Like `bpf_loop`: calls back until the callback returns 1.
private let loop: @convention(c) (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) -> UInt64 = {
    count, callback, argument, _, _, _ in
    typealias Callback = @convention(c) (UInt64, UInt64) -> UInt64
    guard let pointer = UnsafeRawPointer(bitPattern: UInt(callback)) else { return .max }
    let function = unsafeBitCast(pointer, to: Callback.self)
    for index in 0..<count where function(index, argument) != 0 { return index + 1 }
    return count
}

private func address<Function>(_ function: Function) -> UInt64 {
    UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
}

private func compile(_ text: String, at address: UInt64 = 0x10_0000_0000, state: UInt64 = 0) throws -> CompiledProgram {
    try X86_64Compiler.compile(
        try Assembler.assemble(text),
        context: CompileContext(address: address, state: state) { id in
            id < 100 ? 0x10_0100_0000 + UInt64(id) : id < 200 ? 0x7f00_0000_0000 : nil
        })
}

@Suite("the x86-64 compiler")
struct CompilerTests {
    #if arch(x86_64)
    @Test("a helper gets r1…r5 and the state, and its result is r0")
    func helpers() throws {
        let structure = try ProgramStructure(
            try Assembler.assemble(
                "r6 = 7\nr1 = 1\nr2 = 2\nr3 = 3\nr4 = 4\nr5 = 5\ncall bpf_map_lookup_elem\nr0 *= 10\nr0 += r6\nexit"))
        let memory = try ExecutableMemory(structure, compiler: X86_64Compiler.self, state: 6) { id in
            id == 1 ? address(weightedSum) : nil
        }
        #expect(memory.call() == 6_543_217)
    }

    @Test("a helper calls a subprogram back by the address that the program gave it")
    func callbacks() throws {
        let text = """
            r6 = r1
            r1 = 10
            r2 = subprog[callback]
            r3 = r6
            r4 = 0
            call bpf_loop
            r7 = r0
            r1 = *(u64 *)(r6 +0)
            r0 = r1
            r0 *= 100
            r0 += r7
            exit
            callback:
            r3 = *(u64 *)(r2 +0)
            r3 += r1
            *(u64 *)(r2 +0) = r3
            r0 = 0
            if r1 != 6 goto +1
            r0 = 1
            exit
            """
        let structure = try ProgramStructure(try Assembler.assemble(text))
        #expect(structure.subprograms.count == 2)
        let memory = try ExecutableMemory(structure, compiler: X86_64Compiler.self) { id in
            id == 181 ? address(loop) : nil
        }
        var total: UInt64 = 0
        let result = withUnsafeMutablePointer(to: &total) { memory.call(UInt64(UInt(bitPattern: $0))) }
        #expect(total == 21)
        #expect(result == 2107)
    }

    /// A prog array as TargetRuntime.h lays it out, with its slots behind the header.
    private func withProgramArray(_ slots: [UInt64], _ body: (UInt64) throws -> Void) rethrows {
        var words = [UInt64](repeating: 0, count: 16 + slots.count)
        words[2] = UInt64(slots.count) << 32 | 8  // value_size, max_entries
        words[4] = 16 * 8  // data_offset
        words.replaceSubrange(16..., with: slots)
        try words.withUnsafeMutableBytes { try body(UInt64(UInt(bitPattern: $0.baseAddress))) }
    }

    private struct Outcome: Equatable {
        let result: UInt64
        let tailCalls: UInt64

        init(_ result: UInt64, tailCalls: UInt64) {
            self.result = result
            self.tailCalls = tailCalls
        }
    }

    /// Runs with a ctx, and what is below it.
    private func call(_ memory: borrowing ExecutableMemory, tailCalls: UInt64 = 0) -> Outcome {
        var words = [UInt64](repeating: 0, count: 16)
        words[4] = tailCalls
        words[8] = 7
        let result = words.withUnsafeMutableBytes { memory.call(UInt64(UInt(bitPattern: $0.baseAddress)) + 64) }
        return Outcome(result, tailCalls: words[4])
    }

    private func caller(of map: UInt64, index: UInt64) throws -> ProgramStructure {
        // The stack and the saved register must be gone in the program that is jumped to.
        try ProgramStructure(
            try Assembler.assemble(
                """
                r6 = 1
                *(u64 *)(r10 -8) = 5
                r7 = 2
                r2 = 0x\(String(map, radix: 16))
                r3 = 0x\(String(index, radix: 16))
                call bpf_tail_call
                r0 = 1000
                r0 += r6
                exit
                """))
    }

    @Test("a tail call jumps with the context, and counts")
    func tailCall() throws {
        let target = try ProgramStructure(try Assembler.assemble("r0 = *(u64 *)(r1 +0)\nr0 += 40\nexit"))
        let targetMemory = try ExecutableMemory(target, compiler: X86_64Compiler.self)
        try withProgramArray([0, targetMemory.address]) { map in
            func outcome(_ index: UInt64, _ count: UInt64) throws -> Outcome {
                let memory = try ExecutableMemory(caller(of: map, index: index), compiler: X86_64Compiler.self)
                return call(memory, tailCalls: count)
            }
            try #expect(outcome(1, 0) == Outcome(47, tailCalls: 1))
            try #expect(outcome(1, 32) == Outcome(47, tailCalls: 33))
            // The index has 32 bits.
            try #expect(outcome(0x1_0000_0001, 0) == Outcome(47, tailCalls: 1))
            // Over the limit, an empty slot, and outside the map: the program goes on.
            try #expect(outcome(1, 33) == Outcome(1001, tailCalls: 33))
            try #expect(outcome(1, .max) == Outcome(1001, tailCalls: .max))
            try #expect(outcome(0, 0) == Outcome(1001, tailCalls: 0))
            try #expect(outcome(2, 0) == Outcome(1001, tailCalls: 0))
            try #expect(outcome(0xffff_ffff, 0) == Outcome(1001, tailCalls: 0))
        }
    }

    @Test("a program that tail-calls itself ends after 33 times, with the stack it began with")
    func tailCallLimit() throws {
        try withProgramArray([0]) { map in
            let structure = try caller(of: map, index: 0)
            let memory = try ExecutableMemory(structure, compiler: X86_64Compiler.self)
            UnsafeMutablePointer<UInt64>(bitPattern: UInt(map))?[16] = memory.address
            #expect(call(memory) == Outcome(1001, tailCalls: 33))
        }
    }

    @Test("rbx, rbp, r12…r15 and rsp come back as they were")
    func calleeSaved() throws {
        // A caller in machine code that fills them, calls, and adds up the differences.
        let saved: [X86_64Register] = [.rbx, .r12, .r13, .r14, .r15]
        let text = """
            r6 = 1
            r7 = 2
            r8 = 3
            r9 = 4
            *(u64 *)(r10 -512) = 5
            call callee
            exit
            callee:
            r7 = 9
            r0 = r7
            exit
            """
        let structure = try ProgramStructure(try Assembler.assemble(text))
        let memory = try ExecutableMemory(structure, compiler: X86_64Compiler.self)
        var caller = X86_64Assembler()
        caller.push(.rbp)
        for register in saved { caller.push(register) }
        for (index, register) in saved.enumerated() {
            caller.mov(register, immediate: 0x1111_1111_1111_1111 * UInt64(index + 1))
        }
        caller.mov(.rbp, .rsp)
        caller.mov(.rax, immediate: memory.address)
        caller.call(.rax)
        caller.alu(.xor, .rbp, .rsp)
        caller.mov(.rax, .rbp)
        for (index, register) in saved.enumerated() {
            caller.mov(.r11, immediate: 0x1111_1111_1111_1111 * UInt64(index + 1))
            caller.alu(.xor, .r11, register)
            caller.alu(.or, .rax, .r11)
        }
        for register in saved.reversed() { caller.pop(register) }
        caller.pop(.rbp)
        caller.ret()
        let code = try caller.finish(at: 0)
        #expect(try ExecutableMemory(code).call() == 0)
    }
    #endif

    @Test("a tail call finds things where the target's runtime has them")
    func tailCallLayout() {
        #expect(MemoryLayout<fs_map>.offset(of: \.max_entries) == Int(TailCallLayout.maxEntries))
        #expect(MemoryLayout<fs_map>.offset(of: \.data_offset) == Int(TailCallLayout.dataOffset))
        #expect(Int(FS_CTX_TAIL_CALLS) * 8 == Int(TailCallLayout.counter))
        #expect(FS_MAX_TAIL_CALLS == TailCallLayout.limit)
    }

    @Test("frames are as large as the stack that is used, and save what is written")
    func frames() throws {
        // No call, no stack, no frame: xor eax, eax; ret
        #expect(try compile("r0 = 0\nexit").code == [0x31, 0xc0, 0xc3])
        // A leaf with a small stack needs no room: signals leave 128 bytes below rsp alone.
        let leaf = try compile("*(u64 *)(r10 -8) = 1\nr0 = *(u64 *)(r10 -8)\nexit").code
        #expect(leaf.dropFirst(4).starts(with: [0x48, 0xc7, 0x45, 0xf8]))
        // With a call it has: sub rsp, 16
        let caller = try compile("*(u64 *)(r10 -16) = 1\ncall bpf_ktime_get_ns\nexit").code
        #expect(caller.dropFirst(4).starts(with: [0x48, 0x83, 0xec, 0x10]))
        // push rax, for the alignment; push rbx; … pop rbx; leave; ret
        let saving = try compile("r6 = r1\ncall bpf_ktime_get_ns\nr0 = r6\nexit").code
        #expect(saving.dropFirst(4).starts(with: [0x50, 0x53]))
        #expect(saving.suffix(3).elementsEqual([0x5b, 0xc9, 0xc3]))
    }

    @Test("frames are as large as has been proven, where the code does not tell")
    func provenFrames() throws {
        let text = "*(u64 *)(r10 -24) = 0\nr6 = r10\nr6 += -16\n*(u64 *)(r6 +0) = 1\ncall bpf_ktime_get_ns\nr0 = *(u64 *)(r6 +0)\nexit"
        let structure = try ProgramStructure(try Assembler.assemble(text))
        #expect(structure.subprograms.map(\.stackDepth) == [512])
        #expect(structure.limitingStacks(to: [0: 30]).subprograms.map(\.stackDepth) == [32])
        // What is accessed by r10 itself counts in any case.
        #expect(structure.limitingStacks(to: [0: 8]).subprograms.map(\.stackDepth) == [24])
        #expect(structure.limitingStacks(to: [:]).subprograms.map(\.stackDepth) == [512])
        #expect(structure.limitingStacks(to: [0: 4096]).subprograms.map(\.stackDepth) == [512])
        let interpreter = Interpreter(structure.limitingStacks(to: [0: 16]))
        #expect(try interpreter.run(helpers: { _ throws(InterpreterError) in 0 }) == 1)
    }

    @Test("a program tells which registers of its caller it may change")
    func clobbers() throws {
        let simple = try compile("r0 = *(u64 *)(r1 +0)\nr2 = r0\nr0 = 0\nexit").clobbers
        for register in [X86_64Register.rax, .rsi, .rdi, .r10, .r11] { #expect(simple.contains(register)) }
        for register in [X86_64Register.rdx, .rcx, .r8] { #expect(!simple.contains(register)) }
        #expect(try compile("call bpf_ktime_get_ns\nexit").clobbers == .all)
        #expect(try compile("r0 = 0\ncall bpf_tail_call\nr0 = 0\nexit").clobbers == .all)
    }

    @Test("near helpers are called directly, far ones through a register")
    func reach() throws {
        // xor r9d, r9d; call rel32
        let near = try compile("call bpf_ktime_get_ns\nexit").code
        #expect(near.dropFirst(4).starts(with: [0x45, 0x31, 0xc9, 0xe8]))
        let far = try compile("call unknown#150\nexit").code
        #expect(far.dropFirst(7).starts(with: [0x48, 0xb8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0xff, 0xd0]))
        // An address near the code is rip-relative: lea rax, [rip + …]
        let constant = try compile("r0 = 0x1000001000\nexit").code
        #expect(constant.count == 7 + 1)
        #expect(constant.starts(with: [0x48, 0x8d, 0x05]))
    }

    @Test("offsets of slots and subprograms name instructions of the code")
    func offsets() throws {
        let program = try compile("r1 = 0x1122334455667788\nr2 = r1\nr2 += 5\ncall callee\nexit\ncallee:\nr0 = r2\nexit")
        #expect(program.slotOffsets.count == 8)
        #expect(program.slotOffsets[0] == 4)
        // The wide load's second slot and an addition that was joined have no code of their own.
        #expect(program.slotOffsets[1] == program.slotOffsets[2])
        #expect(program.slotOffsets[3] == program.slotOffsets[4])
        #expect(program.code[program.slotOffsets[4]] == 0xe8)
        let callee = try #require(program.subprogramOffsets[6])
        #expect(program.subprogramOffsets == [0: 0, 6: callee])
        #expect(program.code[callee...].starts(with: [0x48, 0x89, 0xf0]))  // mov rax, rsi
        #expect(program.slotOffsets[6] == callee)
        #expect(program.slotOffsets == program.slotOffsets.sorted())
        #expect(!program.usesTailCalls)
        #expect(try compile("call bpf_tail_call\nr0 = 0\nexit").usesTailCalls)
    }

    @Test("jumps are two bytes where that is enough, and right where it is not")
    func jumpSizes() throws {
        let filler = { (count: Int) in String(repeating: "r3 *= r4\n", count: count) }  // four bytes each
        let short = try compile("r0 = 0\nif r1 == r2 goto end\n\(filler(31))end:\nexit").code
        let long = try compile("r0 = 0\nif r1 == r2 goto end\n\(filler(32))end:\nexit").code
        #expect(long.count == short.count + 4 + 4)
    }

    @Test("programs that cannot be compiled are refused with the slot and the reason")
    func refusals() throws {
        #expect(throws: JITError.unknownHelper(999, slot: 1)) { try compile("r0 = 0\ncall unknown#999\nexit") }
        #expect("\(JITError.unknownHelper(999, slot: 1))".contains("instruction 1"))
        for kind in [WideImmediate.map, .mapValue, .variable, .mapDescriptor, .mapDescriptorValue] {
            let program = Instruction.loadImmediate(kind, .r1, first: 0) + [.move(.r0, 0), .exit]
            #expect(throws: JITError.unresolved(slot: 0)) {
                try X86_64Compiler.compile(program, context: CompileContext(address: 0))
            }
        }
        #expect(throws: JITError.unresolved(slot: 0)) {
            try X86_64Compiler.compile([.call(.external(0)), .exit], context: CompileContext(address: 0))
        }
        #expect(throws: JITError.self) {
            try X86_64Compiler.compile([.jump(5)], context: CompileContext(address: 0))
        }
    }

    @Test("random bytes are compiled or refused, never more")
    func hostile() throws {
        var generator = SeededGenerator(seed: 99)
        var compiled = 0
        for _ in 0..<200_000 {
            var program = (0..<1 + generator.below(4)).map { _ in
                // Often a plausible opcode, so that some get through.
                Instruction(encoded: generator.next() & (generator.below(2) == 0 ? 0x0000_0003_0000_77ff : .max))
            }
            program.append(.exit)
            do {
                let context = CompileContext(address: generator.next(), state: generator.next()) { _ in nil }
                let result = try X86_64Compiler.compile(program, context: context)
                #expect(result.code.count <= program.count * 128 + 64)
                compiled += 1
            } catch {
                #expect(!"\(error)".isEmpty)
            }
        }
        #expect(compiled > 100)
    }

    @Test("the longest program that is allowed compiles, with jumps across all of it")
    func longest() throws {
        var program = [Instruction](repeating: .arithmetic(.moduloSigned, .bits64, .r6, .register(.r7)), count: 1_000_000)
        program[0] = .jumpLong(999_997)
        program[999_998] = .branch(.equal, .r1, 0, -32_000)
        program[999_999] = .exit
        let result = try X86_64Compiler.compile(program, context: CompileContext(address: 0x5000_0000))
        #expect(result.code.count <= program.count * 128)
        // Jumps that become short only after those behind them did.
        for (distance, count) in [(22, 999_960), (-22, 1_000_000)] {
            program = [Instruction](repeating: .branch(.equal, .r1, .r2, Int16(distance)), count: 1_000_000)
            for slot in distance < 0 ? 0..<40 : count..<1_000_000 { program[slot] = .move(.r0, 0) }
            program[999_999] = .exit
            let short = try X86_64Compiler.compile(program, context: CompileContext(address: 0x5000_0000))
            #expect(short.code.count < 6 * program.count)
        }
        program.append(.exit)
        #expect(throws: JITError.self) {
            try X86_64Compiler.compile(program, context: CompileContext(address: 0x5000_0000))
        }
    }
}
