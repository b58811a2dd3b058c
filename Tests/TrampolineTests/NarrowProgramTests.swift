import Glibc
import MachineCode
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
extension TrampolineSuite {
    /// Programs that say which registers they change: the others are not kept.
    @Suite struct NarrowPrograms {
        /// A program that destroys exactly these registers.
        private final class Program {
            let address: UInt64
            private let memory: UnsafeMutableRawPointer

            init(destroying registers: [X86_64Register]) throws {
                guard let anchor = t_address("t_untouched"), let memory = t_map_near(anchor, 4096) else {
                    throw HarnessError("no memory for a program")
                }
                self.memory = UnsafeMutableRawPointer(mutating: memory)
                address = UInt64(UInt(bitPattern: memory))
                var assembler = X86_64Assembler()
                for register in registers { assembler.mov64(register, 0xDEAD_DEAD_DEAD_0000 + UInt64(register.rawValue)) }
                assembler.ret()
                let code = try assembler.finish(at: address)
                self.memory.copyMemory(from: code, byteCount: code.count)
            }

            deinit { munmap(memory, 4096) }
        }

        private static let callerSaved: [X86_64Register] = [.rax, .rcx, .rdx, .rsi, .rdi, .r8, .r9, .r10, .r11]

        @Test("whatever a program says it changes comes back, at entry and at exit", arguments: 0..<callerSaved.count + 2)
        func kept(choice: Int) throws {
            let registers =
                switch choice {
                case Self.callerSaved.count: Self.callerSaved
                case Self.callerSaved.count + 1: [X86_64Register]()
                default: [Self.callerSaved[choice]]
                }
            let program = try Program(destroying: registers)
            let conventions = [
                CallingConvention.unknown, CallingConvention(arguments: []),
                CallingConvention(arguments: [.register(1), .register(3)], stackWords: 3),
                CallingConvention(arguments: [.vector(0), .register(0)], returnValue: .vector, stackWords: 18),
            ]
            for convention in conventions {
                for kind in [TrampolineProgramKind.fentry, .fexit, .session] {
                    for counts in [false, true] {
                        let traced = try TracedFunction("t_untouched", convention)
                        let counters = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
                        counters.initialize(repeating: 0, count: 2)
                        defer { counters.deallocate() }
                        if counts { traced.counters = UInt64(UInt(bitPattern: counters)) }
                        try traced.lists.link(
                            TrampolineLink(
                                id: 1, programID: 1, kind: kind, programAddress: program.address, usesCookie: true,
                                clobbers: RegisterSet(registers), needsAlignedStack: false))
                        try traced.install()
                        var before = Registers().filled()
                        var after = t_registers()
                        call_with_registers(&before, &after)
                        traced.remove()
                        withUnsafeBytes(of: before) { before in
                            withUnsafeBytes(of: after) { after in
                                for word in 0..<48 where word != 4 {
                                    let expected = before.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
                                    let value = after.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
                                    #expect(value == expected, "word \(word), \(kind), \(registers), \(convention)")
                                }
                            }
                        }
                        #expect(counters[0] == (counts ? 1 : 0))
                        #expect(counters[1] == (counts && kind != .fentry ? 1 : 0))
                    }
                }
            }
        }

        @Test("an image that keeps fewer registers is smaller")
        func size() throws {
            func size(_ clobbers: RegisterSet) throws -> Int {
                var lists = TrampolineLists()
                try lists.link(
                    TrampolineLink(
                        id: 1, programID: 1, kind: .session, programAddress: 0x2000, clobbers: clobbers,
                        needsAlignedStack: false))
                return try X86_64.image(
                    lists, function: FunctionEntry(address: 0x1000, relocatedEntry: 0x1005),
                    convention: CallingConvention(arguments: [.register(0)]), at: 0x3000
                ).code.count
            }
            #expect(try size(RegisterSet([.rax])) < size(RegisterSet([.rax, .rcx, .r8])))
            #expect(try size(RegisterSet([.rax, .rcx, .r8])) < size(.all))
        }
    }
}
#endif
