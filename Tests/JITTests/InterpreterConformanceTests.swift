import BPF
import JIT
import Testing

@Suite("Conformance")
struct ConformanceTests {
    @Test("each case returns what RFC 9669 says", arguments: Engine.allCases)
    func cases(_ engine: Engine) throws {
        #expect(ConformanceCase.all.count >= 150)
        for conformanceCase in ConformanceCase.all {
            #expect(try runCase(conformanceCase, engine: engine) == conformanceCase.result, "\(conformanceCase.name)")
        }
    }
}
