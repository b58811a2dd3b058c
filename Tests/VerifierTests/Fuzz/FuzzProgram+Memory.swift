import BPF

/// What a random program does with memory: stack, context, variables, map values and records.
extension FuzzProgram {
    /// Where a slot has been written, mostly.
    mutating func writtenOffset() -> Int16 {
        written.isEmpty || generator.chance(2) ? stackOffset(8) : generator.pick(written.sorted())
    }

    mutating func stackOffset(_ size: Int) -> Int16 {
        generator.chance(2) ? Int16(generator.below(600)) - 560 : -Int16((1 + generator.below(64 / size)) * size)
    }

    mutating func stackAccess() {
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
    mutating func read(_ type: MemoryType) -> MemoryType {
        guard generator.chance(30) else { return type }
        switch type {
        case .u8: return .s8
        case .u16: return .s16
        case .u32: return .s32
        default: return type
        }
    }

    /// A slot of the stack with a number in it, mostly, and an atomic operation on it.
    mutating func stackAtomic() {
        let width: Width = generator.chance(60) ? .bits64 : .bits32
        let offset = stackOffset(Int(width.rawValue) / 8)
        if generator.chance(97) {
            let size: MemoryType = generator.chance(80) ? (width == .bits64 ? .u64 : .u32) : .u64
            let place = offset / 8 * 8 - (offset % 8 == 0 ? 0 : 8)
            code.append(
                .store(
                    size, generator.chance(50) ? .immediate(generator.immediate()) : .register(number()), to: .r10,
                    offset: size == .u64 ? place : offset))
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

    mutating func atomic(_ base: Register, _ offset: Int16, _ width: Width) {
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
    mutating func export() {
        var source = number()
        if generator.chance(50) {
            source = generator.pick([Register.r3, .r4, .r7, .r8])
            code.append(.load(.u64, into: source, from: .r10, offset: writtenOffset()))
            know(source)
        }
        export(source)
    }

    mutating func export(_ source: Register) {
        let place: Register = source == .r1 ? .r2 : .r1
        code.append(Instruction.loadMapValue(place, index: MapNumber.variables, offset: Int32(generator.below(4) * 8)))
        code.append(.store(generator.pick([.u8, .u32, .u64, .u64]), source, to: place))
        forget([place])
    }

    mutating func baseAccess() {
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
    mutating func variableAccess() {
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
            code.append(
                Instruction.loadMapValue(
                    base, index: generator.chance(80) ? MapNumber.variables : MapNumber.constants, offset: Int32(generator.below(9))))
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

    mutating func lookUp() {
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
    mutating func number0() -> Register {
        let others = numbers.filter { $0 != .r0 }
        if let register = others.isEmpty ? nil : generator.pick(others) { return register }
        code.append(.move(.r7, generator.immediate()))
        know(.r7)
        return .r7
    }

    mutating func record() {
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
}
