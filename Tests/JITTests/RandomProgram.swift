import BPF
import TestSupport

/// A random program that ends, touches only its buffer and its stack, and whose result depends on nothing else:
/// addresses of the stack never get into values.
///
/// r9 holds the buffer in every function and r10 the stack; r0…r8 hold numbers. Loops count in a stack slot.
struct RandomProgram {
    /// What r1 of main points at.
    static let bufferSize = 64
    /// Bytes of stack that hold numbers; the loops' counters are below.
    private static let stackSize = 48

    private(set) var instructions: [Instruction] = []
    /// Slots that may become a no-op without breaking the rules: arithmetic on numbers.
    private(set) var removable: [Int] = []

    private var generator: SeededGenerator
    private var loops = 0
    /// (slot of the call, subprogram)
    private var calls: [(slot: Int, callee: Int)] = []
    private var function = 0
    private let functions: Int

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        functions = [1, 1, 1, 2, 2, 3][generator.below(6)]
        instructions.reserveCapacity(96)
        var starts: [Int] = []
        for index in 0..<functions {
            function = index
            starts.append(instructions.count)
            makeFunction()
        }
        for call in calls {
            instructions[call.slot] = .call(.subprogram(Int32(starts[call.callee] - call.slot - 1)))
        }
    }

    private mutating func makeFunction() {
        loops = 0
        let isMain = function == 0
        instructions.append(.move(.r9, .r1))
        for register in 0...8 where isMain || register == 0 || register > 5 {
            setRandom(Register(rawValue: UInt8(register)))
        }
        setRandom(.r1)
        // Some functions have no stack at all, so that frames differ.
        let usesStack = generator.below(4) != 0
        if usesStack {
            for offset in stride(from: 8, through: Self.stackSize, by: 8) {
                instructions.append(.store(.u64, number(), to: .r10, offset: Int16(-offset)))
            }
        }
        let most = generator.below(8) == 0 ? 40 : 14
        makeBlock(items: isMain ? 6 + generator.below(most) : 3 + generator.below(6), depth: 0, usesStack: usesStack)
        // Everything that was computed shows in the result.
        for register in 1...8 where generator.below(3) != 0 {
            instructions.append(.xor(.r0, Register(rawValue: UInt8(register))))
            instructions.append(.multiply(.r0, 31))
        }
        instructions.append(.exit)
    }

    // MARK: Operands

    private mutating func number() -> Register { Register(rawValue: UInt8(generator.below(9))) }

    private mutating func immediate() -> Int32 {
        switch generator.below(8) {
        case 0: 0
        case 1: generator.pick([1, -1, 2, 3, 5, 8, 9, 16, 31, 32, 33, 63, 64])
        case 2: generator.pick([127, 128, -128, -129, 255, 256, 0xffff, 0x10000])
        case 3: generator.pick([.min, .max, .min + 1])
        case 4: 1 << Int32(generator.below(32))
        case 5: Int32(generator.below(256)) - 128
        default: Int32(truncatingIfNeeded: generator.next())
        }
    }

    private mutating func value() -> UInt64 {
        switch generator.below(6) {
        case 0: generator.pick([0, 1, .max, 1 << 63, 1 << 63 - 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 1 << 32])
        case 1: 1 << UInt64(generator.below(64))
        case 2: UInt64(bitPattern: Int64(immediate()))
        case 3: UInt64(generator.below(256))
        default: generator.next()
        }
    }

    private mutating func setRandom(_ register: Register) {
        switch generator.below(4) {
        case 0: instructions += Instruction.loadImmediate(register, value())
        case 1: instructions.append(.move32(register, immediate()))
        default: instructions.append(.move(register, immediate()))
        }
    }

    private mutating func operand() -> Operand {
        generator.below(2) == 0 ? .immediate(immediate()) : .register(number())
    }

    private mutating func width() -> Width { generator.below(2) == 0 ? .bits32 : .bits64 }

    // MARK: Code

    private static let memoryTypes = MemoryType.allCases
    private static let atomics = AtomicOperation.allCases
    private static let conditions = Condition.allCases
    private static let arithmetic = ArithmeticOperation.allCases

    private mutating func makeBlock(items: Int, depth: Int, usesStack: Bool) {
        /// Jumps forward whose target comes `after` more items.
        var pending: [(slot: Int, after: Int)] = []
        for _ in 0..<items {
            for index in pending.indices { pending[index].after -= 1 }
            land(&pending) { $0 <= 0 }
            switch generator.below(32) {
            case 0...14: makeArithmetic()
            case 15: setRandom(number())
            case 16, 17: makeUnary()
            case 18...22: makeMemoryAccess(usesStack: usesStack)
            case 23, 24: makeAtomic(usesStack: usesStack)
            case 25...27:
                pending.append((instructions.count, 1 + generator.below(generator.below(4) == 0 ? 20 : 4)))
                instructions.append(.branch(generator.pick(Self.conditions), width(), number(), operand(), 0))
            case 28:
                pending.append((instructions.count, 1 + generator.below(2)))
                instructions.append(generator.pick([.jump(0), .jumpLong(0), .mayGoto(0)]))
            case 29 where usesStack && depth < 2 && loops < 2: makeLoop(depth: depth)
            case 30 where function + 1 < functions: makeCall()
            default: makeShiftPair()
            }
        }
        land(&pending) { _ in true }
    }

    /// Lets the pending jumps that `isDue` land here.
    private mutating func land(_ pending: inout [(slot: Int, after: Int)], _ isDue: (Int) -> Bool) {
        if pending.isEmpty { return }
        for jump in pending where isDue(jump.after) {
            let distance = instructions.count - jump.slot - 1
            if instructions[jump.slot].opcode == .jumpLong {
                instructions[jump.slot].immediate = Int32(distance)
            } else {
                instructions[jump.slot].offset = Int16(distance)
            }
        }
        pending.removeAll { isDue($0.after) }
    }

    private mutating func makeArithmetic() {
        removable.append(instructions.count)
        let destination = number()
        let operand = operand()
        let width = width()
        if generator.below(6) == 0 {
            instructions.append(.move(width, destination, operand))
        } else {
            instructions.append(.arithmetic(generator.pick(Self.arithmetic), width, destination, operand))
        }
    }

    private mutating func makeUnary() {
        removable.append(instructions.count)
        let register = number()
        switch generator.below(4) {
        case 0: instructions.append(.negate(width(), register))
        case 1:
            let width = width()
            let bits: UInt8 = width == .bits32 ? generator.pick([8, 16]) : generator.pick([8, 16, 32])
            instructions.append(.moveSigned(width, register, number(), from: bits))
        default:
            instructions.append(
                .byteOrder(generator.pick([.toLittle, .toBig, .swap]), bits: generator.pick([16, 32, 64]), register))
        }
    }

    /// Pairs that a compiler may join into one instruction.
    private mutating func makeShiftPair() {
        let register = number()
        removable += [instructions.count, instructions.count + 1]
        if generator.below(2) == 0 {
            let count: Int32 = generator.pick([32, 48, 56, 16])
            let back: ArithmeticOperation = generator.below(2) == 0 ? .shiftRight : .shiftRightArithmetic
            instructions.append(.shiftLeft(register, count))
            instructions.append(.arithmetic(back, .bits64, register, .immediate(count)))
        } else {
            let width = width()
            instructions.append(.move(width, register, .register(number())))
            instructions.append(
                .arithmetic(generator.below(2) == 0 ? .add : .subtract, width, register, operand()))
        }
    }

    /// The base and offset of an access to the buffer or the stack. Some bases are copies in another register,
    /// which holds a number again after `access`.
    private mutating func withMemory(
        bytes: Int, aligned: Bool, usesStack: Bool, _ access: (inout RandomProgram, Register, Int16) -> Void
    ) {
        let isStack = usesStack && generator.below(2) == 0
        let size = isStack ? Self.stackSize : Self.bufferSize
        var offset = generator.below(size - bytes + 1)
        if aligned { offset = offset / bytes * bytes }
        let base: Register = isStack ? .r10 : .r9
        if isStack { offset -= size }
        guard generator.below(3) == 0 else {
            access(&self, base, Int16(offset))
            return
        }
        let copy = number()
        let shift = immediate() >> 20
        instructions.append(.move(copy, base))
        if generator.below(2) == 0 {
            instructions.append(.add(copy, shift))
        } else {
            instructions.append(.subtract(copy, -shift))
        }
        access(&self, copy, Int16(offset - Int(shift)))
        instructions.append(.move(copy, immediate()))
    }

    private mutating func makeMemoryAccess(usesStack: Bool) {
        let type = generator.pick(Self.memoryTypes)
        let kind = generator.below(3)
        withMemory(bytes: type.byteCount, aligned: false, usesStack: usesStack) { program, base, offset in
            switch kind {
            case 0: program.instructions.append(.load(type, into: program.number(), from: base, offset: offset))
            case 1:
                let immediate = program.immediate()
                program.instructions.append(.store(type, immediate, to: base, offset: offset))
            default:
                program.instructions.append(.store(type, program.number(besides: base), to: base, offset: offset))
            }
        }
    }

    /// Not the register that holds an address at the moment.
    private mutating func number(besides base: Register) -> Register {
        let register = number()
        return register == base ? Register(rawValue: (base.rawValue + 1) % 9) : register
    }

    private mutating func makeAtomic(usesStack: Bool) {
        let width = width()
        let operation = generator.pick(Self.atomics)
        withMemory(bytes: Int(width.rawValue) / 8, aligned: true, usesStack: usesStack) { program, base, offset in
            var base = base
            // cmpxchg compares with r0: it must hold a number.
            if operation == .compareExchange, base == .r0 {
                program.instructions.append(.move(.r7, .r0))
                program.instructions.append(.move(.r0, program.immediate()))
                base = .r7
            }
            program.instructions.append(
                .atomic(operation, width, base: base, offset: offset, program.number(besides: base)))
            if base == .r7 { program.instructions.append(.move(.r7, program.immediate())) }
        }
    }

    private mutating func makeLoop(depth: Int) {
        loops += 1
        let counter = Int16(-Self.stackSize - 8 * loops)
        instructions.append(.store(.u64, Int32(1 + generator.below(4)), to: .r10, offset: counter))
        let start = instructions.count
        makeBlock(items: 1 + generator.below(4), depth: depth + 1, usesStack: true)
        let register = number()
        instructions.append(.load(.u64, into: register, from: .r10, offset: counter))
        instructions.append(.subtract(register, 1))
        instructions.append(.store(.u64, register, to: .r10, offset: counter))
        instructions.append(.branch(.notEqual, register, 0, Int16(start - instructions.count - 1)))
    }

    private mutating func makeCall() {
        instructions.append(.move(.r1, .r9))
        calls.append((instructions.count, function + 1 + generator.below(functions - function - 1)))
        instructions.append(.exit)
        // Calls leave r1…r5 undefined.
        for register in 1...5 { setRandom(Register(rawValue: UInt8(register))) }
    }
}
