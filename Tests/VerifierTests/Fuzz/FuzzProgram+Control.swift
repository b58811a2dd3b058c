import BPF

/// The ways of a random program: branches, loops, calls of helpers.
extension FuzzProgram {
    mutating func fork() {
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
            leave(to: end)
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

    /// By `goto` or `gotol`: the same for a verifier, another instruction for a compiler.
    private mutating func leave(to label: ProgramBuilder.Label) {
        if generator.chance(70) { code.jump(to: label) } else { code.jumpLong(to: label) }
    }

    mutating func loop() {
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
        code.branch(
            generator.pick([.less, .signedLess, .notEqual]), generator.chance(70) ? .bits64 : .bits32, counter,
            .immediate(Int32(1 + generator.below(12))), to: start)
        numbers = before
    }

    /// Jumps back as often as may_goto lets it.
    mutating func mayGoto() {
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
        leave(to: start)
        code.place(end)
        loopDepth -= 2
        numbers = before
    }

    /// So many bytes of the stack, from `start` on, all of them written, mostly.
    mutating func memory(_ register: Register, _ start: Int16, _ count: Int, complete: Int = 93) {
        let isComplete = generator.chance(complete)
        for slot in 0..<(count + 7) / 8 where isComplete || generator.chance(60) {
            written.insert(start + Int16(slot * 8))
            code.append(
                .store(.u64, generator.chance(60) ? .immediate(Int32(slot)) : .register(number0()), to: .r10, offset: start + Int16(slot * 8)))
        }
        code.append(.move(register, .r10))
        code.append(.add(register, Int32(start)))
        forget([register])
    }

    /// A size, known or not.
    mutating func size(_ register: Register, upTo limit: Int32) {
        if generator.chance(60) {
            code.append(.move(register, generator.chance(97) ? Int32(generator.below(Int(limit) + 1)) : limit + 8))
        } else {
            let number = number()
            code.append(.move(register, number))
            if generator.chance(95) { code.append(.and(register, limit / 2)) }
        }
        forget([register])
    }

    mutating func helper() {
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
            code.append(
                .load(generator.pick([.u8, .u64, .u64]), into: destination, from: .r10, offset: written.contains(start) ? start : writtenOffset()))
            know(destination)
            if generator.chance(50) { export() }
        }
    }

    /// Helpers that write a string, perhaps a short one; then its end is read.
    mutating func text() {
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
}
