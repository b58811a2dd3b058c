import Glibc
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
extension TrampolineSuite {
    /// What a trampoline must leave alone.
    @Suite struct Registers {
        func filled() -> t_registers {
            var before = t_registers()
            withUnsafeMutableBytes(of: &before) { raw in
                for index in 0..<48 * 8 { raw[index] = UInt8(truncatingIfNeeded: 0x11 &+ index &* 7) }
            }
            return before
        }

        func check(_ convention: CallingConvention, _ kinds: [TrampolineProgramKind]) throws {
            let traced = try TracedFunction("t_untouched", convention)
            for kind in kinds { try traced.link(kind, "t_clobber_program", cookie: 0x1122_3344_5566_7788) }
            let counters = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
            counters.initialize(repeating: 0, count: 2)
            defer { counters.deallocate() }
            traced.counters = UInt64(UInt(bitPattern: counters))
            try traced.install()
            var before = filled()
            var after = t_registers()
            call_with_registers(&before, &after)
            // rsp has no value here; the control words are compared with the untraced call's.
            withUnsafeBytes(of: before) { before in
                withUnsafeBytes(of: after) { after in
                    for word in 0..<48 where word != 4 {
                        let expected = before.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
                        let value = after.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
                        #expect(value == expected, "word \(word) with \(kinds)")
                    }
                }
            }
            traced.remove()
            var untraced = t_registers()
            call_with_registers(&before, &untraced)
            #expect(after.mxcsr == untraced.mxcsr && after.x87_control == untraced.x87_control)
            #expect(counters[0] == 1 && counters[1] == (kinds.allSatisfy { $0 == .fentry } ? 0 : 1))
        }

        @Test(
            "all general, vector and control registers come back as the function left them",
            arguments: [
                CallingConvention.unknown, CallingConvention(arguments: []),
                CallingConvention(arguments: [.register(2), .vector(3), .register(2), .register(5)]),
                CallingConvention(arguments: [.vector(0)], returnValue: .vector, stackWords: 3),
                CallingConvention(arguments: (0..<30).map { .register($0 % 6) }, returnValue: .none),
            ])
        func preserved(convention: CallingConvention) throws {
            let kinds = TrampolineProgramKind.allCases
            for kind in kinds { try check(convention, [kind]) }
            try check(convention, kinds)
            try check(convention, kinds + kinds + kinds)
        }

        @Test("the function finds its stack as far from a multiple of 16 as its caller left it; programs find it aligned")
        func alignment() throws {
            for misalignment: UInt64 in [0, 8, 16, 24, 4, 1] {
                for words in 0...5 {
                    let untraced = call_stack_pointer(misalignment)
                    let traced = try TracedFunction(
                        "t_keeps", CallingConvention(arguments: [.register(0)], stackWords: words))
                    try traced.link(.session, "t_program")
                    try traced.link(.fmodRet, "t_modify_program")
                    try traced.install()
                    t_set_modified_value(0)
                    t_log_clear()
                    let seen = call_stack_pointer(misalignment)
                    #expect(seen % 16 == untraced % 16)
                    #expect(t_log_count() == 3)
                    #expect(recordedEvents().allSatisfy { $0.stack_alignment == 0 })
                    traced.remove()
                }
            }
        }
    }
}
#endif
