import BPF
import MachineCode

extension X86_64Emitter {
    /// `struct fs_clock`: base_tsc, base_ns, mult, in bytes; and the size of one.
    private static let baseCount: Int32 = 0
    private static let baseNanoseconds: Int32 = 8
    private static let multiplier: Int32 = 16
    private static let clockShift: UInt8 = 5

    /// `bpf_ktime_get_ns`: base_ns + ((counter - base_tsc) * mult >> 32), by the clock that the index names before
    /// and after. Where it changes meanwhile, this processor's counter lags, or the process has given the counter up
    /// (strict seccomp), the helper is called; it keeps what
    /// the quick way does not change, so that a trampoline need not.
    mutating func emitClock(_ clock: CompileContext.Clock, helper: UInt64) {
        let slow = assembler.makeLabel()
        let done = assembler.makeLabel()
        let index = X86_64Memory.at(.r9, Int32(truncatingIfNeeded: clock.index &- clock.parameters))
        if let filtered = clock.filtered {
            emitConstant(.r9, filtered)
            assembler.alu(.cmp, .at(.r9), immediate: 0, .dword)
            assembler.jcc(.notEqual, slow, .automatic)
        }
        emitConstant(.r9, clock.parameters)
        assembler.mov(.r10, index, .dword)
        assembler.mov(.r11, .r10, .dword)
        assembler.alu(.and, .r11, immediate: 1, .dword)
        assembler.shift(.shl, .r11, by: Self.clockShift, .dword)
        assembler.alu(.add, .r11, .r9)
        assembler.rdtsc()
        assembler.shift(.shl, .rdx, by: 32)
        assembler.alu(.or, .rax, .rdx)
        assembler.alu(.sub, .rax, .at(.r11, Self.baseCount))
        assembler.jcc(.below, slow, .automatic)
        assembler.mov(.rdx, .at(.r11, Self.multiplier))
        assembler.mul(.rdx)
        assembler.shift(.shr, .rax, by: 32)
        assembler.shift(.shl, .rdx, by: 32)
        assembler.alu(.or, .rax, .rdx)
        assembler.alu(.add, .rax, .at(.r11, Self.baseNanoseconds))
        assembler.alu(.cmp, .r10, index, .dword)
        assembler.jcc(.equal, done, .automatic)
        assembler.bind(slow)
        let kept: [X86_64Register] = [.rcx, .rsi, .rdi, .r8]
        for register in kept { assembler.push(register) }
        emitHelperCall(helper)
        for register in kept.reversed() { assembler.pop(register) }
        assembler.bind(done)
    }
}
