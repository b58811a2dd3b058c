import BPF

/// Programs that make the verifier walk to its limit, or hold as much as it can, each in a way of its own.
enum HostileShape: String, CaseIterable, Sendable {
    /// Branches on numbers that nobody knows, with sums that depend on each of them.
    case sums
    /// Four registers that are different on every path, all relied on at the end.
    case registers
    /// The same with 64 stack slots.
    case stack
    /// Eight frames whose stacks are full, and branches in the innermost.
    case frames
    /// The same with numbers that are linked to each other.
    case links
    /// A loop whose counter is the last slot of a full stack.
    case counting
    /// A loop that counts in 32 stack slots, a bit each.
    case odometer
    /// A loop in a loop, with a way out of each round.
    case nested
    /// A callback that counts on its caller's full stack, and branches.
    case callback
    /// Callbacks in callbacks.
    case callbacks
    /// The same with a full stack in each, and ways in the innermost that come together again and again.
    case joins
    /// `may_goto` around a count.
    case mayGoto
    /// A chain of sums, each relied on.
    case chain
    /// Records that are reserved and never given back.
    case records
    /// Records that are reserved, submitted, and reserved again, with many held.
    case heldRecords
    /// More and more records that are held, with branches.
    case moreRecords
    /// A helper fills the stack again and again.
    case helpers
    /// Calls and calls of a function with many ways through it.
    case calls

    static let maps = [
        MapDefinition(name: "ring", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: 4096)
    ]

    func program() throws -> [Instruction] {
        var writer = HostileWriter()
        writer.write(self)
        return try writer.code.finish()
    }
}

private struct HostileWriter {
    var code = ProgramBuilder()
    /// Fewer than may wait at the same time.
    private static let forks = 4000

    mutating func write(_ shape: HostileShape) {
        code.append(.move(.r6, 0))
        switch shape {
        case .sums:
            for _ in 0..<Self.forks { fork { $0.append(.add(.r6, .r0)) } }
            end()
        case .registers:
            for register in 7...9 as ClosedRange<UInt8> { code.append(.move(Register(rawValue: register), 0)) }
            for round in 0..<Self.forks {
                fork { $0.append(.add(Register(rawValue: UInt8(6 + round % 4)), .r0)) }
            }
            for register: Register in [.r7, .r8, .r9] { code.append(.add(.r6, register)) }
            end()
        case .stack:
            fill(64)
            for round in 0..<Self.forks { forkSlot(round % 64) }
            sumUp(64)
            end()
        case .frames, .links: frames(linked: shape == .links)
        case .counting:
            fill(64)
            code.append(.store(.u64, 0, to: .r10, offset: -512))
            let top = code.placeLabel()
            code.append(.load(.u64, into: .r1, from: .r10, offset: -512))
            code.append(.add(.r1, 1))
            code.append(.store(.u64, .r1, to: .r10, offset: -512))
            code.branch(.less, .r1, 10_000_000, to: top)
            sumUp(63)
            end()
        case .nested:
            fill(60)
            code.append(.move(.r7, 0))
            let outer = code.placeLabel()
            code.append(.move(.r6, 0))
            let inner = code.placeLabel()
            let out = code.makeLabel()
            code.append(.call(.getPrandomU32))
            code.branch(.equal, .r0, 3, to: out)
            code.append(.add(.r6, 1))
            code.branch(.less, .r6, 60, to: inner)
            code.place(out)
            code.append(.add(.r7, 1))
            code.branch(.less, .r7, 100, to: outer)
            sumUp(60)
            end()
        case .callback: callbacks(1, slots: 32)
        case .callbacks: callbacks(6, slots: 8)
        case .joins: callbacks(6, slots: 64, joins: true)
        case .odometer:
            for slot in 1...32 { code.append(.store(.u64, 0, to: .r10, offset: Int16(-8 * slot))) }
            let top = code.placeLabel()
            code.append(.add(.r6, 1))
            code.append(.move(.r1, .r6))
            for slot in 1...32 {
                code.append(.move(.r2, .r1))
                code.append(.and(.r2, 1))
                code.append(.store(.u64, .r2, to: .r10, offset: Int16(-8 * slot)))
                code.append(.shiftRight(.r1, 1))
                let next = code.makeLabel()
                code.branch(.greater, .r2, 1, to: next)
                code.place(next)
            }
            code.append(.move(.r6, 0))
            for slot in (1...32).reversed() {
                code.append(.load(.u64, into: .r2, from: .r10, offset: Int16(-8 * slot)))
                code.append(.shiftLeft(.r6, 1))
                code.append(.or(.r6, .r2))
                let next = code.makeLabel()
                code.branch(.greater, .r2, 1, to: next)
                code.place(next)
            }
            code.branch(.less, .r6, 100_000_000, to: top)
            end()
        case .mayGoto:
            fill(64)
            let top = code.placeLabel()
            let out = code.makeLabel()
            code.mayGoto(to: out)
            code.append(.load(.u64, into: .r1, from: .r10, offset: -8))
            code.append(.add(.r1, 1))
            code.append(.store(.u64, .r1, to: .r10, offset: -8))
            code.append(.move(.r0, 0))
            code.branch(.less, .r1, 4000, to: top)
            code.place(out)
            sumUp(64)
            end()
        case .chain:
            for _ in 0..<Self.forks {
                fork { $0.append(.add(.r6, .r0)) }
                code.append(.and(.r6, 7))
                code.append(.move(.r1, .r10))
                code.append(.add(.r1, .r6))
                code.append(.store(.u8, 0, to: .r1, offset: -8))
            }
            end()
        case .records:
            for _ in 0..<100_000 { reserve() }
            end()
        case .heldRecords:
            for _ in 0..<100 { reserve() }
            let top = code.placeLabel()
            let out = code.makeLabel()
            reserve()
            code.branch(.equal, .r0, 0, to: out)
            code.append(.move(.r1, .r0))
            code.append(.move(.r2, 0))
            code.append(.call(.ringbufSubmit))
            code.place(out)
            code.append(.add(.r6, 1))
            code.branch(.less, .r6, 4000, to: top)
            end()
        case .moreRecords:
            for _ in 0..<Self.forks {
                reserve()
                let next = code.makeLabel()
                code.branch(.equal, .r0, 0, to: next)
                code.append(.store(.u64, 1, to: .r0))
                code.place(next)
                for _ in 0..<8 { code.append(.add(.r6, 1)) }
            }
            end()
        case .helpers:
            fill(64)
            for _ in 0..<Self.forks {
                for instruction: Instruction in [.move(.r1, .r10), .add(.r1, -512), .move(.r2, 512), .move(.r3, 0)] {
                    code.append(instruction)
                }
                code.append(.call(.probeRead))
                fork { $0.append(.add(.r6, 1)) }
            }
            sumUp(64)
            end()
        case .calls:
            let function = code.makeLabel()
            fill(32)
            for _ in 0..<200 {
                code.call(function)
                code.append(.add(.r6, .r0))
            }
            sumUp(32)
            end()
            code.place(function)
            code.append(.move(.r6, 0))
            for _ in 0..<20 { fork { $0.append(.add(.r6, .r0)) } }
            code.append(.move(.r0, .r6))
            code.append(.exit)
        }
    }

    // MARK: - Parts

    /// Two ways that differ in what the part does, and do not become the same again.
    private mutating func fork(_ part: (inout ProgramBuilder) -> Void) {
        let next = code.makeLabel()
        code.append(.call(.getPrandomU32))
        code.branch(.equal, .r0, 0, to: next)
        part(&code)
        code.place(next)
        code.append(.add(.r6, 1))
    }

    /// Two ways that come to the same.
    private mutating func join() {
        let next = code.makeLabel()
        code.append(.call(.getPrandomU32))
        code.branch(.equal, .r0, 0, to: next)
        for _ in 0..<8 { code.append(.move(.r1, 0)) }
        code.place(next)
        for _ in 0..<8 { code.append(.move(.r1, 0)) }
    }

    private mutating func forkSlot(_ slot: Int) {
        fork { code in
            code.append(.load(.u64, into: .r1, from: .r10, offset: Int16(-8 * (slot + 1))))
            code.append(.add(.r1, .r0))
            code.append(.store(.u64, .r1, to: .r10, offset: Int16(-8 * (slot + 1))))
        }
    }

    /// Numbers that nobody knows, all different ones, in the slots.
    private mutating func fill(_ slots: Int) {
        for slot in 0..<slots {
            code.append(.call(.getPrandomU32))
            code.append(.store(.u64, .r0, to: .r10, offset: Int16(-8 * (slot + 1))))
        }
    }

    private mutating func sumUp(_ slots: Int) {
        for slot in 0..<slots {
            code.append(.load(.u64, into: .r1, from: .r10, offset: Int16(-8 * (slot + 1))))
            code.append(.add(.r6, .r1))
        }
    }

    /// Relies on what r6 is, and ends.
    private mutating func end() {
        code.append(.and(.r6, 7))
        code.append(.move(.r1, .r10))
        code.append(.add(.r1, .r6))
        code.append(.store(.u8, 0, to: .r1, offset: -8))
        code.append(.move(.r0, 0))
        code.append(.exit)
    }

    /// Eight functions in each other, with 512 bytes of stack each: too much, but that is seen at the end.
    private mutating func frames(linked: Bool) {
        let labels = (0..<8).map { _ in code.makeLabel() }
        for frame in 0..<8 {
            code.place(labels[frame])
            code.append(.move(.r6, 0))
            if linked {
                code.append(.call(.getPrandomU32))
                for slot in 1...64 { code.append(.store(.u64, .r0, to: .r10, offset: Int16(-8 * slot))) }
            } else {
                fill(64)
            }
            for register: Register in [.r7, .r8, .r9] { code.append(.move(register, .r0)) }
            if frame < 7 {
                code.call(labels[frame + 1])
            } else {
                for round in 0..<Self.forks { forkSlot(round % 64) }
            }
            for register: Register in [.r7, .r8, .r9] { code.append(.add(.r6, register)) }
            sumUp(64)
            end()
        }
    }

    /// Each calls the next one back, and counts on the stack of the one before.
    private mutating func callbacks(_ depth: Int, slots: Int, joins: Bool = false) {
        let labels = (0...depth).map { _ in code.makeLabel() }
        for level in 0...depth {
            code.place(labels[level])
            code.append(.move(.r6, 0))
            if level > 0 {
                let out = code.makeLabel()
                code.append(.load(.u64, into: .r1, from: .r2))
                code.branch(.greater, .r1, 1_000_000, to: out)
                code.append(.add(.r1, 1))
                code.append(.store(.u64, .r1, to: .r2))
                code.place(out)
            }
            fill(slots)
            code.append(.store(.u64, 0, to: .r10, offset: -8))
            if level < depth {
                code.append(.move(.r1, 4000))
                code.loadFunction(.r2, labels[level + 1])
                code.append(.move(.r3, .r10))
                code.append(.add(.r3, -8))
                code.append(.move(.r4, 0))
                code.append(.call(.loop))
            } else {
                for round in 0..<500 {
                    if joins { join() } else { forkSlot(round % 8) }
                }
            }
            sumUp(slots)
            end()
        }
    }

    private mutating func reserve() {
        code.append(Instruction.loadMap(.r1, index: 0))
        code.append(.move(.r2, 16))
        code.append(.move(.r3, 0))
        code.append(.call(.ringbufReserve))
    }
}
