import BPF
import KernelEngine
import Testing

@Suite("Loads of the return value")
struct ReturnReadsTests {
    /// Where a program reads the word behind two arguments.
    private func slots(_ instructions: [Instruction]) throws -> [Int] {
        let section = try #require(ProgramSection(name: "fsession"))
        return ReturnReads.slots(in: ObjectProgram(name: "p", section: section, instructions: instructions), arguments: 2)
    }

    private func load(_ base: Register, _ offset: Int16, _ type: MemoryType = .u64) -> Instruction {
        .load(type, into: .r0, from: base, offset: offset)
    }

    @Test("from ctx itself, whole or in part, and from no other word")
    func straight() throws {
        #expect(try slots([load(.r1, 16), load(.r1, 8), load(.r1, 24), load(.r1, 20, .u32), load(.r2, 16), .exit]) == [0, 3])
    }

    @Test("from copies in registers and on the stack, moved and not overwritten")
    func copies() throws {
        #expect(try slots([.move(.r6, .r1), .add(.r6, 8), load(.r6, 8), load(.r6, 16), .exit]) == [2])
        let saved: [Instruction] = [.store(.u64, .r1, to: .r10, offset: -8), .move(.r1, 0), .load(.u64, into: .r7, from: .r10, offset: -8)]
        #expect(try slots(saved + [load(.r7, 16), load(.r1, 16), .exit]) == [3])
        #expect(try slots([saved[0], .store(.u32, .r2, to: .r10, offset: -4), saved[2], load(.r7, 16), .exit]) == [])
        #expect(try slots([.move(.r6, .r1), .call(.ktimeGetNs), load(.r1, 16), load(.r6, 16), .exit]) == [3])
    }

    @Test("where ways meet only what holds on both, round a loop, and in subprograms")
    func ways() throws {
        #expect(try slots([.move(.r6, .r1), .branch(.equal, .r2, 0, 1), .move(.r6, 0), load(.r6, 16), load(.r1, 16), .exit]) == [4])
        #expect(try slots([load(.r1, 16), .add(.r1, 8), .branch(.notEqual, .r2, 0, -3), .exit]) == [])
        #expect(try slots([.move(.r6, .r1), .move(.r2, .r1), .call(.subprogram(1)), .exit, load(.r2, 16), load(.r6, 16), .exit]) == [4])
        #expect(try slots([.jump(1), load(.r1, 16), .exit]) == [])
    }
}
