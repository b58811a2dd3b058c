import MachineCode

extension X86_64 {
    package typealias Registers = RegistersX86_64
}

/// struct user_regs_struct of x86-64.
package struct RegistersX86_64: ThreadRegisters {
    package var words: [UInt64]
    package static let wordCount = 27

    package init(words: [UInt64]) {
        self.words = Array((words + Array(repeating: 0, count: Self.wordCount)).prefix(Self.wordCount))
    }

    package var r15: UInt64 {
        get { words[0] }
        set { words[0] = newValue }
    }
    package var r14: UInt64 {
        get { words[1] }
        set { words[1] = newValue }
    }
    package var r13: UInt64 {
        get { words[2] }
        set { words[2] = newValue }
    }
    package var r12: UInt64 {
        get { words[3] }
        set { words[3] = newValue }
    }
    package var rbp: UInt64 {
        get { words[4] }
        set { words[4] = newValue }
    }
    package var rbx: UInt64 {
        get { words[5] }
        set { words[5] = newValue }
    }
    package var r11: UInt64 {
        get { words[6] }
        set { words[6] = newValue }
    }
    package var r10: UInt64 {
        get { words[7] }
        set { words[7] = newValue }
    }
    package var r9: UInt64 {
        get { words[8] }
        set { words[8] = newValue }
    }
    package var r8: UInt64 {
        get { words[9] }
        set { words[9] = newValue }
    }
    package var rax: UInt64 {
        get { words[10] }
        set { words[10] = newValue }
    }
    package var rcx: UInt64 {
        get { words[11] }
        set { words[11] = newValue }
    }
    package var rdx: UInt64 {
        get { words[12] }
        set { words[12] = newValue }
    }
    package var rsi: UInt64 {
        get { words[13] }
        set { words[13] = newValue }
    }
    package var rdi: UInt64 {
        get { words[14] }
        set { words[14] = newValue }
    }
    /// The number of the system call that the thread is in; -1 outside.
    package var origRax: UInt64 {
        get { words[15] }
        set { words[15] = newValue }
    }
    package var rip: UInt64 {
        get { words[16] }
        set { words[16] = newValue }
    }
    package var cs: UInt64 {
        get { words[17] }
        set { words[17] = newValue }
    }
    package var eflags: UInt64 {
        get { words[18] }
        set { words[18] = newValue }
    }
    package var rsp: UInt64 {
        get { words[19] }
        set { words[19] = newValue }
    }
    package var fsBase: UInt64 {
        get { words[21] }
        set { words[21] = newValue }
    }
    package var gsBase: UInt64 {
        get { words[22] }
        set { words[22] = newValue }
    }

    package var instructionPointer: UInt64 {
        get { rip }
        set { rip = newValue }
    }
    package var stackPointer: UInt64 {
        get { rsp }
        set { rsp = newValue }
    }
    package var is64Bit: Bool { cs == 0x33 }
    /// All are on the stack, as they are.
    package var returnAddresses: [UInt64] { [] }
    @inlinable package static func returnAddress(_ word: UInt64) -> UInt64 { word }
    /// %fs, as the ABI has it.
    package var threadBlock: UInt64? { fsBase == 0 ? nil : fsBase }
    package static let threadBlockNamesItself = true
    package var systemCallResult: Int64 {
        get { Int64(bitPattern: rax) }
        set { rax = UInt64(bitPattern: newValue) }
    }

    /// signal(7), "Interruption of system calls and library functions by stop signals": epoll_wait, epoll_pwait,
    /// epoll_pwait2, semop, semtimedop, io_getevents, io_pgetevents, io_uring_enter, rt_sigtimedwait, and read,
    /// readv, recvfrom, recvmsg, recvmmsg, accept, accept4 of sockets with a timeout.
    private static let endedByStop: Set<UInt64> = [
        232, 281, 441, 65, 220, 208, 333, 426, 128, 0, 19, 45, 47, 299, 43, 288,
    ]

    /// After a signal handler it would be in no system call any more.
    package var failedWhenStopped: Bool { systemCallResult == -4 /* EINTR */ && Self.endedByStop.contains(origRax) }

    package var isInterruptedSystemCall: Bool {
        Int64(bitPattern: origRax) >= 0 && RestartCode.contains(systemCallResult)
    }

    package func calling(number: Int, arguments: [UInt64], at address: UInt64) -> RegistersX86_64 {
        func argument(_ index: Int) -> UInt64 { index < arguments.count ? arguments[index] : 0 }
        var changed = self
        changed.rip = address
        changed.rax = UInt64(bitPattern: Int64(number))
        // Not in a system call: otherwise the kernel would set back the instruction pointer for a restart.
        changed.origRax = .max
        changed.rdi = argument(0)
        changed.rsi = argument(1)
        changed.rdx = argument(2)
        changed.r10 = argument(3)
        changed.r8 = argument(4)
        changed.r9 = argument(5)
        return changed
    }

    package static let systemCallInstruction: [UInt8] = [0x0f, 0x05]
    package static let breakpointInstruction: [UInt8] = [0xcc]
    package static let breakpointAdvance: UInt64 = 1
    package static let machine: UInt16 = 62
}
