import BPF

/// The functions of a random program: its own, global ones, callbacks, programs that it leaves to.
extension FuzzProgram {
    /// A function of that kind, mostly a new one; nil if there are enough.
    mutating func function(_ kind: Function.Kind) -> ProgramBuilder.Label? {
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

    mutating func finishCall() {
        forget([.r1, .r2, .r3, .r4, .r5])
        know(.r0)
    }

    mutating func subprogram() {
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

    mutating func callGlobal() {
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

    mutating func tailCall() {
        guard base == .context else { return arithmetic() }
        if generator.chance(80) { code.append(.move(.r3, Int32(generator.below(5)))) } else { code.append(.move(.r3, number())) }
        code.append(.move(.r1, .r6))
        code.append(Instruction.loadMap(.r2, index: MapNumber.programs))
        code.append(.call(.tailCall))
        forget([.r0, .r1, .r2, .r3, .r4, .r5])
    }

    mutating func callBack() {
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

    mutating func forEach() {
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

    mutating func session() {
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
}
