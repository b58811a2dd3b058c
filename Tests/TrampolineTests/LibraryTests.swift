import Glibc
import MachineCode
import Testing
import Trampoline

#if arch(x86_64)
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
            X86_64.patchedInterior(of: CodeRange(address: $0.address, bytes: Array($0.bytes.prefix(4))))
        }
        // Overlapping functions would need a merged list; symbols of different addresses have different ones.
        var separate: [Range<UInt64>] = []
        for interior in interiors where separate.last.map({ $0.upperBound <= interior.lowerBound }) ?? true {
            separate.append(interior)
        }
        let hits = library.text.withUnsafeBytes {
            X86_64.branches(in: $0, base: library.textAddress, into: separate)
        }
        let hitTargets = Dictionary(grouping: hits.map(\.branch.target)) { $0 >> 4 }
        for (index, function) in functions.enumerated() {
            result.total += 1
            var entered =
                (hitTargets[interiors[index].lowerBound >> 4] ?? [])
                + (hitTargets[interiors[index].upperBound >> 4] ?? [])
            if index + 1 < functions.count { entered.append(functions[index + 1].address) }
            let neighbours = [index - 1, index + 1].filter(functions.indices.contains).map {
                CodeRange(address: functions[$0].address, bytes: functions[$0].bytes)
            }
            do throws(DisplacementError) {
                let entry = try X86_64.displace(
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
#endif
