import BPF

/// Which registers and stack slots may still be read, before each instruction: states that differ in others only are
/// the same. Found out beforehand from the program's text, on the safe side.
struct Liveness: Sendable {
    /// A bit for each register.
    private(set) var registers: [UInt16]
    /// A bit for each eight bytes of the function's own frame.
    private(set) var stack: [UInt64]

    init(
        _ operations: [Operation?], _ functions: [PreparedProgram.Function], functionOfSlot: [Int32],
        calleesFirst: [Int]
    ) {
        registers = Array(repeating: 0, count: operations.count)
        stack = Array(repeating: 0, count: operations.count)
        let graph = FlowGraph(operations)
        var frames = FramePointers(operations, functions, graph)
        for index in calleesFirst {
            frames.follow(functions[index])
            flow(functions[index], operations, functions, functionOfSlot, graph, frames)
        }
    }

    private struct Effect {
        var reads: UInt16 = 0
        var writes: UInt16 = 0
        var stackReads: UInt64 = 0
        var stackWrites: UInt64 = 0
    }

    private mutating func flow(
        _ function: PreparedProgram.Function, _ operations: [Operation?], _ functions: [PreparedProgram.Function],
        _ functionOfSlot: [Int32], _ graph: FlowGraph, _ frames: FramePointers
    ) {
        var pending = Array(function.slots)
        var isPending = [Bool](repeating: true, count: function.slots.count)
        let first = function.slots.lowerBound
        while let slot = pending.popLast() {
            isPending[slot - first] = false
            guard let operation = operations[slot] else { continue }
            var live: UInt16 = 0
            var liveStack: UInt64 = 0
            if let next = operation.fallThrough(from: slot) {
                live |= registers[next]
                liveStack |= stack[next]
            }
            if let target = operation.jumpTarget(from: slot) {
                live |= registers[target]
                liveStack |= stack[target]
            }
            let effect = effect(of: operation, slot, functions, functionOfSlot, frames)
            live = live & ~effect.writes | effect.reads
            liveStack = liveStack & ~effect.stackWrites | effect.stackReads
            if live == registers[slot], liveStack == stack[slot] { continue }
            registers[slot] = live
            stack[slot] = liveStack
            graph.forEachPredecessor(of: slot, in: function.slots, operations) { predecessor in
                if !isPending[predecessor - first] {
                    isPending[predecessor - first] = true
                    pending.append(predecessor)
                }
            }
        }
    }

    private func effect(
        of operation: Operation, _ slot: Int, _ functions: [PreparedProgram.Function], _ functionOfSlot: [Int32],
        _ frames: FramePointers
    ) -> Effect {
        var effect = Effect()
        func read(_ register: Register) { effect.reads |= 1 << UInt16(register.rawValue) }
        func write(_ register: Register) { effect.writes |= 1 << UInt16(register.rawValue) }
        func readOperand(_ operand: Operand) { if case .register(let register) = operand { read(register) } }
        switch operation {
        case .arithmetic(_, _, let destination, let operand):
            read(destination)
            readOperand(operand)
        case .negate(_, let register), .byteOrder(_, _, let register): read(register)
        case .move(_, let destination, let operand):
            write(destination)
            readOperand(operand)
        case .moveSigned(_, let destination, let source, _):
            write(destination)
            read(source)
        case .loadImmediate(_, let destination, _, _): write(destination)
        case .load(let type, let destination, let base, let offset):
            write(destination)
            read(base)
            effect.stackReads = frames.slots(base, slot, Int(offset), type.byteCount)
        case .store(let type, let base, let offset, let operand):
            read(base)
            readOperand(operand)
            effect.stackWrites = type.byteCount == 8 ? frames.wholeSlot(base, slot, Int(offset)) : 0
        case .atomic(let operation, let width, let base, let offset, let source):
            read(base)
            read(source)
            if operation == .compareExchange { read(.r0) }
            effect.stackReads = frames.slots(base, slot, Int(offset), Int(width.rawValue) / 8)
        case .jump, .mayGoto: break
        case .branch(_, _, let left, let operand, _):
            read(left)
            readOperand(operand)
        case .call(let target):
            effect.writes = 0b11_1111
            var arguments = 5
            switch target {
            case .helper(let id): arguments = HelperPrototype.of(id)?.arguments.count ?? 5
            case .external: arguments = 1
            case .subprogram(let distance):
                let callee = functions[Int(functionOfSlot[slot + 1 + Int(distance)])]
                effect.reads = registers[callee.slots.lowerBound] & 0b11_1110
                arguments = callee.isGlobal ? callee.parameters.count : 0
                for register in 1...5 { effect.stackReads |= frames.slots(Register(rawValue: UInt8(register)), slot) }
            }
            for register in 1..<(arguments + 1) {
                read(Register(rawValue: UInt8(register)))
                effect.stackReads |= frames.slots(Register(rawValue: UInt8(register)), slot)
            }
        case .exit: read(.r0)
        }
        return effect
    }
}

/// The jumps of a program backwards.
struct FlowGraph: Sendable {
    /// The jumps to a slot are at `sources[starts[slot]..<starts[slot + 1]]`.
    private var starts: [Int32]
    private var sources: [Int32]

    init(_ operations: [Operation?]) {
        starts = Array(repeating: 0, count: operations.count + 1)
        for (slot, operation) in operations.enumerated() {
            if let target = operation?.jumpTarget(from: slot) { starts[target + 1] += 1 }
        }
        for slot in 0..<operations.count { starts[slot + 1] += starts[slot] }
        var next = starts
        sources = Array(repeating: 0, count: Int(starts[operations.count]))
        for (slot, operation) in operations.enumerated() {
            guard let target = operation?.jumpTarget(from: slot) else { continue }
            sources[Int(next[target])] = Int32(truncatingIfNeeded: slot)
            next[target] += 1
        }
    }

    func forEachPredecessor(
        of slot: Int, in slots: Range<Int>, _ operations: [Operation?], _ body: (Int) -> Void
    ) {
        for index in starts[slot]..<starts[slot + 1] { body(Int(sources[Int(index)])) }
        guard slot > slots.lowerBound else { return }
        // The first slot of a wide load, if the one before is its second.
        let previous = operations[slot - 1] == nil ? slot - 2 : slot - 1
        if previous >= slots.lowerBound, operations[previous]?.fallThrough(from: previous) == slot { body(previous) }
    }
}
