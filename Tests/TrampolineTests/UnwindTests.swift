import MachineCode
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
extension TrampolineSuite {
    /// Exceptions and backtraces go through a trampoline and through moved instructions.
    @Suite struct Unwinding {
        @Test("a C++ exception passes through a traced function, which then has no exit")
        func exception() throws {
            let traced = try TracedFunction("t_throw", CallingConvention(arguments: [.register(0)]))
            try traced.link(.session, "t_program")
            try traced.link(.fmodRet, "t_clobber_program")
            let counters = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
            counters.initialize(repeating: 0, count: 2)
            defer { counters.deallocate() }
            traced.counters = UInt64(UInt(bitPattern: counters))
            try traced.install()
            t_log_clear()
            #expect(call_throw(2) == 2)
            #expect(recordedEvents().map(\.isReturn) == [false, true])
            #expect(call_throw(9) == -9)
            #expect(recordedEvents().map(\.isReturn) == [false, true, false])
            for value in Int32(100)..<200 { #expect(call_throw(value) == -value) }
            #expect(counters[0] == 102 && counters[1] == 1)
        }

        @Test(
            "a backtrace from any instruction of an image, or of a moved entry, finds the caller",
            arguments: ["t_add", "t_subtract", "t_sum20", "t_depth", "t_half", "t_touched"], [0, 3, 16, 40])
        func everyInstruction(name: String, words: Int) throws {
            let function = name == "t_touched" ? "t_untouched" : name
            guard let pointer = t_address(function) else { throw HarnessError("no \(function)") }
            let mixes: [[TrampolineProgramKind]] = [
                [.fentry], [.session], [.fexit], [.fmodRet], [.fentry, .fmodRet, .fmodRet, .session, .fexit],
            ]
            for mix in mixes {
                let traced = try TracedFunction(
                    function,
                    CallingConvention(
                        arguments: [.register(0), .register(1)], stackWords: words,
                        stackWordsAreKnown: words != 16))
                for kind in mix {
                    try traced.link(kind, name == "t_touched" ? "t_modify_program" : "t_clobber_program")
                }
                try traced.install()
                let image = try #require(traced.image)
                // t_touched is skipped.
                t_set_modified_value(1)
                let ranges = [
                    t_range(start: image.unwind.start, end: image.unwind.end),
                    t_range(
                        start: traced.entry.codeAddress,
                        end: traced.entry.codeAddress + UInt64(traced.entry.code.count)),
                ]
                var failure: UInt64 = 0
                t_log_clear()
                let checked = t_step_function(pointer, ranges, 2, &failure)
                #expect(checked > 20, "at +\(failure &- image.address) of \(name), \(mix)")
            }
        }

        @Test("call frame records are as .eh_frame has them")
        func records() throws {
            let image = try X86_64.image(
                TrampolineLists(), function: FunctionEntry(address: 0x1000, relocatedEntry: 0x1005),
                convention: .unknown, at: 0x123000)
            let unwind = image.unwind
            #expect(unwind.start == 0x123000 && unwind.end == 0x123000 + UInt64(image.code.count))
            let (bytes, fde) = (unwind.description.bytes, unwind.description.offset)
            func word<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
                bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
            }
            #expect(bytes.count % 8 == 0 && fde % 8 == 0)
            #expect(Int(word(0, UInt32.self)) + 4 == fde)
            #expect(word(4, UInt32.self) == 0)
            #expect(fde + 4 + Int(word(fde, UInt32.self)) == bytes.count)
            #expect(Int(word(fde + 4, UInt32.self)) == fde + 4)
            // One description serves many ranges.
            #expect(word(fde + 8, UInt64.self) == 0 && word(fde + 16, UInt64.self) == 0)
        }
    }
}
#endif
