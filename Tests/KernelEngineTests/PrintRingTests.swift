import BPF
import Engine
import KernelEngine
import Testing

@Suite("Lines that programs print into a ring")
struct PrintRingTests {
    private func redirected(_ instructions: [Instruction]) throws -> ObjectProgram {
        let section = try #require(ProgramSection(name: "fentry/f"))
        return try PrintRing(firstMap: 3, typeID: nil)
            .redirecting(ObjectProgram(name: "p", section: section, instructions: instructions), nil)
    }

    @Test("each call of a helper that prints becomes one of a function behind the program")
    func calls() throws {
        let print = Instruction.call(.tracePrintk)
        let result = try redirected([.move(.r3, 1), print, .call(.traceVprintk), .branch(.equal, .r0, 0, -3), print, .exit])
        #expect(!result.prints)
        #expect(result.subprograms.map(\.name) == ["fsession_printk", "fsession_vprintk"])
        let structure = try ProgramStructure(result.instructions)
        #expect(structure.subprograms.map(\.slots.lowerBound) == [0] + result.subprograms.map(\.start))
        let targets = result.instructions.indices.compactMap { slot -> Int? in
            guard case .call = result.instructions[slot].opcode, result.instructions[slot].source == .r1 else { return nil }
            return slot + 1 + Int(result.instructions[slot].immediate)
        }
        #expect(targets == [0, 1, 0].map { result.subprograms[$0].start })
        // r3 was set before the first call; behind a call nothing is.
        let zeros: [Instruction] = [.move(.r3, 0), .move(.r4, 0), .move(.r5, 0)]
        #expect(Array(result.instructions[1...2]) == Array(zeros[1...]))
        #expect(result.instructions.prefix(result.subprograms[0].start).count { $0 == zeros[0] } == 1)
    }

    @Test("a program that prints with one helper gets one function")
    func one() throws {
        #expect(try redirected([.call(.traceVprintk), .exit]).subprograms.map(\.name) == ["fsession_vprintk"])
        #expect(try redirected([.move(.r0, 0), .exit]).instructions == [.move(.r0, 0), .exit])
    }

    /// time, thread and process, length, text
    private func event(_ length: Int64, _ text: String) -> EngineEvent? {
        var record: [UInt8] = []
        for word: UInt64 in [77, 5 << 32 | 6, UInt64(bitPattern: length)] {
            withUnsafeBytes(of: word.littleEndian) { record += $0 }
        }
        record += Array(text.utf8) + Array(repeating: 0, count: 32)
        return record.withUnsafeBytes { PrintRecord.decode($0, endsLine: true) }
    }

    @Test("a record becomes a line with its time, process and thread; one without text becomes none")
    func records() throws {
        guard case .print(77, 5, 6, "text\n") = event(5, "text") else { return #expect(Bool(false), "\(String(describing: event(5, "text")))") }
        guard case .print(_, _, _, "two\nlines\n") = event(11, "two\nlines\n") else { return #expect(Bool(false)) }
        guard case nil = event(-22, "what was there before") else { return #expect(Bool(false)) }
        guard case nil = [UInt8](repeating: 1, count: 8).withUnsafeBytes({ PrintRecord.decode($0, endsLine: true) }) else {
            return #expect(Bool(false))
        }
    }
}
