import BPF
import BTF
import TestSupport
import Verifier

/// A random program that has a fair chance to be accepted: what it does makes sense mostly, and goes wrong now and then.
///
/// r6 holds the context, or the memory that a function was handed. Numbers are in r0…r5 and r7…r9 as far as they have been
/// set.
struct FuzzProgram {
    /// What r6 points at in a function.
    enum Base: Hashable {
        case context
        /// So many bytes.
        case memory(Int)
        case nothing
    }

    /// A function that is called or called back, to be written behind the program.
    struct Function {
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

    var generator: SeededGenerator
    var code = ProgramBuilder()
    /// Registers that hold numbers now.
    var numbers: [Register] = []
    var functions: [Function] = []
    /// The one that is being written; nil for the program itself.
    var current: Int?
    var base = Base.context
    var loopDepth = 0
    var depth = 0
    /// Slots of the stack that have been written, as far as it is known: offsets from r10.
    var written: Set<Int16> = []
    var subprograms: [ObjectProgram.Subprogram] = []

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
    static let allTypes = CaseTypes(globals)
    static let types = try? BTF(bytes: allTypes.bytes)

    static func make(seed: UInt64) -> Made? {
        var program = FuzzProgram(seed: seed)
        return program.finish()
    }

    private init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func finish() -> Made? {
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

    mutating func write(_ function: Function) {
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
            (base, pointer) =
                generator.chance(60)
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

    mutating func steps(_ count: Int) {
        for _ in 0..<count { step() }
    }

    mutating func step() {
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

    mutating func number() -> Register {
        if numbers.isEmpty || generator.chance(1) {
            let register = generator.pick([Register.r0, .r3, .r4, .r7, .r8])
            if !generator.chance(2) { setNumber(register) }
            know(register)
            return register
        }
        return generator.pick(numbers)
    }

    mutating func know(_ register: Register) {
        if !numbers.contains(register) { numbers.append(register) }
    }

    mutating func forget(_ registers: [Register]) { numbers.removeAll { registers.contains($0) } }

    mutating func setNumber(_ register: Register) {
        if generator.chance(30) {
            code.append(Instruction.loadImmediate(register, generator.number()))
        } else if generator.chance(50) {
            code.append(.move(register, generator.immediate()))
        } else {
            code.append(.move32(register, generator.immediate()))
        }
    }

    mutating func arithmetic() {
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
    mutating func narrow() {
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
}
