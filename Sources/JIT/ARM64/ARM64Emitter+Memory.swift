import BPF
import MachineCode

extension ARM64Emitter {
    /// What is `offset` bytes behind a register of the program, for one access; x9 may hold a part of it.
    mutating func memory(_ base: Register, _ offset: Int, _ access: ARM64Access) -> ARM64Memory {
        let register = base == .r10 ? ARM64Register.sp : frame.machine(base)
        let offset = base == .r10 ? frame.size + offset : offset
        if ARM64Memory.isEncodable(offset: offset, access) { return .at(register, offset) }
        assembler.mov(.x9, immediate: UInt64(bitPattern: Int64(offset)))
        return .indexed(register, .x9)
    }

    mutating func emitLoad(_ type: MemoryType, _ destination: ARM64Register, _ source: ARM64Memory) {
        if type.isSigned {
            assembler.ldrs(destination, source, type.arm64)
        } else {
            assembler.ldr(destination, source, type.arm64)
        }
    }

    mutating func emitStore(_ access: ARM64Access, _ base: Register, _ offset: Int, _ operand: Operand) {
        let source: ARM64Register
        switch operand {
        case .register(let register): source = read(register)
        case .immediate(0): source = .zr
        case .immediate(let value):
            source = .x10
            assembler.mov(.x10, immediate: Self.extended(value, access == .doubleword ? .doubleword : .word))
        }
        assembler.str(source, memory(base, offset, access), access)
    }

    /// A constant by as few instructions as it takes: addresses near the code are two instead of three.
    mutating func emitConstant(_ destination: ARM64Register, _ value: UInt64) {
        if ARM64Constant.length(value) > 2 && isNear(value, limit: 0x7000_0000) {
            assembler.address(destination, of: value)
        } else {
            assembler.mov(destination, immediate: value)
        }
    }

    /// Whether `address` is so near from anywhere in the code, less the longest program.
    func isNear(_ address: UInt64, limit: UInt64) -> Bool {
        Int64(bitPattern: address &- context.address).magnitude < limit
    }

    // MARK: Atomics

    /// Those that tell what memory held order all around them, as in the kernel; the others nothing.
    mutating func emitAtomic(
        _ operation: AtomicOperation, _ width: ARM64Width, _ base: Register, _ offset: Int, _ register: Register
    ) {
        let source = read(register)
        let address = atomicAddress(base, offset)
        if context.features.contains(.lse) {
            emitInstruction(operation, width, address, source)
        } else {
            emitLoop(operation, width, address, source)
        }
    }

    /// These instructions have no offset: x9 is the address where there is one.
    private mutating func atomicAddress(_ base: Register, _ offset: Int) -> ARM64Register {
        let register = base == .r10 ? ARM64Register.sp : frame.machine(base)
        let offset = base == .r10 ? frame.size + offset : offset
        let size = UInt32(offset.magnitude)
        if offset == 0 { return register }
        if !ARM64Constant.isArithmetic(UInt64(size)) {
            assembler.mov(.x9, immediate: UInt64(bitPattern: Int64(offset)))
            if register != .sp {
                assembler.add(.x9, .x9, register)
            } else {
                assembler.mov(.x10, .sp)
                assembler.add(.x9, .x9, .x10)
            }
        } else if offset > 0 {
            assembler.add(.x9, register, immediate: size)
        } else {
            assembler.sub(.x9, register, immediate: size)
        }
        return .x9
    }

    private mutating func emitInstruction(
        _ operation: AtomicOperation, _ width: ARM64Width, _ address: ARM64Register, _ source: ARM64Register
    ) {
        switch operation {
        case .add: assembler.atomic(.add, source, old: .zr, address, .relaxed, width)
        case .or: assembler.atomic(.set, source, old: .zr, address, .relaxed, width)
        case .xor: assembler.atomic(.exclusiveOr, source, old: .zr, address, .relaxed, width)
        case .and:
            assembler.mvn(.x10, source, width)
            assembler.atomic(.clear, .x10, old: .zr, address, .relaxed, width)
        case .fetchAdd: assembler.atomic(.add, source, old: source, address, .acquireRelease, width)
        case .fetchOr: assembler.atomic(.set, source, old: source, address, .acquireRelease, width)
        case .fetchXor: assembler.atomic(.exclusiveOr, source, old: source, address, .acquireRelease, width)
        case .fetchAnd:
            assembler.mvn(.x10, source, width)
            assembler.atomic(.clear, .x10, old: source, address, .acquireRelease, width)
        case .exchange: assembler.atomic(.swap, source, old: source, address, .acquireRelease, width)
        case .compareExchange: assembler.cas(expected: .x7, source, address, .acquireRelease, width)
        }
    }

    /// The same on processors without those instructions. x10 is what memory held, x17 what it gets.
    private mutating func emitLoop(
        _ operation: AtomicOperation, _ width: ARM64Width, _ address: ARM64Register, _ source: ARM64Register
    ) {
        let isFetching = operation.fetchesIntoSource
        let done = assembler.makeLabel()
        // A release behind the loop's loads and the barrier below: nothing passes in either direction.
        let order: ARM64Order = isFetching || operation == .compareExchange ? .acquireRelease : .relaxed
        let again = assembler.here()
        assembler.ldxr(.x10, address, order, width)
        var stored = ARM64Register.x17
        switch operation {
        case .add, .fetchAdd: assembler.add(.x17, .x10, source, width)
        case .or, .fetchOr: assembler.logical(.or, .x17, .x10, source, width)
        case .and, .fetchAnd: assembler.logical(.and, .x17, .x10, source, width)
        case .xor, .fetchXor: assembler.logical(.exclusiveOr, .x17, .x10, source, width)
        case .exchange: stored = source
        case .compareExchange:
            stored = source
            assembler.cmp(.x10, .x7, width)
            assembler.b(.notEqual, done)
        }
        assembler.stxr(failed: .x16, stored, address, order, width)
        assembler.cb(zero: false, .x16, again, .word)
        assembler.bind(done)
        if order == .relaxed { return }
        assembler.dmb(.all)
        assembler.mov(isFetching ? source : .x7, .x10)
    }
}
