import BPF
import JIT
import TestSupport
import Testing

@Suite("Interpreter")
struct InterpreterTests {
    private func run(
        _ text: String, memory: [MemoryRegion] = [], context: UInt64 = 0, limit: Int = 100_000,
        helpers: Interpreter.HelperHandler = { call throws(InterpreterError) in throw .unknownHelper(call.id) }
    ) throws -> UInt64 {
        var interpreter = try Interpreter(Assembler.assemble(text))
        interpreter.instructionLimit = limit
        return try interpreter.run(context: context, memory: memory, helpers: helpers)
    }

    /// Calls `body` with 16 bytes in the middle of an allocation.
    private func withMemory(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 48, alignment: 16)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0xaa)
        try body(UnsafeMutableRawBufferPointer(rebasing: buffer[16..<32]))
    }

    @Test(
        "each access must lie inside one region, to the byte",
        arguments: [
            ("r0 = *(u64 *)(r1 +8)", true), ("r0 = *(u64 *)(r1 +9)", false), ("r0 = *(u64 *)(r1 -1)", false),
            ("r0 = *(u8 *)(r1 +15)", true), ("r0 = *(u8 *)(r1 +16)", false), ("r0 = *(u8 *)(r1 -1)", false),
            ("*(u32 *)(r1 +12) = 1", true), ("*(u32 *)(r1 +13) = 1", false), ("*(u16 *)(r1 -1) = 1", false),
            ("lock *(u64 *)(r1 +8) += r2", true), ("lock *(u64 *)(r1 +9) += r2", false),
            ("r2 = atomic_xchg((u32 *)(r1 +12), r2)", true), ("r2 = atomic_xchg((u32 *)(r1 +14), r2)", false),
        ])
    func bounds(_ access: String, _ isAllowed: Bool) throws {
        try withMemory { memory throws in
            let region = MemoryRegion(memory)
            if isAllowed {
                _ = try run("r2 = 1\n\(access)\nr0 = 0\nexit", memory: [region], context: region.address)
            } else {
                #expect(throws: InterpreterError.self) {
                    try run("r2 = 1\n\(access)\nr0 = 0\nexit", memory: [region], context: region.address)
                }
            }
        }
    }

    @Test("a refused write changes nothing and names its instruction, address and size")
    func refusedWrite() throws {
        try withMemory { memory throws in
            let readable = MemoryRegion(UnsafeRawBufferPointer(memory))
            #expect(try run("r0 = *(u8 *)(r1 +3)\nexit", memory: [readable], context: readable.address) == 0xaa)
            for store in ["*(u32 *)(r1 +4) = 1", "lock *(u32 *)(r1 +4) += r0"] {
                let expected = InterpreterError.access(
                    slot: 1, address: readable.address + 4, byteCount: 4, isWrite: true)
                #expect(throws: expected) {
                    try run("r0 = 0\n\(store)\nexit", memory: [readable], context: readable.address)
                }
            }
            #expect(memory.allSatisfy { $0 == 0xaa })
        }
    }

    @Test(
        "addresses at the very end, null and a wrapping range are refused",
        arguments: [
            "0x0", "0xffffffffffffffff", "0xfffffffffffffff9", "0x7fffffffffffffff",
        ])
    func wildAddresses(_ address: String) throws {
        try withMemory { memory throws in
            #expect(throws: InterpreterError.self) {
                try run("r3 = \(address)\nr0 = *(u64 *)(r3 +0)\nexit", memory: [MemoryRegion(memory)])
            }
        }
    }

    @Test("regions side by side do not join into one")
    func adjacentRegions() throws {
        try withMemory { memory throws in
            let low = MemoryRegion(UnsafeMutableRawBufferPointer(rebasing: memory[..<8]))
            let high = MemoryRegion(UnsafeMutableRawBufferPointer(rebasing: memory[8...]))
            #expect(try run("r0 = *(u8 *)(r1 +8)\nexit", memory: [low, high], context: low.address) == 0xaa)
            #expect(throws: InterpreterError.self) {
                try run("r0 = *(u16 *)(r1 +7)\nexit", memory: [low, high], context: low.address)
            }
        }
    }

    @Test("a callee's stack is gone after its exit")
    func staleStack() {
        #expect(throws: InterpreterError.self) {
            try run("call f\nr0 = *(u64 *)(r0 +0)\nexit\nf: r0 = r10\nr0 += -8\nexit")
        }
    }

    @Test("an access below the 512 bytes of stack is refused")
    func stackEnd() throws {
        #expect(try run("r2 = r10\nr2 += -512\nr0 = *(u8 *)(r2 +0)\nexit") == 0)
        #expect(throws: InterpreterError.self) { try run("r2 = r10\nr2 += -513\nr0 = *(u8 *)(r2 +0)\nexit") }
    }

    @Test("an endless loop ends at the limit, and a ninth frame is refused")
    func limits() {
        #expect(throws: InterpreterError.instructionLimit(slot: 0)) { try run("goto pc-1") }
        #expect(throws: InterpreterError.tooManyFrames(slot: 0)) { try run("r0 = 0\ncall pc-2\nexit") }
    }

    @Test("helpers get r1 to r5 and their result is r0")
    func helperArguments() throws {
        let result = try run(
            "r1 = 1\nr2 = 2\nr3 = 3\nr4 = 4\nr5 = 5\nr6 = 6\ncall unknown#7777\nr0 += r6\nexit"
        ) { call throws(InterpreterError) in
            #expect(call.id == 7777)
            return call.r1 + 10 * call.r2 + 100 * call.r3 + 1000 * call.r4 + 10_000 * call.r5
        }
        #expect(result == 54_327)
        #expect(throws: InterpreterError.unknownHelper(1)) { try run("call bpf_map_lookup_elem\nexit") }
    }

    @Test("a helper can call back, as bpf_loop does, with the caller's stack in reach")
    func callback() throws {
        let program = """
            *(u64 *)(r10 -8) = 0
            r1 = 10
            r2 = subprog[add]
            r3 = r10
            r3 += -8
            r4 = 0
            call bpf_loop
            r1 = *(u64 *)(r10 -8)
            r0 *= 1000
            r0 += r1
            exit
            add:
            r3 = *(u64 *)(r2 +0)
            r3 += r1
            *(u64 *)(r2 +0) = r3
            r0 = 0
            if r1 != 6 goto pc+1
            r0 = 1
            exit
            """
        let result = try run(program) { call throws(InterpreterError) in
            #expect(call.id == Helper.loop.rawValue)
            for index in 0..<call.r1 {
                if try call.callBack(call.r2, index, call.r3) != 0 { return index + 1 }
            }
            return call.r1
        }
        #expect(result == 7 * 1000 + 21)
    }

    @Test("what is no function of the program cannot be called back")
    func badCallback() {
        for value in ["r2 = 5", "r2 = r10", "r2 = 0xbf00000000000000", "r2 = 0xbf00000000000001", "r2 = 0xbf000000ffffffff"] {
            #expect(throws: InterpreterError.self) {
                try run("\(value)\ncall bpf_loop\nexit") { call throws(InterpreterError) in
                    try call.callBack(call.r2)
                }
            }
        }
    }

    @Test("memory that a helper adds can be used from then on, and no longer once it is taken away")
    func addedMemory() throws {
        try withMemory { memory throws in
            let region = MemoryRegion(memory)
            let program = "call unknown#1000\nr6 = r0\n*(u64 *)(r6 +0) = 9\nr0 = *(u64 *)(r6 +0)\n"
            #expect(
                try run(program + "exit") { call throws(InterpreterError) in
                    call.add(region)
                    return region.address
                } == 9)
            #expect(throws: InterpreterError.self) {
                try run(program + "call unknown#1001\nr0 = *(u64 *)(r6 +0)\nexit") { call throws(InterpreterError) in
                    if call.id == 1000 { call.add(region) } else { call.remove(region) }
                    return region.address
                }
            }
        }
    }

    @Test("a tail call replaces the program, from a subprogram only that, and stops after 33")
    func tailCalls() throws {
        let target = try Interpreter(Assembler.assemble("r0 = r1\nr0 += 100\nexit"))
        let handler = { (call: HelperCall) throws(InterpreterError) -> UInt64 in
            call.tailCall(to: target)
            return 0
        }
        #expect(try run("r1 = 5\ncall bpf_tail_call\nr0 = 1\nexit", helpers: handler) == 105)
        #expect(
            try run("r1 = 5\ncall f\nr0 += 1000\nexit\nf: call bpf_tail_call\nr0 = 1\nexit", helpers: handler) == 1105)

        let endless = try Interpreter(Assembler.assemble("r1 += 1\ncall bpf_tail_call\nr0 = r1\nexit"))
        let result = try endless.run(context: 0) { call throws(InterpreterError) in
            call.tailCall(to: endless)
            return 0
        }
        #expect(result == UInt64(Interpreter.tailCallLimit) + 1)
    }

    @Test(
        "maps and externs that are not resolved are refused where they are used",
        arguments: [
            "r1 = map[idx:0]", "r1 = map[id:3]", "r1 = ksym[0]", "call kernel-function#0",
        ])
    func unresolved(_ instruction: String) {
        #expect(throws: InterpreterError.unresolved(slot: 0)) { try run("\(instruction)\nexit") }
    }
}
