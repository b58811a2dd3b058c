import BPF
import Testing

@Suite("Patched objects")
struct PatchedObjectTests {
    @Test("subprograms and source lines move with the instructions that they name")
    func tables() throws {
        let object = try Object(
            bytes: compileBPF(
                """
                static __attribute__((noinline)) long twice(long value)
                {
                    return value + bpf_ktime_get_ns();
                }
                SEC("fsession/exe:main") int program(void *ctx)
                {
                    long first = bpf_get_smp_processor_id();
                    return twice(first) > 7;
                }
                """))
        let program = try #require(object.programs.first)
        let subprogram = try #require(program.subprograms.first)
        let call = try #require(program.instructions.firstIndex(of: .call(.getSmpProcessorId)))
        let patched = try program.replacing([call: [.move(.r0, 1), .move(.r0, 2), .move(.r0, 3)]])

        #expect(subprogram.start > call)
        #expect(patched.instructions.count == program.instructions.count + 2)
        #expect(patched.subprograms.map(\.start) == [subprogram.start + 2])
        #expect(patched.subprograms.map(\.name) == ["twice"])
        let structure = try ProgramStructure(patched.instructions)
        #expect(structure.subprograms.map(\.slots.lowerBound) == [0, subprogram.start + 2])

        #expect(program.lines.count > 3 && patched.lines.count == program.lines.count)
        for (before, after) in zip(program.lines, patched.lines) {
            #expect(after.line == before.line)
            #expect(after.slot == (before.slot <= call ? before.slot : before.slot + 2))
        }

        // Without the call, the instruction behind it is where the call was, and no two lines share a slot.
        let shorter = try program.replacing([call: []])
        #expect(shorter.instructions.count == program.instructions.count - 1)
        #expect(Set(shorter.lines.map(\.slot)).count == shorter.lines.count)
        #expect(shorter.lines.allSatisfy { $0.slot < shorter.instructions.count })
    }
}
