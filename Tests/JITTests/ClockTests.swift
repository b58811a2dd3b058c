import BPF
import Glibc
import JIT
import MachineCode
import TestSupport
import Testing

/// `bpf_ktime_get_ns` as code of the program itself.
@Suite("The compiled clock")
struct ClockTests {
    /// `clock` and `clock_index` of `struct fs_state`: two of base_tsc, base_ns, mult, unused; then the index.
    private final class Clock {
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 9)

        init(_ first: (UInt64, UInt64, UInt64), _ second: (UInt64, UInt64, UInt64), index: UInt64) {
            for (place, word) in [first.0, first.1, first.2, 0, second.0, second.1, second.2, 0, index].enumerated() {
                words[place] = word
            }
        }

        deinit { words.deallocate() }

        var address: UInt64 { UInt64(UInt(bitPattern: words)) }
    }

    /// What the helper answers; it destroys all registers that a C function may.
    private static let helper: @convention(c) () -> UInt64 = {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { bytes in
            for index in bytes.indices { bytes[index] = 0xff }
            return 4711 + UInt64(bytes[17]) - 255
        }
    }

    private func run(_ instructions: [Instruction], _ clock: Clock) throws -> UInt64 {
        let memory = try ExecutableMemory(byteCount: 4096) { address in
            let context = CompileContext(
                address: address, clock: .init(parameters: clock.address, index: clock.address + 64),
                helperAddress: { _ in UInt64(UInt(bitPattern: unsafeBitCast(ClockTests.helper, to: UnsafeRawPointer.self))) })
            return try X86_64Compiler.compile(instructions, context: context).code
        }
        return memory.call()
    }

    private static let read: [Instruction] = [.call(.helper(Helper.ktimeGetNs.rawValue)), .exit]

    private func counter() throws -> UInt64 {
        var assembler = X86_64Assembler()
        assembler.rdtsc()
        assembler.shift(.shl, .rdx, by: 32)
        assembler.alu(.or, .rax, .rdx)
        assembler.ret()
        return try ExecutableMemory(try assembler.finish(at: 0)).call()
    }

    @Test("the clock that the index names is used", arguments: [0, 1, 2, 3] as [UInt64])
    func converts(index: UInt64) throws {
        let before = try counter()
        // Twice as fast and half as fast as the counter.
        let clock = Clock((before, 1000, 2 << 32), (before, 1 << 60, 1 << 31), index: index)
        let time = try run(Self.read, clock)
        let passed = try counter() - before
        if index % 2 == 0 {
            #expect(time >= 1000 && time <= 1000 + 2 * passed)
        } else {
            #expect(time >= 1 << 60 && time <= 1 << 60 + passed / 2)
        }
    }

    @Test("the product has 96 bits")
    func large() throws {
        let clock = Clock((0, 0, UInt64(UInt32.max)), (0, 0, 0), index: 0)
        let before = try counter()
        let time = try run(Self.read, clock)
        let after = try counter()
        #expect(time >= before - before >> 32 - 1 && time <= after)
    }

    @Test("where the counter lags behind its base, the helper is called, and the stack stays what it was")
    func lags() throws {
        let ahead = try counter() + 1 << 50
        let clock = Clock((ahead, 0, 1 << 32), (ahead, 0, 1 << 32), index: 0)
        #expect(try run(Self.read, clock) == 4711)
        var program: [Instruction] = []
        for slot in 1...16 { program.append(.store(.u64, Int32(slot), to: .r10, offset: Int16(-8 * slot))) }
        program += [.move(.r6, 100), .call(.helper(Helper.ktimeGetNs.rawValue)), .add(.r0, .r6)]
        for slot in 1...16 {
            program += [.load(.u64, into: .r1, from: .r10, offset: Int16(-8 * slot)), .add(.r0, .r1)]
        }
        program.append(.exit)
        #expect(try run(program, clock) == 4711 + 100 + 136)
    }
}
