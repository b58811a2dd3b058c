import Glibc
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
extension TrampolineSuite {
    /// Every function of the test's own C files, displaced and run.
    @Suite struct OwnFunctions {
        @Test("all functions of the test's C files are displaced, or refused as too short, and still work")
        func all() throws {
            var kept: [TracedFunction] = []
            let names = [
                "t_add", "t_subtract", "t_length", "t_store", "t_sum20", "t_small_sum", "t_large_sum",
                "t_return_small", "t_return_large", "t_mix", "t_half", "t_long_double", "t_vector", "t_int128",
                "t_format", "t_depth", "t_fibonacci", "t_throw", "call_vector", "call_int128",
                "call_format_doubles", "call_format_many", "call_throw", "call_fibonacci_in_threads",
                "t_huge_sum", "call_with_registers", "call_stack_pointer", "t_untouched",
            ]
            var refused: [String] = []
            for name in names {
                do {
                    let traced = try TracedFunction(symbol: name)
                    try traced.link(.session, "t_quiet_program")
                    kept.append(traced)
                } catch let error as DisplacementError {
                    refused.append("\(name): \(error)")
                }
            }
            #expect(refused.isEmpty)
            for traced in kept { try traced.install() }
            t_clear_counts()
            #expect(t_add(40, 2) == 42)
            #expect(t_subtract(40, 2) == 38)
            #expect(t_length("abc") == 3)
            var stored: Int64 = 0
            t_store(&stored, 5)
            #expect(stored == 5)
            #expect(t_small_sum(t_small(a: 1, b: 2), 3) == 9)
            #expect(t_large_sum(t_large(values: (0, 0, 0, 0, 4)), 2) == 8)
            #expect(t_return_small(1, 2).b == 6)
            #expect(t_return_large(5).values.3 == 8)
            #expect(t_mix(1, 1, 1, 1) == 1111)
            #expect(t_half(3) == 1.5)
            #expect(t_long_double(2, 3, 4) == 10)
            #expect(call_vector() && call_int128())
            var buffer = [CChar](repeating: 0, count: 100)
            #expect(call_format_doubles(&buffer, 100) == 19)
            #expect(call_throw(3) == 3 && call_throw(4) == -4)
            #expect(t_depth(10) == 10 && t_fibonacci(10) == 55)
            var results = [Int64](repeating: 0, count: 8)
            call_fibonacci_in_threads(8, 10, &results)
            #expect(results == [Int64](repeating: 55, count: 8))
            let counts = t_counts()
            // One exit is missing for the exception.
            #expect(counts.entries > 1000 && counts.exits == counts.entries - 1)
            for traced in kept { traced.remove() }
            t_clear_counts()
            #expect(t_add(40, 2) == 42 && t_counts().entries == 0)
        }
    }

    /// Assembly functions, an entry shape each.
    @Suite struct EntryShapes {
        @Test("moved instructions of every shape do what they did, and can be unwound from")
        func run() throws {
            var index: Int32 = 0
            while let shape = t_shape_at(index) {
                index += 1
                let name = String(cString: shape.pointee.name)
                guard let function = shape.pointee.function else { throw HarnessError("no \(name)") }
                let inputs: [(Int64, Int64)] = [(40, 2), (0, 7), (1, 3), (-5, 1 << 40), (2, 0)]
                let expected = inputs.map { function($0, $1) }
                for kind in [TrampolineProgramKind.fentry, .session] {
                    let traced = try TracedFunction(symbol: name)
                    try traced.link(kind, "t_clobber_program")
                    try traced.link(kind, "t_program")
                    try traced.install()
                    t_log_clear()
                    #expect(inputs.map { function($0, $1) } == expected, "\(name)")
                    let perCall = kind == .session ? 2 : 1
                    #expect(t_log_count() == perCall * inputs.count, "\(name)")
                    let ranges = [
                        t_range(start: traced.entry.codeAddress, end: traced.entry.codeAddress + 256)
                    ]
                    var failure: UInt64 = 0
                    let checked = t_step_function(
                        UnsafeRawPointer(bitPattern: UInt(traced.address)), ranges, 1, &failure)
                    #expect(checked > 0 || traced.entry.code.isEmpty, "\(name) at +\(failure &- traced.entry.codeAddress)")
                    #expect(traced.entry.code.isEmpty == name.contains("nop"), "\(name)")
                    for (first, second) in zip(traced.entry.patch.places, traced.entry.patch.places.dropFirst()) {
                        #expect(first.original < second.original && first.moved <= second.moved, "\(name)")
                    }
                    traced.remove()
                    #expect(inputs.map { function($0, $1) } == expected, "\(name)")
                }
            }
            #expect(index > 20)
        }
    }

    /// How large and how quick an image is.
    @Suite struct Cost {
        @Test("images are a few hundred bytes")
        func size() throws {
            for (kinds, limit) in [([.fentry], 120), ([.session], 440), ([.fentry, .fmodRet, .session, .fexit], 560)]
                as [([TrampolineProgramKind], Int)]
            {
                let traced = try TracedFunction("t_add")
                for kind in kinds { try traced.link(kind, "t_clobber_program", cookie: 1, usesCookie: true) }
                try traced.install()
                let size = try #require(traced.image).code.count
                #expect(size < limit)
                print("image of \(kinds.map(\.rawValue).joined(separator: " ")): \(size) bytes")
            }
        }

        @Test("a traced call costs little more than the programs it runs")
        func time() throws {
            func nanoseconds(_ body: () -> Void) -> Double {
                var best = Double.infinity
                for _ in 0..<5 {
                    var start = timespec()
                    var end = timespec()
                    clock_gettime(CLOCK_MONOTONIC, &start)
                    body()
                    clock_gettime(CLOCK_MONOTONIC, &end)
                    best = min(
                        best, Double(end.tv_sec - start.tv_sec) * 1e9 + Double(end.tv_nsec - start.tv_nsec))
                }
                return best / 200_000
            }
            func calls() { for index in Int64(0)..<200_000 where t_add(index, 1) == 0 { fatalError() } }
            let two = CallingConvention(arguments: [.register(0), .register(1)])
            var line = "t_add: \(nanoseconds(calls)) ns"
            for (name, convention) in [("prototype known", two), ("unknown", .unknown)] {
                let traced = try TracedFunction("t_add", convention)
                try traced.link(.session, "t_clobber_program")
                try traced.install()
                line += ", a session, \(name): \(nanoseconds(calls)) ns"
            }
            let traced = try TracedFunction("t_add", two)
            try traced.link(.fentry, "t_clobber_program")
            try traced.install()
            let entry = nanoseconds(calls)
            print(line + ", fentry: \(entry) ns")
            #expect(entry < 200)
        }
    }
}
#endif
