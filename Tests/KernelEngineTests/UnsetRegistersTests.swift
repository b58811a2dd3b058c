import BPF
import KernelEngine
import Testing

@Suite("Registers that hold nothing")
struct UnsetRegistersTests {
    private let print = Instruction.call(.tracePrintk)

    /// Which of r3, r4 and r5 hold nothing at the one call of `bpf_trace_printk`.
    private func unset(_ instructions: [Instruction], parameters: [Int: Int] = [:]) throws -> [Register] {
        let slot = try #require(instructions.lastIndex(of: print))
        return UnsetRegisters(instructions, parameters: parameters).among([.r3, .r4, .r5], at: slot)
    }

    @Test("what was written stays, what a call took away is gone")
    func straight() throws {
        #expect(try unset([.move(.r2, 5), print, .exit]) == [.r3, .r4, .r5])
        #expect(try unset([.move(.r4, .r1), .move(.r2, 5), print, .exit]) == [.r3, .r5])
        #expect(try unset([.load(.u64, into: .r5, from: .r1), print, .exit]) == [.r3, .r4])
        #expect(try unset(Instruction.loadImmediate(.r3, 7) + [print, .exit]) == [.r4, .r5])
        #expect(try unset([.move(.r3, 1), .call(.ktimeGetNs), print, .exit]) == [.r3, .r4, .r5])
    }

    @Test("what is written on one way only counts as written")
    func branches() throws {
        #expect(try unset([.branch(.equal, .r1, 0, 1), .move(.r3, 1), print, .exit]) == [.r4, .r5])
        // Round a loop.
        #expect(try unset([.move(.r2, 1), print, .move(.r6, 0), .exit]) == [.r3, .r4, .r5])
        #expect(
            try unset([.move(.r6, 9), .move(.r2, 1), print, .subtract(.r6, 1), .move(.r4, 0), .branch(.notEqual, .r6, 0, -5), .exit])
                == [.r3, .r5])
    }

    @Test("a subprogram has what its callers pass, a callback as many as it takes")
    func subprograms() throws {
        let called: [Instruction] = [.move(.r2, 1), .move(.r3, 2), .call(.subprogram(1)), .exit, print, .exit]
        #expect(try unset(called) == [.r4, .r5])
        let callback = Instruction.loadImmediate(.function, .r2, first: 2) + [.exit, print, .exit]
        #expect(try unset(callback, parameters: [3: 2]) == [.r3, .r4, .r5])
        #expect(try unset(callback, parameters: [3: 4]) == [.r5])
        #expect(try unset(callback) == [])
    }

    @Test("a jump to nowhere and an empty program do no harm")
    func broken() throws {
        #expect(try unset([.jump(100), print]) == [])
        #expect(UnsetRegisters([]).among([.r3], at: 0) == [])
    }
}
