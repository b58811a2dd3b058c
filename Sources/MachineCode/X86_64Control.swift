/// Jumps, calls, the stack, atomics and the rest.
extension X86_64Assembler {
    // MARK: Jumps and calls

    /// `jmp` to a label.
    package mutating func jmp(_ label: X86_64Label, _ reach: Reach = .near) {
        emit(byte: reach == .short ? 0xEB : 0xE9)
        branch(to: label, reach, automatic: .automaticJump)
    }

    /// `jcc` to a label.
    package mutating func jcc(
        _ condition: X86_64Condition, _ label: X86_64Label, _ reach: Reach = .near
    ) {
        if reach == .short {
            emit(byte: 0x70 | condition.rawValue)
        } else {
            emit(byte: 0x0F)
            emit(byte: 0x80 | condition.rawValue)
        }
        branch(to: label, reach, automatic: .automaticCondition)
    }

    private mutating func branch(to label: X86_64Label, _ reach: Reach, automatic: Fixup.Kind) {
        switch reach {
        case .short:
            addFixup(.relative8, trailing: 0, .label(label.index))
            emit(byte: 0)
        case .near:
            addFixup(.relative32, trailing: 0, .label(label.index))
            emit(immediate: Int32(0))
        case .automatic:
            addFixup(automatic, trailing: 0, .label(label.index))
            emit(immediate: Int32(0))
        }
    }

    /// `jmp rel32` to a fixed address.
    package mutating func jmp(address: UInt64) {
        emit(byte: 0xE9)
        addFixup(.relative32, trailing: 0, .address(address))
        emit(immediate: Int32(0))
    }

    /// `jcc rel32` to a fixed address.
    package mutating func jcc(_ condition: X86_64Condition, address: UInt64) {
        emit(byte: 0x0F)
        emit(byte: 0x80 | condition.rawValue)
        addFixup(.relative32, trailing: 0, .address(address))
        emit(immediate: Int32(0))
    }

    /// `jmp` through a register.
    package mutating func jmp(_ target: X86_64Register) {
        emit(opcode: 0xFF, register: 4, .register(target.rawValue))
    }

    /// `jmp` through memory.
    package mutating func jmp(_ target: X86_64Memory) {
        emit(opcode: 0xFF, register: 4, .memory(target))
    }

    /// `call rel32` of a label.
    package mutating func call(_ label: X86_64Label) {
        emit(byte: 0xE8)
        addFixup(.relative32, trailing: 0, .label(label.index))
        emit(immediate: Int32(0))
    }

    /// `call rel32` of a fixed address.
    package mutating func call(address: UInt64) {
        emit(byte: 0xE8)
        addFixup(.relative32, trailing: 0, .address(address))
        emit(immediate: Int32(0))
    }

    /// `call` through a register.
    package mutating func call(_ target: X86_64Register) {
        emit(opcode: 0xFF, register: 2, .register(target.rawValue))
    }

    /// `call` through memory.
    package mutating func call(_ target: X86_64Memory) {
        emit(opcode: 0xFF, register: 2, .memory(target))
    }

    /// `ret`
    package mutating func ret() { emit(byte: 0xC3) }
    /// `leave`: `mov rsp, rbp; pop rbp`
    package mutating func leave() { emit(byte: 0xC9) }

    // MARK: The stack

    /// `push`
    package mutating func push(_ source: X86_64Register) {
        if source.high != 0 { emit(byte: 0x41) }
        emit(byte: 0x50 | source.low)
    }

    /// `push` of eight bytes of memory.
    package mutating func push(_ source: X86_64Memory) {
        emit(opcode: 0xFF, register: 6, .memory(source))
    }

    /// `push` of a sign-extended immediate.
    package mutating func push(immediate: Int32) {
        if Int8(exactly: immediate) != nil {
            emit(byte: 0x6A)
            emit(byte: UInt8(truncatingIfNeeded: immediate))
        } else {
            emit(byte: 0x68)
            emit(immediate: immediate)
        }
    }

    /// `pop`
    package mutating func pop(_ destination: X86_64Register) {
        if destination.high != 0 { emit(byte: 0x41) }
        emit(byte: 0x58 | destination.low)
    }

    /// `pop` of eight bytes into memory.
    package mutating func pop(_ destination: X86_64Memory) {
        emit(opcode: 0x8F, register: 0, .memory(destination))
    }

    /// `pushfq`
    package mutating func pushfq() { emit(byte: 0x9C) }
    /// `popfq`
    package mutating func popfq() { emit(byte: 0x9D) }

    // MARK: Atomics

    /// `xchg` of two registers.
    package mutating func xchg(
        _ first: X86_64Register, _ second: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x87, register: second.rawValue, .register(first.rawValue))
    }

    /// `xchg` with memory, which always locks.
    package mutating func xchg(
        _ memory: X86_64Memory, _ register: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, opcode: 0x87, register: register.rawValue, .memory(memory))
    }

    /// `lock xadd`: adds the register to memory; the register gets the old value.
    package mutating func lockXadd(
        _ memory: X86_64Memory, _ register: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, isLocked: true, opcode: 0x0FC1, register: register.rawValue, .memory(memory))
    }

    /// `lock cmpxchg`: memory = register if memory equals rax; rax gets the old value.
    package mutating func lockCmpxchg(
        _ memory: X86_64Memory, _ register: X86_64Register, _ width: X86_64Width = .qword
    ) {
        emit(width, isLocked: true, opcode: 0x0FB1, register: register.rawValue, .memory(memory))
    }

    /// `mfence`
    package mutating func mfence() { emit([0x0F, 0xAE, 0xF0]) }
    /// `lfence`
    package mutating func lfence() { emit([0x0F, 0xAE, 0xE8]) }
    /// `pause`
    package mutating func pause() { emit([0xF3, 0x90]) }

    // MARK: The rest

    /// `rdtsc`: the time stamp counter in edx:eax.
    package mutating func rdtsc() { emit([0x0F, 0x31]) }
    /// `cpuid`
    package mutating func cpuid() { emit([0x0F, 0xA2]) }
    /// `endbr64`: where an indirect branch may land under CET.
    package mutating func endbr64() { emit([0xF3, 0x0F, 0x1E, 0xFA]) }
    /// `int3`
    package mutating func int3() { emit(byte: 0xCC) }
    /// `ud2`
    package mutating func ud2() { emit([0x0F, 0x0B]) }
    /// `syscall`
    package mutating func syscall() { emit([0x0F, 0x05]) }

    /// NOPs of `count` bytes in all, in as few instructions as possible.
    package mutating func nop(_ count: Int = 1) {
        var rest = count
        while rest > 0 {
            let size = min(rest, 9)
            emit(Self.nops[size - 1])
            rest -= size
        }
    }

    private static let nops: [[UInt8]] = [
        [0x90],
        [0x66, 0x90],
        [0x0F, 0x1F, 0x00],
        [0x0F, 0x1F, 0x40, 0x00],
        [0x0F, 0x1F, 0x44, 0x00, 0x00],
        [0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00],
        [0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00],
        [0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        [0x66, 0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    ]
}
