import BPF
import BTF
import Verifier

/// A random program that has a fair chance to be accepted: what it does makes sense mostly, and goes wrong now and then.
///
/// r6 holds the context, or the memory that a function was handed. Numbers are in r0…r5 and r7…r9 as far as they have been
/// set.
struct FuzzProgram {
    /// What r6 points at in a function.
    private enum Base: Hashable {
        case context
        /// So many bytes.
        case memory(Int)
        case nothing
    }

    /// A function that is called or called back, to be written behind the program.
    private struct Function {
        var label: ProgramBuilder.Label
        var kind: Kind
        /// Functions that it is inside of.
        var depth: Int

        enum Kind: Hashable {
            /// So many numbers.
            case numbers(Int)
            /// Memory of its caller's, so many bytes, and a number.
            case memory(Int)
            /// The context, and a number.
            case context
            /// One of ``FuzzProgram/globals``.
            case global(Int)
            /// For `bpf_loop`, `bpf_for_each_map_elem`.
            case round, element(Int)
        }

        var isCallback: Bool {
            switch kind {
            case .round, .element: true
            default: false
            }
        }
    }

    private var generator: SeededGenerator
    private var code = ProgramBuilder()
    /// Registers that hold numbers now.
    private var numbers: [Register] = []
    private var functions: [Function] = []
    /// The one that is being written; nil for the program itself.
    private var current: Int?
    private var base = Base.context
    private var loopDepth = 0
    private var depth = 0
    /// Slots of the stack that have been written, as far as it is known: offsets from r10.
    private var written: Set<Int16> = []
    private var subprograms: [ObjectProgram.Subprogram] = []

    /// A program, and which of its functions are global.
    struct Made {
        var instructions: [Instruction]
        var subprograms: [ObjectProgram.Subprogram]

        var input: VerifierInput {
            VerifierInput(instructions: instructions, subprograms: subprograms, maps: FuzzProgram.maps, btf: FuzzProgram.types)
        }
    }

    /// Numbers of the maps that are named below.
    enum MapNumber {
        static let variables: Int32 = 2
        static let constants: Int32 = 3
        static let ring: Int32 = 4
        static let programs: Int32 = 5
        static let queue: Int32 = 6
        static let stack: Int32 = 7
        static let perf: Int32 = 8
        static let perThread: Int32 = 9
    }

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
        MapDefinition(name: "programs", type: .progArray, keySize: 4, valueSize: 4, maxEntries: 4),
        MapDefinition(name: "queue", type: .queue, keySize: 0, valueSize: 8, maxEntries: 4),
        MapDefinition(name: "stack", type: .stack, keySize: 0, valueSize: 16, maxEntries: 4),
        MapDefinition(name: "perf", type: .perfEventArray, keySize: 4, valueSize: 4, maxEntries: 4),
        MapDefinition(name: "per thread", type: .perCPUArray, keySize: 4, valueSize: 16, maxEntries: 2),
    ]

    /// What global functions there are.
    static let globals: [GlobalFunction] = [
        "subprog global g0(int, int): int", "subprog global g1(mem 16, int): int", "subprog global g2(nonnull 24): int",
        "subprog global g3(ctx, int): int",
    ].compactMap { try? GlobalFunction($0) }
    private static let allTypes = CaseTypes(globals)
    static let types = try? BTF(bytes: allTypes.bytes)

    static func make(seed: UInt64) -> Made? {
        var program = FuzzProgram(seed: seed)
        return program.finish()
    }

    private init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    private mutating func finish() -> Made? {
        code.append(.move(.r6, .r1))
        for register: Register in [.r7, .r8, .r9] where generator.chance(80) {
            if generator.chance(60) {
                code.append(.load(generator.pick([.u64, .u64, .u32, .s16, .u8]), into: register, from: .r6, offset: Int16(generator.below(7) * 8)))
            } else {
                setNumber(register)
            }
            numbers.append(register)
        }
        steps(3 + generator.below(11))
        code.append(.move(.r0, 0))
        code.append(.exit)
        var index = 0
        while index < functions.count {
            current = index
            write(functions[index])
            index += 1
        }
        return (try? code.finish()).map { Made(instructions: $0, subprograms: subprograms) }
    }

    private mutating func write(_ function: Function) {
        depth = function.depth
        if case .global(let number) = function.kind {
            subprograms.append(
                ObjectProgram.Subprogram(
                    name: Self.globals[number].name, start: code.instructions.count, isGlobal: true,
                    typeID: BTF.TypeID(rawValue: Self.allTypes.functionIDs[number])))
        }
        code.place(function.label)
        numbers = []
        written = []
        base = .nothing
        var pointer: Register?
        switch function.kind {
        case .numbers(let count): numbers = (1...5).prefix(count).map { Register(rawValue: UInt8($0)) }
        case .memory(let size): (base, pointer, numbers) = (.memory(size), .r1, [.r2])
        case .context: (base, pointer, numbers) = (.context, .r1, [.r2])
        case .global(0): numbers = [.r1, .r2]
        case .global(1): (base, pointer, numbers) = (.memory(16), .r1, [.r2])
        case .global(2): (base, pointer) = (.memory(24), .r1)
        case .global: (base, pointer, numbers) = (.context, .r1, [.r2])
        case .round: (base, pointer, numbers) = (.memory(8), .r2, [.r1])
        case .element(let map):
            (base, pointer) = generator.chance(60)
                ? (.memory(Int(Self.maps[map].valueSize)), .r3) : (.memory(8), .r4)
            code.append(.load(.u32, into: .r7, from: .r2))
            numbers = [.r7]
        }
        if let pointer {
            code.append(.move(.r6, pointer))
            // A pointer that may be null, looked at first, mostly.
            if function.kind == .global(1), generator.chance(95) {
                let skip = code.makeLabel()
                code.branch(.notEqual, .r6, 0, to: skip)
                code.append(.move(.r0, 1))
                code.append(.exit)
                code.place(skip)
            }
        }
        for register: Register in [.r7, .r8] where !numbers.contains(register) && generator.chance(50) {
            setNumber(register)
            numbers.append(register)
        }
        if case .global = function.kind, case .memory(let size) = base, generator.chance(60) {
            code.append(.load(.u64, into: .r7, from: .r6, offset: Int16(8 * generator.below(size / 8))))
            if !numbers.contains(.r7) { numbers.append(.r7) }
            export(.r7)
        }
        if base == .context, generator.chance(40) {
            steps(1)
            tailCall()
        }
        steps(1 + generator.below(7))
        if function.isCallback {
            code.append(.move(.r0, Int32(generator.chance(70) ? 0 : 1)))
        } else if generator.chance(60) {
            code.append(.move(.r0, Int32(generator.below(24))))
        } else if !numbers.contains(.r0) || generator.chance(40) {
            setNumber(.r0)
        }
        code.append(.exit)
    }

    // MARK: - Steps

    private mutating func steps(_ count: Int) {
        for _ in 0..<count { step() }
    }

    private mutating func step() {
        switch generator.below(38) {
        case 0...7: arithmetic()
        case 8, 9: stackAccess()
        case 10, 11: baseAccess()
        case 12...14: lookUp()
        case 15: variableAccess()
        case 16, 17: fork()
        case 18: loop()
        case 19: mayGoto()
        case 20: record()
        case 21...23: helper()
        case 24, 25: subprogram()
        case 26: callBack()
        case 27: forEach()
        case 28: session()
        case 29, 30: narrow()
        case 31, 32: stackAtomic()
        case 33: tailCall()
        case 34: callGlobal()
        case 35: text()
        default: export()
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
            let before = written
            steps(1 + generator.below(2))
            written = before
            code.place(skip)
        }
    }

    // MARK: - Memory

    /// Where a slot has been written, mostly.
    private mutating func writtenOffset() -> Int16 {
        written.isEmpty || generator.chance(2) ? stackOffset(8) : generator.pick(written.sorted())
    }

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
        if type == .u64, offset % 8 == 0, (-512..<0).contains(offset) { written.insert(offset) }
        if generator.chance(60) {
            let destination = generator.pick([Register.r0, .r3, .r7, .r8, .r9])
            code.append(.load(read(type), into: destination, from: .r10, offset: offset))
            know(destination)
        }
    }

    /// The same bytes as a signed number, now and then.
    private mutating func read(_ type: MemoryType) -> MemoryType {
        guard generator.chance(30) else { return type }
        switch type {
        case .u8: return .s8
        case .u16: return .s16
        case .u32: return .s32
        default: return type
        }
    }

    /// A slot of the stack with a number in it, mostly, and an atomic operation on it.
    private mutating func stackAtomic() {
        let width: Width = generator.chance(60) ? .bits64 : .bits32
        let offset = stackOffset(Int(width.rawValue) / 8)
        if generator.chance(97) {
            let size: MemoryType = generator.chance(80) ? (width == .bits64 ? .u64 : .u32) : .u64
            let place = offset / 8 * 8 - (offset % 8 == 0 ? 0 : 8)
            code.append(.store(size, generator.chance(50) ? .immediate(generator.immediate()) : .register(number()), to: .r10, offset: size == .u64 ? place : offset))
        }
        atomic(.r10, offset, width)
        if generator.chance(70) {
            let destination = generator.pick([Register.r3, .r7, .r8, .r9])
            code.append(.load(generator.chance(70) ? (width == .bits64 ? .u64 : .u32) : .u8, into: destination, from: .r10, offset: offset))
            know(destination)
            if generator.chance(6) {
                // As an offset.
                code.append(Instruction.loadMapValue(.r1, index: MapNumber.variables, offset: 0))
                code.append(.add(.r1, destination))
                code.append(.load(.u8, into: .r1, from: .r1))
                know(.r1)
            }
        }
    }

    private mutating func atomic(_ base: Register, _ offset: Int16, _ width: Width) {
        let operation = generator.pick([
            AtomicOperation.add, .or, .and, .xor, .fetchAdd, .fetchOr, .fetchAnd, .fetchXor, .exchange, .compareExchange,
        ])
        if operation == .compareExchange {
            if base == .r0 { return }
            if !numbers.contains(.r0) { setNumber(.r0) }
            know(.r0)
        }
        var source = number()
        if source == base { source = number0() }
        code.append(.atomic(operation, width, base: base, offset: offset, source))
    }

    /// A number, or eight bytes of the stack, to where others see it.
    private mutating func export() {
        var source = number()
        if generator.chance(50) {
            source = generator.pick([Register.r3, .r4, .r7, .r8])
            code.append(.load(.u64, into: source, from: .r10, offset: writtenOffset()))
            know(source)
        }
        export(source)
    }

    private mutating func export(_ source: Register) {
        let place: Register = source == .r1 ? .r2 : .r1
        code.append(Instruction.loadMapValue(place, index: MapNumber.variables, offset: Int32(generator.below(4) * 8)))
        code.append(.store(generator.pick([.u8, .u32, .u64, .u64]), source, to: place))
        forget([place])
    }

    private mutating func baseAccess() {
        let destination = generator.pick([Register.r0, .r2, .r7, .r8, .r9])
        switch base {
        case .nothing: stackAccess()
        case .context:
            let offset = generator.chance(3) ? generator.below(80) - 8 : generator.below(7) * 8
            code.append(.load(generator.pick([.u64, .u64, .u32, .s32]), into: destination, from: .r6, offset: Int16(offset)))
            know(destination)
        case .memory(let size):
            let type = generator.pick([MemoryType.u8, .u16, .u32, .u64, .u64, .u64])
            let count = max(size / type.byteCount, 1)
            let offset = generator.chance(2) ? generator.below(size + 16) - 8 : generator.below(count) * type.byteCount
            switch generator.below(6) {
            case 0...2:
                code.append(.load(read(type), into: destination, from: .r6, offset: Int16(offset)))
                know(destination)
                if generator.chance(50) { export() }
            case 3, 4: code.append(.store(type, number(), to: .r6, offset: Int16(offset)))
            default: atomic(.r6, Int16(generator.below(max(size / 8, 1)) * 8), generator.chance(50) ? .bits64 : .bits32)
            }
        }
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
            code.append(Instruction.loadMapValue(base, index: generator.chance(80) ? MapNumber.variables : MapNumber.constants, offset: Int32(generator.below(9))))
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
            case 2: atomic(.r0, Int16(generator.below(size / 8) * 8), generator.chance(50) ? .bits64 : .bits32)
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
        code.append(Instruction.loadMap(.r1, index: MapNumber.ring))
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
        let writtenBefore = written
        defer { written = writtenBefore }
        if loopDepth < 3 { steps(1 + generator.below(3)) }
        written = writtenBefore
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

    /// Jumps back as often as may_goto lets it.
    private mutating func mayGoto() {
        guard loopDepth < 1, depth < 2 else { return arithmetic() }
        loopDepth += 2
        code.append(.move(.r9, 0))
        let end = code.makeLabel()
        let start = code.placeLabel()
        code.mayGoto(to: end)
        let (before, writtenBefore) = (numbers, written)
        steps(1 + generator.below(2))
        written = writtenBefore
        // Enough to see what a round does.
        code.append(.add(generator.pick([.r7, .r8]), 1))
        code.branch(.greater, .bits64, .r9, .immediate(Int32(generator.below(9))), to: end)
        code.append(.add(.r9, 1))
        code.jump(to: start)
        code.place(end)
        loopDepth -= 2
        numbers = before
    }

    /// So many bytes of the stack, from `start` on, all of them written, mostly.
    private mutating func memory(_ register: Register, _ start: Int16, _ count: Int, complete: Int = 93) {
        let isComplete = generator.chance(complete)
        for slot in 0..<(count + 7) / 8 where isComplete || generator.chance(60) {
            written.insert(start + Int16(slot * 8))
            code.append(.store(.u64, generator.chance(60) ? .immediate(Int32(slot)) : .register(number0()), to: .r10, offset: start + Int16(slot * 8)))
        }
        code.append(.move(register, .r10))
        code.append(.add(register, Int32(start)))
        forget([register])
    }

    /// A size, known or not.
    private mutating func size(_ register: Register, upTo limit: Int32) {
        if generator.chance(60) {
            code.append(.move(register, generator.chance(97) ? Int32(generator.below(Int(limit) + 1)) : limit + 8))
        } else {
            let number = number()
            code.append(.move(register, number))
            if generator.chance(95) { code.append(.and(register, limit / 2)) }
        }
        forget([register])
    }

    private mutating func helper() {
        let start = Int16(-8 * (2 + generator.below(6)))
        switch generator.below(base == .context ? 22 : 15) {
        case 0: code.append(.call(generator.pick([.ktimeGetNs, .jiffies64, .getCurrentPidTgid, .getCurrentUidGid, .getNumaNodeId])))
        case 1: code.append(.call(.getPrandomU32))
        case 2: code.append(.call(.getSmpProcessorId))
        case 3:
            if generator.chance(80) { memory(.r1, start, 16) }
            size(.r2, upTo: 16)
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, Int32(start)))
            code.append(.move(.r3, 0x1000))
            code.append(.call(generator.pick([.probeReadUser, .probeRead, .copyFromUser])))
        case 4:
            code.append(.store(.u32, number(), to: .r10, offset: -4))
            memory(.r3, start - 16, 24)
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, -4))
            code.append(.move(.r4, 0))
            code.append(Instruction.loadMap(.r1, index: Int32(generator.chance(80) ? 0 : 1)))
            code.append(.call(.mapUpdateElem))
        case 5:
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, -16))
            code.append(.move(.r2, 16))
            code.append(.call(.getCurrentComm))
            written.formUnion([-16, -8])
        case 6:
            memory(.r2, start, 16)
            code.append(Instruction.loadMap(.r1, index: generator.chance(50) ? MapNumber.queue : MapNumber.stack))
            code.append(.move(.r3, 0))
            code.append(.call(.mapPushElem))
        case 7:
            if generator.chance(30) { memory(.r2, start, 16) }
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, Int32(start)))
            code.append(Instruction.loadMap(.r1, index: generator.chance(50) ? MapNumber.queue : MapNumber.stack))
            code.append(.call(generator.pick([.mapPopElem, .mapPeekElem])))
            written.insert(start)
        case 8:
            memory(.r2, start, 16)
            size(.r3, upTo: 16)
            code.append(Instruction.loadMap(.r1, index: MapNumber.ring))
            code.append(.move(.r4, 0))
            code.append(.call(.ringbufOutput))
        case 9:
            memory(.r1, start, 16)
            code.append(.move(.r2, 16))
            code.append(Instruction.loadMapValue(.r3, index: MapNumber.constants, offset: 14))
            code.append(.call(.strncmp))
        case 10:
            memory(.r3, start, 16)
            code.append(Instruction.loadMapValue(.r1, index: MapNumber.constants, offset: 14))
            code.append(.move(.r2, 2))
            code.append(.move(.r4, 16))
            code.append(.call(.traceVprintk))
        case 11:
            code.append(Instruction.loadMapValue(.r1, index: MapNumber.constants, offset: 14))
            code.append(.move(.r2, 2))
            code.append(.call(.tracePrintk))
        case 12:
            code.append(.store(.u32, generator.chance(50) ? .immediate(1) : .register(number()), to: .r10, offset: -4))
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, -4))
            code.append(Instruction.loadMap(.r1, index: 0))
            code.append(.call(.mapDeleteElem))
        case 13:
            code.append(Instruction.loadMap(.r1, index: MapNumber.ring))
            code.append(.move(.r2, Int32(generator.below(5))))
            code.append(.call(.ringbufQuery))
        case 14:
            memory(.r2, start, 16)
            code.append(.move(.r1, number0()))
            code.append(.move(.r3, 16))
            code.append(.call(.probeWriteUser))
        case 15, 16:
            code.append(.move(.r1, .r6))
            if generator.chance(50) { code.append(.move(.r2, Int32(generator.below(9)))) } else { code.append(.move(.r2, number())) }
            code.append(.move(.r3, .r10))
            code.append(.add(.r3, Int32(start)))
            code.append(.call(.getFuncArg))
            written.insert(start)
        case 17:
            code.append(.move(.r1, .r6))
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, Int32(start)))
            code.append(.call(.getFuncRet))
            written.insert(start)
        case 18:
            size(.r3, upTo: 16)
            code.append(.move(.r1, .r6))
            code.append(.move(.r2, .r10))
            code.append(.add(.r2, Int32(start)))
            code.append(.move(.r4, 0))
            code.append(.call(.getStack))
        case 19:
            memory(.r4, start, 16)
            size(.r5, upTo: 16)
            code.append(.move(.r1, .r6))
            code.append(Instruction.loadMap(.r2, index: MapNumber.perf))
            code.append(.move(.r3, -1))
            code.append(.call(.perfEventOutput))
        default:
            code.append(.move(.r1, .r6))
            code.append(.call(generator.pick([.getFuncIp, .getAttachCookie, .getFuncArgCnt])))
        }
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
        // What a helper wrote.
        if generator.chance(50) {
            let destination = generator.pick([Register.r3, .r7, .r8])
            code.append(.load(generator.pick([.u8, .u64, .u64]), into: destination, from: .r10, offset: written.contains(start) ? start : writtenOffset()))
            know(destination)
            if generator.chance(50) { export() }
        }
    }

    /// Helpers that write a string, perhaps a short one; then its end is read.
    private mutating func text() {
        let start = Int16(-8 * (3 + generator.below(5)))
        if generator.chance(85) { memory(.r1, start, 24) }
        if generator.chance(60) {
            let compares = generator.chance(30)
            if compares { code.append(.move(.r2, 24)) } else { size(.r2, upTo: 24) }
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, Int32(start)))
            code.append(.move(.r3, 0x1000))
            code.append(.call(generator.pick([.probeReadUserStr, .probeReadStr, .probeReadKernelStr])))
            if compares {
                if generator.chance(20) { code.append(.store(generator.pick([.u8, .u64]), generator.immediate(), to: .r10, offset: start + 8)) }
                code.append(.move(.r1, .r10))
                code.append(.add(.r1, Int32(start + Int16(generator.chance(90) ? 0 : 8))))
                code.append(.move(.r2, Int32(8 * (1 + generator.below(3)))))
                code.append(Instruction.loadMapValue(.r3, index: MapNumber.constants, offset: 14))
                code.append(.call(.strncmp))
                forget([.r1, .r2, .r3, .r4, .r5])
                know(.r0)
                if generator.chance(70) { export(.r0) }
                return
            }
        } else {
            memory(.r4, -16, 16)
            size(.r2, upTo: 24)
            code.append(.move(.r1, .r10))
            code.append(.add(.r1, Int32(start)))
            code.append(Instruction.loadMapValue(.r3, index: MapNumber.constants, offset: 14))
            code.append(.move(.r5, Int32(8 * generator.below(3))))
            code.append(.call(.snprintf))
        }
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
        if generator.chance(70) {
            let destination = generator.pick([Register.r3, .r7, .r8])
            code.append(.load(.u64, into: destination, from: .r10, offset: start + Int16(8 * generator.below(3))))
            know(destination)
            code.append(Instruction.loadMapValue(.r1, index: MapNumber.variables, offset: 0))
            code.append(.store(.u64, destination, to: .r1))
        }
    }

    // MARK: - Calls

    /// A function of that kind, mostly a new one; nil if there are enough.
    private mutating func function(_ kind: Function.Kind) -> ProgramBuilder.Label? {
        let first = current.map { $0 + 1 } ?? 0
        if let known = functions.indices.first(where: { $0 >= first && functions[$0].kind == kind && functions[$0].depth > depth }),
            generator.chance(30)
        {
            return functions[known].label
        }
        guard depth < 4, functions.count < 6 else { return nil }
        let label = code.makeLabel()
        functions.append(Function(label: label, kind: kind, depth: depth + 1))
        return label
    }

    private mutating func finishCall() {
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
    }

    private mutating func subprogram() {
        switch generator.below(base == .context ? 4 : 3) {
        case 0:
            let count = generator.below(4)
            guard let label = function(.numbers(count)) else { return arithmetic() }
            for index in 0..<count {
                let register = Register(rawValue: UInt8(index + 1))
                code.append(.move(register, number0()))
                know(register)
            }
            code.call(label)
        case 1, 2:
            let size = generator.pick([8, 16, 24])
            guard let label = function(.memory(size)) else { return arithmetic() }
            let start = Int16(-8 * (3 + generator.below(4)))
            let number = number0()
            memory(.r1, start, size)
            code.append(.move(.r2, number == .r1 ? .r10 : number))
            code.call(label)
            finishCall()
            if generator.chance(70) {
                code.append(.load(.u64, into: .r7, from: .r10, offset: start + Int16(8 * generator.below(size / 8))))
                know(.r7)
            }
        default:
            guard let label = function(.context) else { return arithmetic() }
            code.append(.move(.r2, number0()))
            code.append(.move(.r1, .r6))
            code.call(label)
        }
        finishCall()
        if generator.chance(40) {
            code.append(.move(.r7, .r0))
            know(.r7)
        }
        // What came back, as an offset.
        if generator.chance(10) {
            code.append(Instruction.loadMapValue(.r1, index: MapNumber.variables, offset: 0))
            code.append(.add(.r1, .r0))
            code.append(.load(.u8, into: .r1, from: .r1))
            know(.r1)
        }
    }

    private mutating func callGlobal() {
        let kind = generator.below(base == .context ? 4 : 3)
        guard let label = function(.global(kind)) else { return arithmetic() }
        let number = number0()
        switch kind {
        case 0:
            code.append(.move(.r2, number))
            code.append(.move(.r1, .r2))
        case 1, 2:
            if kind == 1, generator.chance(20) {
                code.append(.move(.r2, number))
                code.append(.move(.r1, 0))
            } else {
                code.append(.move(.r2, number))
                memory(.r1, Int16(-8 * (3 + generator.below(4))), kind == 1 ? 16 : 24, complete: 80)
                if kind == 1 { code.append(.move(.r2, 5)) }
            }
        default:
            code.append(.move(.r2, number))
            code.append(.move(.r1, .r6))
        }
        code.call(label)
        finishCall()
    }

    private mutating func tailCall() {
        guard base == .context else { return arithmetic() }
        if generator.chance(80) { code.append(.move(.r3, Int32(generator.below(5)))) } else { code.append(.move(.r3, number())) }
        code.append(.move(.r1, .r6))
        code.append(Instruction.loadMap(.r2, index: MapNumber.programs))
        code.append(.call(.tailCall))
        forget([.r0, .r1, .r2, .r3, .r4, .r5])
    }

    private mutating func callBack() {
        guard let label = function(.round) else { return arithmetic() }
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
        finishCall()
        if generator.chance(70) {
            code.append(.load(.u64, into: .r7, from: .r10, offset: -40))
            know(.r7)
        }
    }

    private mutating func forEach() {
        let map = generator.pick([0, 1, Int(MapNumber.perThread)])
        guard let label = function(.element(map)) else { return arithmetic() }
        code.append(.store(.u64, generator.immediate(), to: .r10, offset: -48))
        code.append(Instruction.loadMap(.r1, index: Int32(map)))
        code.loadFunction(.r2, label)
        code.append(.move(.r3, .r10))
        code.append(.add(.r3, -48))
        code.append(.move(.r4, 0))
        code.append(.call(.forEachMapElem))
        finishCall()
        if generator.chance(70) {
            code.append(.load(.u64, into: .r7, from: .r10, offset: -48))
            know(.r7)
        }
    }

    private mutating func session() {
        guard base == .context else { return arithmetic() }
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
