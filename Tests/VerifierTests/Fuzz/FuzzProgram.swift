import BPF
import Verifier

/// A random program that has a fair chance to be accepted: what it does makes sense mostly, and goes wrong now and then.
///
/// r6 holds the context. Numbers are in r0…r5 and r7…r9 as far as they have been set.
struct FuzzProgram {
    private var generator: SeededGenerator
    private var code = ProgramBuilder()
    /// Registers that hold numbers now.
    private var numbers: [Register] = []
    /// Functions that are called or called back, to be written behind the program.
    private var functions: [(label: ProgramBuilder.Label, arguments: Int, isCallback: Bool)] = []
    private var loopDepth = 0
    private var callDepth = 0
    private var isMain = true

    static let maps = [
        MapDefinition(name: "hash", type: .hash, keySize: 4, valueSize: 16, maxEntries: 8),
        MapDefinition(name: "array", type: .array, keySize: 4, valueSize: 24, maxEntries: 4),
        MapDefinition(
            name: ".bss", type: .array, keySize: 4, valueSize: 32, maxEntries: 1, section: .bss,
            initialContents: Array(repeating: 0, count: 32)),
        MapDefinition(
            name: ".rodata", type: .array, keySize: 4, valueSize: 16, maxEntries: 1, section: .rodata,
            initialContents: [1, 0, 0, 0, 8, 0, 0, 0, 255, 255, 255, 255, 7, 0, 97, 0]),
        MapDefinition(name: "ring", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: 4096),
    ]

    static func make(seed: UInt64) -> [Instruction]? {
        var program = FuzzProgram(seed: seed)
        return program.finish()
    }

    private init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    private mutating func finish() -> [Instruction]? {
        code.append(.move(.r6, .r1))
        for register: Register in [.r7, .r8, .r9] where generator.chance(80) {
            if generator.chance(60) {
                code.append(.load(generator.pick([.u64, .u64, .u32, .s16, .u8]), into: register, from: .r6, offset: Int16(generator.below(7) * 8)))
            } else {
                setNumber(register)
            }
            numbers.append(register)
        }
        steps(3 + generator.below(14))
        code.append(.move(.r0, 0))
        code.append(.exit)
        isMain = false
        var index = 0
        while index < functions.count {
            let function = functions[index]
            index += 1
            callDepth += 1
            code.place(function.label)
            numbers = function.isCallback ? [.r1] : (1...5).prefix(function.arguments).map { Register(rawValue: UInt8($0)) }
            if generator.chance(50) {
                for register: Register in [.r7, .r8] {
                    setNumber(register)
                    numbers.append(register)
                }
            }
            if function.isCallback, generator.chance(60) {
                // What the context points to: the caller's stack.
                code.append(.load(.u64, into: .r0, from: .r2))
                code.append(.arithmetic(generator.pick([.add, .or, .and, .multiply]), .bits64, .r0, .immediate(generator.immediate())))
                code.append(.store(.u64, .r0, to: .r2))
            }
            steps(1 + generator.below(6))
            if function.isCallback {
                code.append(.move(.r0, Int32(generator.chance(70) ? 0 : 1)))
            } else {
                setNumber(.r0)
            }
            code.append(.exit)
        }
        return try? code.finish()
    }

    // MARK: - Steps

    private mutating func steps(_ count: Int) {
        for _ in 0..<count { step() }
    }

    private mutating func step() {
        switch generator.below(20) {
        case 0...5: arithmetic()
        case 6: stackAccess()
        case 7: isMain ? contextAccess() : stackAccess()
        case 8, 9: lookUp()
        case 10: variableAccess()
        case 11, 12: fork()
        case 13: loop()
        case 14: record()
        case 15: helper()
        case 16: subprogram()
        case 17: callBack()
        case 18: isMain ? session() : arithmetic()
        default: narrow()
        }
    }

    private mutating func number() -> Register {
        if numbers.isEmpty || generator.chance(1) {
            let register = generator.pick([Register.r0, .r3, .r4, .r7, .r8])
            if !generator.chance(2) { setNumber(register) }
            know(register)
            return register
        }
        return generator.pick(numbers)
    }

    private mutating func know(_ register: Register) {
        if !numbers.contains(register) { numbers.append(register) }
    }

    private mutating func forget(_ registers: [Register]) { numbers.removeAll { registers.contains($0) } }

    private mutating func setNumber(_ register: Register) {
        if generator.chance(30) {
            code.append(Instruction.loadImmediate(register, generator.number()))
        } else if generator.chance(50) {
            code.append(.move(register, generator.immediate()))
        } else {
            code.append(.move32(register, generator.immediate()))
        }
    }

    private mutating func arithmetic() {
        let destination = number()
        let width: Width = generator.chance(65) ? .bits64 : .bits32
        let operation = generator.pick(ArithmeticOperation.allCases)
        switch generator.below(8) {
        case 0: code.append(.negate(width, destination))
        case 1:
            let source = number()
            if generator.chance(70) {
                code.append(.move(width, destination, .register(source)))
            } else {
                code.append(.moveSigned(width, destination, source, from: generator.pick(width == .bits64 ? [8, 16, 32] : [8, 16])))
            }
        case 2: code.append(.byteOrder(generator.pick([.toLittle, .toBig, .swap]), bits: generator.pick([16, 32, 64]), destination))
        case 3, 4:
            code.append(.arithmetic(operation, width, destination, .register(number())))
        default:
            var value = generator.immediate()
            switch operation {
            case .shiftLeft, .shiftRight, .shiftRightArithmetic: value &= width == .bits64 ? 63 : 31
            case .divide, .divideSigned, .modulo, .moduloSigned: if value == 0 { value = 3 }
            default: break
            }
            code.append(.arithmetic(operation, width, destination, .immediate(value)))
        }
    }

    /// A register whose bounds become small, by a mask or by branches to the end of the function.
    private mutating func narrow() {
        let register = number()
        let limit = generator.pick([3, 7, 8, 15, 16, 24, 31])
        if generator.chance(50) {
            code.append(.and(register, Int32(limit)))
        } else {
            let skip = code.makeLabel()
            let condition = generator.pick([Condition.greater, .greaterOrEqual, .signedGreater, .notEqual, .signedLess])
            code.branch(condition, generator.chance(70) ? .bits64 : .bits32, register, .immediate(Int32(limit)), to: skip)
            steps(1 + generator.below(2))
            code.place(skip)
        }
    }

    // MARK: - Memory

    private mutating func stackOffset(_ size: Int) -> Int16 {
        generator.chance(2) ? Int16(generator.below(600)) - 560 : -Int16((1 + generator.below(64 / size)) * size)
    }

    private mutating func stackAccess() {
        let type = generator.pick([MemoryType.u8, .u16, .u32, .u64, .u64])
        let offset = stackOffset(type.byteCount)
        if generator.chance(40) {
            code.append(.store(type, generator.immediate(), to: .r10, offset: offset))
        } else {
            code.append(.store(type, number(), to: .r10, offset: offset))
        }
        if generator.chance(60) {
            let destination = generator.pick([Register.r0, .r3, .r7, .r8, .r9])
            code.append(.load(type, into: destination, from: .r10, offset: offset))
            know(destination)
        }
    }

    private mutating func contextAccess() {
        let destination = generator.pick([Register.r0, .r2, .r7, .r8, .r9])
        let offset = generator.chance(3) ? generator.below(80) - 8 : generator.below(7) * 8
        code.append(.load(generator.pick([.u64, .u64, .u32]), into: destination, from: .r6, offset: Int16(offset)))
        know(destination)
    }

    /// A variable offset into .bss or the stack, checked well or badly.
    private mutating func variableAccess() {
        let index = number()
        let base: Register = index == .r1 ? .r2 : .r1
        let mask = generator.pick([3, 7, 8, 15, 16, 24])
        let checked = generator.below(5)
        let skip = code.makeLabel()
        switch checked {
        case 0: code.append(.and(index, Int32(mask)))
        case 1: code.branch(.greater, .bits64, index, .immediate(Int32(mask)), to: skip)
        case 2:
            code.branch(.signedGreater, generator.chance(80) ? .bits64 : .bits32, index, .immediate(Int32(mask)), to: skip)
            code.branch(.signedLess, generator.chance(80) ? .bits64 : .bits32, index, .immediate(0), to: skip)
        case 3:
            code.append(.arithmetic(.modulo, generator.chance(50) ? .bits64 : .bits32, index, .immediate(Int32(mask))))
        default:
            code.append(.arithmetic(.shiftRight, .bits64, index, .immediate(Int32(59 + generator.below(5)))))
        }
        let onStack = generator.chance(30)
        if onStack {
            for slot in 1...4 { code.append(.store(.u64, Int32(slot), to: .r10, offset: Int16(slot * -8))) }
            code.append(.move(base, .r10))
            code.append(.add(base, -32))
        } else {
            code.append(Instruction.loadMapValue(base, index: generator.chance(80) ? 2 : 3, offset: Int32(generator.below(9))))
        }
        code.append(generator.chance(90) ? .add(base, index) : .subtract(base, index))
        let type = generator.pick([MemoryType.u8, .u8, .u8, .u16, .u32, .u64])
        let offset = Int16(generator.below(10) - 1)
        if generator.chance(50) {
            code.append(.load(type, into: base, from: base, offset: offset))
            know(base)
        } else {
            code.append(.store(type, index, to: base, offset: offset))
            forget([base])
        }
        code.place(skip)
        // On one way the base is what it was before.
        if checked == 1 || checked == 2 { forget([base]) }
    }

    private mutating func lookUp() {
        let map = generator.below(2)
        code.append(.store(.u32, generator.chance(50) ? .immediate(Int32(generator.below(6))) : .register(number()), to: .r10, offset: -4))
        code.append(.move(.r2, .r10))
        code.append(.add(.r2, -4))
        code.append(Instruction.loadMap(.r1, index: Int32(map)))
        code.append(.call(.mapLookupElem))
        forget([.r0, .r1, .r2, .r3, .r4, .r5])
        let skip = code.makeLabel()
        if !generator.chance(4) { code.branch(.equal, .r0, 0, to: skip) }
        let size = map == 0 ? 16 : 24
        for _ in 0..<1 + generator.below(3) {
            let type = generator.pick([MemoryType.u8, .u16, .u32, .u64])
            let offset = generator.chance(3) ? generator.below(40) - 8 : generator.below(size / type.byteCount) * type.byteCount
            switch generator.below(4) {
            case 0: code.append(.store(type, number0(), to: .r0, offset: Int16(offset)))
            case 1:
                let destination = generator.pick([Register.r7, .r8, .r9])
                code.append(.load(type, into: destination, from: .r0, offset: Int16(offset)))
                know(destination)
            case 2:
                let operation = generator.pick([AtomicOperation.add, .fetchAdd, .exchange, .or])
                code.append(.atomic(operation, generator.chance(50) ? .bits64 : .bits32, base: .r0, offset: Int16(generator.below(size / 8) * 8), number0()))
            default:
                if generator.chance(50), let index = numbers.filter({ $0 != .r0 }).first {
                    code.append(.and(index, generator.pick([7, 8, 15])))
                    code.append(.add(.r0, index))
                }
            }
        }
        code.place(skip)
        forget([.r0])
    }

    /// A number that is not in r0.
    private mutating func number0() -> Register {
        let others = numbers.filter { $0 != .r0 }
        if let register = others.isEmpty ? nil : generator.pick(others) { return register }
        code.append(.move(.r7, generator.immediate()))
        know(.r7)
        return .r7
    }

    private mutating func record() {
        let size = 8 * (1 + generator.below(4))
        code.append(Instruction.loadMap(.r1, index: 4))
        code.append(.move(.r2, Int32(size)))
        code.append(.move(.r3, 0))
        code.append(.call(.ringbufReserve))
        forget([.r0, .r1, .r2, .r3, .r4, .r5])
        let skip = code.makeLabel()
        if !generator.chance(3) { code.branch(.equal, .r0, 0, to: skip) }
        code.append(.store(.u64, number0(), to: .r0, offset: Int16(8 * generator.below(generator.chance(3) ? 6 : size / 8))))
        if !generator.chance(3) {
            code.append(.move(.r1, .r0))
            code.append(.move(.r2, 0))
            code.append(.call(generator.chance(60) ? .ringbufSubmit : .ringbufDiscard))
            forget([.r1, .r2])
        }
        if generator.chance(2) { code.append(.load(.u64, into: .r0, from: .r0)) }
        code.place(skip)
    }

    // MARK: - Control

    private mutating func fork() {
        let other = code.makeLabel()
        let end = code.makeLabel()
        let condition = generator.pick(Condition.allCases)
        let width: Width = generator.chance(60) ? .bits64 : .bits32
        let left = number()
        let right: Operand = generator.chance(60) ? .immediate(generator.immediate()) : .register(number())
        code.branch(condition, width, left, right, to: other)
        let before = numbers
        if loopDepth < 3 { steps(1 + generator.below(3)) }
        if generator.chance(50) {
            code.jump(to: end)
            let one = numbers
            code.place(other)
            numbers = before
            steps(generator.below(3))
            code.place(end)
            numbers = numbers.filter { one.contains($0) }
        } else {
            code.place(other)
            code.place(end)
            numbers = before.filter { numbers.contains($0) }
        }
    }

    private mutating func loop() {
        guard loopDepth < 2 else { return arithmetic() }
        let counter: Register = loopDepth == 0 ? .r9 : .r8
        code.append(.move(counter, 0))
        forget([counter])
        loopDepth += 1
        let start = code.placeLabel()
        steps(1 + generator.below(2))
        let before = numbers
        loopDepth -= 1
        code.append(.add(counter, Int32(generator.chance(95) ? 1 : 0)))
        code.branch(generator.pick([.less, .signedLess, .notEqual]), generator.chance(70) ? .bits64 : .bits32, counter, .immediate(Int32(1 + generator.below(12))), to: start)
        numbers = before
    }

    private mutating func helper() {
        switch generator.below(6) {
        case 0: code.append(.call(.ktimeGetNs))
        case 1: code.append(.call(.getPrandomU32))
        case 2: code.append(.call(.getSmpProcessorId))
        case 3:
            // A size that is known, or bounded.
            let size = number()
            code.append(.move(.r2, size))
            if generator.chance(90) { code.append(.and(.r2, generator.pick([7, 8, 15, 16, 31]))) }
            for slot in 1...4 { code.append(.store(.u64, Int32(slot), to: .r10, offset: Int16(slot * -8))) }
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, generator.pick([-32, -32, -16, -24])))
            code.append(.move(.r3, 0x1000))
            code.append(.call(.probeReadUser))
        case 4:
            code.append(.store(.u32, number(), to: .r10, offset: -4))
            code.append(.store(.u64, number(), to: .r10, offset: -24))
            code.append(.store(.u64, number(), to: .r10, offset: -16))
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, -4))
            code.append(.move(.r3, .r10))
            code.append(.add(.r3, -24))
            code.append(.move(.r4, 0))
            code.append(Instruction.loadMap(.r1, index: 0))
            code.append(.call(.mapUpdateElem))
        default:
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, -16))
            code.append(.move(.r2, 16))
            code.append(.call(.getCurrentComm))
        }
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
    }

    private mutating func subprogram() {
        guard callDepth < 3, functions.count < 4 else { return arithmetic() }
        let count = generator.below(4)
        for index in 0..<count {
            let register = Register(rawValue: UInt8(index + 1))
            let source = number0()
            code.append(.move(register, source))
            know(register)
        }
        let label = code.makeLabel()
        code.call(label)
        functions.append((label, count, false))
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
    }

    private mutating func callBack() {
        guard callDepth < 2, functions.count < 3 else { return arithmetic() }
        let label = code.makeLabel()
        code.append(.store(.u64, generator.immediate(), to: .r10, offset: -40))
        if generator.chance(50) {
            code.append(.move(.r1, Int32(generator.below(20))))
        } else {
            code.append(.move(.r1, number()))
            if generator.chance(70) { code.append(.and(.r1, 31)) }
        }
        code.loadFunction(.r2, label)
        code.append(.move(.r3, .r10))
        code.append(.add(.r3, -40))
        code.append(.move(.r4, 0))
        code.append(.call(.loop))
        functions.append((label, 2, true))
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
        if generator.chance(70) {
            code.append(.load(.u64, into: .r7, from: .r10, offset: -40))
            know(.r7)
        }
    }

    private mutating func session() {
        code.append(.move(.r1, .r6))
        if generator.chance(50) {
            code.append(.call(.external(0)))
            forget([.r1, .r2, .r3, .r4, .r5])
            know(.r0)
        } else {
            code.append(.call(.external(1)))
            forget([.r0, .r1, .r2, .r3, .r4, .r5])
            if generator.chance(50) {
                code.append(.store(.u64, number0(), to: .r0, offset: generator.chance(3) ? 8 : 0))
            } else {
                code.append(.load(.u64, into: .r7, from: .r0))
                know(.r7)
            }
        }
    }

    // MARK: - Mutations

    /// The same program with something changed.
    static func mutate(_ program: [Instruction], _ generator: inout SeededGenerator) -> [Instruction] {
        var program = program
        for _ in 0..<1 + generator.below(2) {
            let slot = generator.below(program.count)
            switch generator.below(7) {
            case 0: program[slot].immediate = generator.immediate()
            case 1: program[slot].immediate &+= Int32(generator.below(3)) - 1
            case 2: program[slot].offset = program[slot].offset &+ Int16(generator.below(17)) - 8
            case 3: program[slot].destination = Register(rawValue: UInt8(generator.below(11)))
            case 4: program[slot].source = Register(rawValue: UInt8(generator.below(11)))
            case 5:
                program[slot].opcode.rawValue ^= generator.pick([0x08, 0x10, 0x20, 0x40, 0x80, 0x03, 0x01])
            default: program.swapAt(slot, generator.below(program.count))
            }
        }
        return program
    }
}
