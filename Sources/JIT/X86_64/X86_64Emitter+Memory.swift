import BPF
import MachineCode

extension X86_64Emitter {
    mutating func emitLoad(_ type: MemoryType, _ destination: X86_64Register, _ source: X86_64Memory) {
        if type.isSigned {
            assembler.movsx(destination, source, from: type.machineWidth)
        } else {
            assembler.movzx(destination, source, from: type.machineWidth)
        }
    }

    /// A constant by the shortest instruction: addresses near the code are seven bytes instead of ten.
    mutating func emitConstant(_ destination: X86_64Register, _ value: UInt64) {
        let isShort = value <= UInt64(UInt32.max) || Int32(exactly: Int64(bitPattern: value)) != nil
        if !isShort && isNear(value) {
            assembler.lea(destination, .address(value))
        } else {
            assembler.mov(destination, immediate: value)
        }
    }

    /// Rip-relative operands anywhere in the code reach `address`: 2 GiB less the longest program.
    func isNear(_ address: UInt64) -> Bool {
        Int64(bitPattern: address &- context.address).magnitude < 0x7000_0000
    }

    mutating func emitAtomic(
        _ operation: AtomicOperation, _ width: X86_64Width, _ base: X86_64Register, _ offset: Int32,
        _ source: X86_64Register
    ) {
        let memory = X86_64Memory.at(base, offset)
        switch operation {
        case .add: assembler.alu(.add, memory, source, width, isLocked: true)
        case .or: assembler.alu(.or, memory, source, width, isLocked: true)
        case .and: assembler.alu(.and, memory, source, width, isLocked: true)
        case .xor: assembler.alu(.xor, memory, source, width, isLocked: true)
        case .fetchAdd: assembler.lockXadd(memory, source, width)
        case .exchange: assembler.xchg(memory, source, width)
        case .compareExchange:
            assembler.lockCmpxchg(memory, source, width)
            // Where the exchange happens, the processor leaves all of rax alone.
            if width == .dword { assembler.mov(.rax, .rax, .dword) }
        case .fetchOr: emitFetch(.or, width, base, offset, source)
        case .fetchAnd: emitFetch(.and, width, base, offset, source)
        case .fetchXor: emitFetch(.xor, width, base, offset, source)
        }
    }

    /// The processor has no such instruction with the old value: a loop around `cmpxchg`, which wants rax.
    private mutating func emitFetch(
        _ operation: X86_64ALUOperation, _ width: X86_64Width, _ base: X86_64Register, _ offset: Int32,
        _ source: X86_64Register
    ) {
        let memory = X86_64Memory.at(base == .rax ? .r11 : base, offset)
        assembler.mov(.r11, .rax)
        assembler.mov(.rax, memory, width)
        let again = assembler.here()
        assembler.mov(.r10, .rax, width)
        assembler.alu(operation, .r10, source == .rax ? .r11 : source, width)
        assembler.lockCmpxchg(memory, .r10, width)
        assembler.jcc(.notEqual, again, .short)
        if source != .rax {
            assembler.mov(source, .rax, width)
            assembler.mov(.rax, .r11)
        }
    }
}
