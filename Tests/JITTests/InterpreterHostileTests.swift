import BPF
import JIT
import Testing

@Suite("Interpreter, hostile programs")
struct InterpreterHostileTests {
    /// Well-formed programs of any instructions, values of registers left to chance, ending in an exit.
    private struct Generator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 11 ^ state << 53
        }

        mutating func slot(position: Int, count: Int) -> Instruction {
            while true {
                var slot = Instruction(encoded: next())
                if slot.opcode.instructionClass == .load { slot.immediate = 0 }
                slot.offset = Int16(truncatingIfNeeded: next() % 64) - 48
                if slot.distance != nil {
                    let target = Int(next() % UInt64(count))
                    slot.offset = 0
                    _ = slot.setDistance(target - position - 1)
                }
                if case .some = try? slot.operation(followedBy: nil) { return slot }
                // Reserved fields are the usual reason.
                slot.source = .r0
                if slot.opcode.instructionClass != .load, slot.distance == nil { slot.offset = 0 }
                if case .some = try? slot.operation(followedBy: nil) { return slot }
            }
        }
    }

    @Test("random programs end with a result or an error, and write to nothing but their memory")
    func random() {
        let guardSize = 64
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 3 * guardSize, alignment: 16)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0x5a)
        let region = MemoryRegion(UnsafeMutableRawBufferPointer(rebasing: buffer[guardSize..<2 * guardSize]))
        var generator = Generator(state: 1)
        var results = 0
        var errors = 0
        var refused = 0
        for _ in 0..<10_000 {
            let count = 12
            var program = (0..<count - 1).map { generator.slot(position: $0, count: count) }
            program.append(.exit)
            guard var interpreter = try? Interpreter(program) else {
                refused += 1
                continue
            }
            interpreter.instructionLimit = 500
            do {
                _ = try interpreter.run(
                    context: region.address, second: 64, memory: [region],
                    helpers: { call throws(InterpreterError) in
                        if call.id % 3 == 0 { return try call.callBack(call.r1) }
                        if call.id % 3 == 1 { call.tailCall(to: interpreter) }
                        return call.r1 ^ UInt64(call.id)
                    })
                results += 1
            } catch {
                errors += 1
            }
        }
        #expect(results > 500 && errors > 500, "results \(results), errors \(errors), refused \(refused)")
        #expect(buffer[..<guardSize].allSatisfy { $0 == 0x5a } && buffer[(2 * guardSize)...].allSatisfy { $0 == 0x5a })
    }
}
