import Glibc

extension RegistersX86_64 {
    /// `syscall; ret`, and `mov $15, %rax; syscall`, by which a signal handler's `ret` ends in rt_sigreturn.
    static let returnPatterns: (callAndReturn: [UInt8], restorer: [UInt8])? = (
        [0x0f, 0x05, 0xc3], [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]
    )

    /// `struct rt_sigframe` at `address`, its vector registers behind it: what the kernel writes for a signal
    /// handler, with these registers in it.
    ///
    /// - `vectors`: as NT_X86_XSTATE gives them.
    func returnFrame(at address: UInt64, restorer: UInt64, signalMask: UInt64, vectors: [UInt8]) -> [UInt8] {
        let vectorState = Self.signalVectors(vectors)
        // Aligned as xrstor demands.
        let vectorAddress = (address + 440 + 63) & ~63
        let back = afterSignal
        var words: [UInt64] = [
            restorer,
            // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS; no next context.
            vectorState.isEmpty ? 6 : 7, 0,
            // The alternate stack stays what it is: with flags that nobody knows it is not set.
            0, 0x7fff_ffff, 0,
            back.r8, back.r9, back.r10, back.r11, back.r12, back.r13, back.r14, back.r15,
            back.rdi, back.rsi, back.rbp, back.rbx, back.rdx, back.rax, back.rcx, back.rsp, back.rip, back.eflags,
            // cs, gs, fs, ss; err, trapno, oldmask, cr2
            back.cs & 0xffff | 0x2b << 48, 0, 0, 0, 0,
            vectorState.isEmpty ? 0 : vectorAddress,
        ]
        words += Array(repeating: 0, count: 8) + [signalMask]
        var bytes = words.flatMap { word in withUnsafeBytes(of: word.littleEndian, Array.init) }
        bytes += Array(repeating: 0, count: Int(vectorAddress - address) - bytes.count)
        return bytes + vectorState
    }

    /// The registers with which a signal handler would return to the thread: a system call that was interrupted
    /// begins again, or has failed with EINTR.
    private var afterSignal: RegistersX86_64 {
        guard isInterruptedSystemCall else { return self }
        var changed = self
        if systemCallResult == RestartCode.restartBlock {
            changed.rax = UInt64(bitPattern: Int64(-EINTR))
        } else {
            changed.rax = origRax
            changed.rip -= UInt64(Self.systemCallInstruction.count)
        }
        return changed
    }

    /// An xsave area with the marks of one in a signal frame. Without AMX's tiles, which the kernel takes only from
    /// processes that have asked for them.
    private static func signalVectors(_ state: [UInt8]) -> [UInt8] {
        guard state.count >= 576 else { return [] }
        let size = min(state.count, 2696)
        var bytes = Array(state[..<size])
        func put(_ value: UInt32, at offset: Int) {
            for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
        }
        // struct _fpx_sw_bytes: FP_XSTATE_MAGIC1, size with the second mark, features, size. ptrace has the
        // features where the marks are to be.
        let features = Array(state[464..<472])
        put(0x4650_5853, at: 464)
        put(UInt32(size + 4), at: 468)
        bytes.replaceSubrange(472..<480, with: features)
        put(UInt32(size), at: 480)
        for index in 484..<512 { bytes[index] = 0 }
        return bytes + [0x45, 0x58, 0x50, 0x46]  // FP_XSTATE_MAGIC2
    }
}
