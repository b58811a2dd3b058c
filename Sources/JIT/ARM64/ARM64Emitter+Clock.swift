import BPF
import MachineCode

extension ARM64Emitter {
    /// `struct fs_clock`: base_tsc and base_ns, then mult, in bytes; and the size of one, as a power of two.
    private static let bases = 0
    private static let multiplier = 16
    private static let clockShift: UInt8 = 5

    /// `bpf_ktime_get_ns`: base_ns + ((counter - base_tsc) * mult >> 32), by the clock that the index names before
    /// and after. Where it changes meanwhile, this processor's counter lags, or the process has given the counter up
    /// (strict seccomp), the helper is called; it keeps what the quick way does not change, so that a trampoline need not.
    ///
    /// The counter ticks every 1 to 50 ns, and so exact are the times. There is no `isb` before it: a processor reads it early
    /// by less than a tick, and where that is before the clock's base, the counter lags, see above.
    mutating func emitClock(_ clock: CompileContext.Clock, helper: UInt64) {
        let slow = assembler.makeLabel()
        let done = assembler.makeLabel()
        if let filtered = clock.filtered {
            emitConstant(.x9, filtered)
            assembler.ldr(.x9, .at(.x9), .word)
            assembler.cb(zero: false, .x9, slow, .word)
        }
        emitConstant(.x9, clock.index)
        assembler.ldr(.x10, .at(.x9), .word)
        let distance = clock.index &- clock.parameters
        if ARM64Constant.isArithmetic(distance) {
            assembler.sub(.x16, .x9, immediate: UInt32(distance))
        } else {
            emitConstant(.x16, clock.parameters)
        }
        // The clock's address depends on the index, so it is read after it.
        assembler.logical(.and, .x11, .x10, immediate: 1)
        assembler.add(.x11, .x16, .x11, by: Self.clockShift)
        assembler.mrs(.x7, .counter)
        assembler.ldp(.x16, .x17, .at(.x11, Self.bases))
        assembler.ldr(.x11, .at(.x11, Self.multiplier))
        assembler.subs(.x7, .x7, .x16)
        assembler.b(.lower, slow)
        assembler.umulh(.x16, .x7, .x11)
        assembler.mul(.x7, .x7, .x11)
        assembler.extr(.x7, .x16, .x7, from: 32)
        assembler.add(.x7, .x7, .x17)
        // And the index's second reading depends on all that was read of the clock.
        assembler.logical(.exclusiveOr, .x16, .x7, .x7)
        assembler.ldr(.x16, .indexed(.x9, .x16), .word)
        assembler.cmp(.x16, .x10, .word)
        assembler.b(.equal, done)
        assembler.bind(slow)
        var kept: [(ARM64Register, ARM64Register)] = [(.x29, .x30), (.x0, .x1), (.x2, .x3), (.x4, .x5), (.x6, .x8)]
        if !frame.hasRecord && !frame.keptRegisters.isEmpty { kept += [(.x12, .x13), (.x14, .x15)] }
        for (index, pair) in kept.enumerated() {
            assembler.stp(pair.0, pair.1, .before(.sp, -16))
            if index == 0 { assembler.mov(.x29, .sp) }
        }
        emitHelperCall(helper)
        for pair in kept.reversed() { assembler.ldp(pair.0, pair.1, .after(.sp, 16)) }
        assembler.bind(done)
    }
}
