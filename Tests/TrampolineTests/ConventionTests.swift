import Glibc
import MachineCode
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
private func text(_ buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A Swift function to trace, with Swift's own calling convention.
struct TracedError: Error, Equatable { var code: Int }

@_silgen_name("fsession_test_swift_throwing") @inline(never)
func swiftThrowing(_ value: Int) throws -> (Int, Int, Int, Int) {
    if value < 0 { throw TracedError(code: value) }
    return (value, value + 1, value * 2, value * value)
}

final class SwiftReceiver {
    var sum = 0
    @inline(never) @_silgen_name("fsession_test_swift_method")
    func add(_ value: Int) throws -> String {
        if value < 0 { throw TracedError(code: value) }
        sum += value
        return "sum \(sum), and long enough to be in the heap"
    }
}

extension TrampolineSuite {
    /// Arguments and results of every class pass through, and are seen where the prototype says.
    @Suite struct Conventions {
        /// Runs `body` with a session on the function, checks that it ran `calls` times in and out, and
        /// returns the events.
        func trace(
            _ name: String, _ convention: CallingConvention, calls: Int = 1, _ body: () throws -> Void
        ) throws -> [t_event] {
            // The same calls with each shape of image: entry only, call, and with clobbering programs.
            for unknown in [false, true] {
                for kinds: [TrampolineProgramKind] in [[.fentry], [.fexit], [.fentry, .fexit, .fmodRet]] {
                    let traced = try TracedFunction(name, unknown ? .unknown : convention)
                    for kind in kinds { try traced.link(kind, "t_clobber_program") }
                    try traced.install()
                    try body()
                }
            }
            let traced = try TracedFunction(name, convention)
            try traced.link(.fentry, "t_clobber_program")
            try traced.link(.session, "t_session_program", cookie: 1, usesCookie: true)
            try traced.link(.fexit, "t_clobber_program")
            try traced.install()
            t_log_clear()
            try body()
            let events = recordedEvents()
            try #require(events.count == 2 * calls)
            return events
        }

        @Test("pointers")
        func pointers() throws {
            let events = try trace("t_length", CallingConvention(arguments: [.register(0)])) {
                #expect(t_length("seven..") == 7)
            }
            #expect(events[1].return_value == 7)
        }

        @Test("twenty integer arguments")
        func twenty() throws {
            let expected = (1...20).reduce(Int64(0)) { $0 * 3 + Int64($1) }
            let locations: [ArgumentLocation] = (0..<6).map { .register($0) } + (0..<14).map { .stack($0) }
            let events = try trace("t_sum20", CallingConvention(arguments: locations, stackWords: 14)) {
                #expect(
                    t_sum20(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20) == expected)
            }
            for event in events {
                #expect(event.argumentCount == 20)
                #expect((0..<20).map { event.argument($0) } == (1...20).map { UInt64($0) })
            }
            #expect(events[1].return_value == UInt64(expected))
        }

        @Test("structs by value, in registers and in memory")
        func structs() throws {
            var events = try trace(
                "t_small_sum", CallingConvention(arguments: [.register(0), .register(1), .register(2)])
            ) {
                #expect(t_small_sum(t_small(a: 40, b: 2), 3) == 126)
            }
            #expect(events[0].argument(0) == 40 && events[0].argument(1) & 0xFFFF_FFFF == 2)
            #expect(events[0].argument(2) == 3)

            let large = t_large(values: (1, 2, 3, 4, 5))
            let expected = (1...5).reduce(Int64(0)) { $0 * 7 + Int64($1) } * 2
            events = try trace(
                "t_large_sum",
                CallingConvention(arguments: (0..<5).map { .stack($0) } + [.register(0)], stackWords: 5)
            ) {
                #expect(t_large_sum(large, 2) == expected)
            }
            #expect((0..<6).map { events[1].argument($0) } == [1, 2, 3, 4, 5, 2])
        }

        @Test("a struct of 600 words by value, when the prototype is known")
        func huge() throws {
            var huge = t_huge()
            withUnsafeMutableBytes(of: &huge) { raw in
                let words = raw.bindMemory(to: Int64.self)
                for index in 0..<600 { words[index] = Int64(index) &* 0x9E37_79B9_7F4A }
            }
            let expected = t_huge_sum(huge, 3)
            let traced = try TracedFunction(
                "t_huge_sum", CallingConvention(arguments: [.stack(599), .register(0)], stackWords: 600))
            try traced.link(.session, "t_program")
            try traced.install()
            t_log_clear()
            #expect(t_huge_sum(huge, 3) == expected)
            #expect(recordedEvents().map { $0.argument(0) } == [599 &* 0x9E37_79B9_7F4A, 599 &* 0x9E37_79B9_7F4A])
        }

        @Test("structs returned in registers and through memory")
        func structReturns() throws {
            var events = try trace(
                "t_return_small", CallingConvention(arguments: [.register(0), .register(1)])
            ) {
                let result = t_return_small(21, 5)
                #expect(result.a == 42 && result.b == 15)
            }
            #expect(events[1].return_value == 42)
            // The place for the result is a hidden first argument, and comes back in rax.
            events = try trace(
                "t_return_large", CallingConvention(arguments: [.register(0), .register(1)])
            ) {
                let result = t_return_large(10)
                #expect(result.values.0 == 10 && result.values.4 == 14)
            }
            #expect(events[0].argument(1) == 10)
            #expect(events[1].return_value == events[0].argument(0))
        }

        @Test("double and float arguments and results")
        func floats() throws {
            let events = try trace(
                "t_mix",
                CallingConvention(
                    arguments: [.vector(0), .vector(1), .register(0), .vector(2)], returnValue: .vector)
            ) {
                #expect(t_mix(1, 2, 3, 4.5) == 1234.5)
            }
            #expect(events[0].argument(0) == 1.0.bitPattern && events[0].argument(3) == 4.5.bitPattern)
            #expect(UInt32(truncatingIfNeeded: events[0].argument(1)) == Float(2).bitPattern)
            #expect(events[0].argument(2) == 3)
            #expect(events[1].return_value == 1234.5.bitPattern)
            let half = try trace(
                "t_half", CallingConvention(arguments: [.vector(0)], returnValue: .vector)
            ) { #expect(t_half(5) == 2.5) }
            #expect(UInt32(truncatingIfNeeded: half[1].return_value) == Float(2.5).bitPattern)
        }

        @Test("128-bit vectors, long double and 128-bit integers pass through")
        func wide() throws {
            let vectors = CallingConvention(arguments: [.vector(0), .vector(1)], returnValue: .vector)
            _ = try trace("t_vector", vectors) { #expect(call_vector()) }
            let longDouble = CallingConvention(
                arguments: [.register(0)], returnValue: .none, stackWords: 4)
            let events = try trace("t_long_double", longDouble) {
                #expect(t_long_double(1.5, 4, 0.25) == 6.25)
            }
            #expect(events[0].argument(0) == 4 && events[1].return_value == 0)
            let integers = CallingConvention(arguments: [.register(0), .register(1)])
            let wide = try trace("t_int128", integers) { #expect(call_int128()) }
            #expect(wide[1].return_value == 0x99AA_BBCC_DDEE_FF00)
        }

        @Test("variable arguments with doubles, with and without stack words")
        func variable() throws {
            let convention = CallingConvention(
                arguments: [.register(0), .register(1), .register(2)],
                stackWords: CallingConvention.defaultStackWords, stackWordsAreKnown: false)
            var buffer = [CChar](repeating: 0, count: 200)
            let events = try trace("t_format", convention) {
                let count = call_format_doubles(&buffer, buffer.count)
                #expect(text(buffer) == "7 1.25 text 2.500 x" && count == 19)
            }
            #expect(events[0].argument(1) == 200 && events[1].return_value == 19)
            _ = try trace("t_format", convention) {
                _ = call_format_many(&buffer, buffer.count)
                #expect(
                    text(buffer)
                        == "1 2 3 4 5 6 7 8 1.5 2.5 3.5 4.5 5.5 6.5 7.5 8.5 9.5 10.5 end")
            }
        }

        @Test("a Swift function returns in four registers and throws through its error register")
        func swift() throws {
            for kinds: [TrampolineProgramKind] in [[.fentry], [.session], [.fentry, .fmodRet, .session, .fexit]] {
                let traced = try TracedFunction(symbol: "fsession_test_swift_throwing")
                for kind in kinds { try traced.link(kind, "t_clobber_program") }
                try traced.link(.session, "t_program")
                try traced.install()
                t_log_clear()
                let result = try swiftThrowing(7)
                #expect(result == (7, 8, 14, 49))
                #expect(throws: TracedError(code: -5)) { try swiftThrowing(-5) }
                #expect(t_log_count() == 4)
            }
        }

        @Test("a Swift method gets its self and returns an owned string")
        func swiftMethod() throws {
            let traced = try TracedFunction(symbol: "fsession_test_swift_method")
            try traced.link(.fmodRet, "t_clobber_program")
            try traced.link(.session, "t_session_program", usesCookie: true)
            try traced.link(.fexit, "t_clobber_program")
            try traced.install()
            t_log_clear()
            let receiver = SwiftReceiver()
            #expect(try receiver.add(40) == "sum 40, and long enough to be in the heap")
            #expect(try receiver.add(2) == "sum 42, and long enough to be in the heap")
            #expect(throws: TracedError(code: -1)) { try receiver.add(-1) }
            #expect(t_log_count() == 6)
        }

        @Test("stack words beyond the end of the stack are not touched, those before it arrive")
        func endOfStack() throws {
            let expected = (1...20).reduce(Int64(0)) { $0 * 3 + Int64($1) }
            let sum = try TracedFunction("t_sum20")
            let add = try TracedFunction("t_add")
            try sum.link(.session, "t_clobber_program")
            try add.link(.session, "t_clobber_program")
            try sum.install()
            try add.install()
            t_clear_counts()
            for words in Int32(14)...18 { #expect(call_sum20_at_end_of_stack(words) == expected) }
            #expect(t_counts().safe_copies == 2)
            t_clear_counts()
            for words in Int32(0)...18 { #expect(call_add_at_end_of_stack(words) == 42) }
            #expect(t_counts().safe_copies == 16)
            // Where the words only cross into another page of the same stack they arrive from both.
            for words in Int32(512)...532 { #expect(call_sum20_at_end_of_stack(words) == expected) }
        }

        @Test("an image that would need to guess stack words is refused without a routine to read them")
        func refusals() {
            var lists = TrampolineLists()
            let link = TrampolineLink(id: 1, programID: 1, kind: .session, programAddress: 0x1000)
            #expect(throws: Never.self) { try lists.link(link) }
            func image(_ convention: CallingConvention, safeCopy: UInt64? = nil, entry: UInt64 = 0x3000) throws {
                _ = try X86_64.image(
                    lists, function: FunctionEntry(address: 0x2000, relocatedEntry: entry),
                    convention: convention, safeCopy: safeCopy, at: 0x4000)
            }
            #expect(throws: TrampolineError.safeCopyMissing) { try image(.unknown) }
            #expect(throws: Never.self) { try image(.unknown, safeCopy: 0x7000) }
            #expect(throws: TrampolineError.tooManyArguments(256)) {
                try image(CallingConvention(arguments: Array(repeating: .register(0), count: 256)))
            }
            for location in [ArgumentLocation.register(6), .register(-1), .vector(8), .stack(-1), .stack(1 << 40)] {
                #expect(throws: TrampolineError.badArgumentLocation(location)) {
                    try image(CallingConvention(arguments: [location]))
                }
            }
            #expect(throws: TrampolineError.tooManyStackWords(-1, limit: 65_536)) {
                try image(CallingConvention(arguments: [], stackWords: -1))
            }
            #expect(throws: TrampolineError.tooManyStackWords(300, limit: 256)) {
                try image(
                    CallingConvention(arguments: [], stackWords: 300, stackWordsAreKnown: false), safeCopy: 1)
            }
            #expect(throws: TrampolineError.self) {
                try image(CallingConvention(arguments: []), entry: 0x7FFF_0000_0000)
            }
            #expect(throws: Never.self) {
                try image(CallingConvention(arguments: Array(repeating: .register(0), count: 255)))
            }
        }
    }
}
#endif
