import BPF
import JIT
import Testing
import Verifier

#if canImport(Glibc)
import Glibc
#endif

/// Programs that the verifier accepts run in the interpreter, which checks every access.
@Suite("what is accepted does no harm")
struct FuzzTests {
    /// Longer with `make fuzz`.
    static let seconds = getenv("FSESSION_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) } ?? 20
    static let firstSeed = getenv("FSESSION_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    @Test("generated and mutated programs: no bad access, no leak, no run longer than the walk, values within bounds")
    func soundness() throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds)
        var fuzzer = Fuzzer()
        var seed = Self.firstSeed
        while clock.now < end {
            for _ in 0..<50 {
                for problem in fuzzer.check(seed) { Issue.record("\(problem)") }
                seed += 1
            }
        }
        print("fuzz: \(fuzzer.count), seeds \(Self.firstSeed)..<\(seed)")
        // Else nothing has been tested.
        #expect(fuzzer.count.accepted * 20 > fuzzer.count.programs)
        #expect(fuzzer.count.compared > fuzzer.count.accepted)
        #expect(fuzzer.count.tailCalls > 0 && fuzzer.count.globals > 0)
    }

    /// What has been wrong once: each rule is left out, and programs that it keeps from running must be found.
    @Test("without one of its rules, the verifier accepts programs that are seen to do harm", arguments: Fuzzer.Omission.allCases)
    func finds(_ omission: Fuzzer.Omission) {
        let start = ContinuousClock().now
        var fuzzer = Fuzzer(omission)
        var seed: UInt64 = 1
        var found: Fuzzer.Problem?
        while found == nil, ContinuousClock().now - start < .seconds(240) {
            found = fuzzer.check(seed).first
            seed += 1
        }
        print("fuzz without \(omission): \(ContinuousClock().now - start), \(fuzzer.count.programs) programs, \(found.map { $0.what } ?? "nothing")")
        #expect(found != nil, "\(omission): nothing found in \(fuzzer.count)")
    }
}
