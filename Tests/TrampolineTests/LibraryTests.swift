import Glibc
import Testing
import Trampoline
import TrampolineFunctions

/// Displaces functions of installed libraries, reading the files only.
@Suite struct Libraries {
    struct Result {
        var total = 0
        var nops = 0
        var refused: [String: Int] = [:]
        var examples: [String: String] = [:]
        var refusedCount: Int { refused.values.reduce(0, +) }
    }

    func analyse(_ library: FunctionSymbols) -> Result {
        var result = Result()
        let functions = library.functions
        let interiors = functions.map {
            X86_64Trampoline.patchedInterior(of: CodeRange(address: $0.address, bytes: Array($0.bytes.prefix(4))))
        }
        // Overlapping functions would need a merged list; symbols of different addresses have different ones.
        var separate: [Range<UInt64>] = []
        for interior in interiors where separate.last.map({ $0.upperBound <= interior.lowerBound }) ?? true {
            separate.append(interior)
        }
        let hits = library.text.withUnsafeBytes {
            ModuleBranchScan.branches(in: $0, base: library.textAddress, into: separate)
        }
        let hitTargets = Dictionary(grouping: hits.map(\.branch.target)) { $0 >> 4 }
        for (index, function) in functions.enumerated() {
            result.total += 1
            var entered = (hitTargets[interiors[index].lowerBound >> 4] ?? [])
                + (hitTargets[interiors[index].upperBound >> 4] ?? [])
            if index + 1 < functions.count { entered.append(functions[index + 1].address) }
            let neighbours = [index - 1, index + 1].filter(functions.indices.contains).map {
                CodeRange(address: functions[$0].address, bytes: functions[$0].bytes)
            }
            do throws(DisplacementError) {
                let entry = try X86_64Trampoline.displace(
                    DisplacementRequest(
                        function: CodeRange(address: function.address, bytes: function.bytes),
                        following: function.following, enteredAt: entered, neighbours: neighbours),
                    at: function.address &+ 0x1000_0000)
                if entry.code.isEmpty { result.nops += 1 }
            } catch {
                result.refused[error.reason, default: 0] += 1
                result.examples[error.reason] = "\(function.name): \(error)"
            }
        }
        return result
    }

    @Test(
        "nearly every function of installed libraries can be displaced",
        arguments: ["libc.so.6", "libz.so.1", "libcrypto.so.3", "libsqlite3.so.0", "libstdc++.so.6"])
    func libraries(name: String) throws {
        guard let library = FunctionSymbols(path: "/usr/lib/x86_64-linux-gnu/" + name), !library.functions.isEmpty
        else { return }
        let start = clock()
        let result = analyse(library)
        let milliseconds = (clock() - start) * 1000 / Int(CLOCKS_PER_SEC)
        let share = Double(result.refusedCount) / Double(result.total)
        print("\(name): \(result.total) functions, refused \(result.refusedCount), \(milliseconds) ms")
        for (reason, count) in result.refused.sorted(by: { $0.value > $1.value }) {
            print("  \(count) \(reason), as \(result.examples[reason] ?? "")")
        }
        #expect(result.total > 50)
        #expect(share < 0.1, "\(result.refused)")
    }
}

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
}
