import BPF

/// Where registers point into the function's own frame, as far as the program's text tells: what ``Liveness`` needs
/// to know which slots an instruction reads.
struct FramePointers: Sendable {
    /// Eleven for each slot: an offset from r10, or one of the values below.
    private var places: [Int16]
    private let operations: [Operation?]
    private let graph: FlowGraph
    /// A pointer into the frame may come out of memory or a call, in the function that was followed last.
    private var escapes = false

    private static let unvisited = Int16.min
    private static let elsewhere = Int16.max
    private static let anywhere = Int16.max - 1

    init(_ operations: [Operation?], _ functions: [PreparedProgram.Function], _ graph: FlowGraph) {
        places = Array(repeating: Self.unvisited, count: operations.count * 11)
        self.operations = operations
        self.graph = graph
    }

    mutating func follow(_ function: PreparedProgram.Function) {
        escapes = false
        flow(function)
        if escapes {
            // Once more, with what loads may give.
            for index in function.slots.lowerBound * 11..<function.slots.upperBound * 11 { places[index] = Self.unvisited }
            flow(function)
        }
    }

    /// Slots that an access of `count` bytes at `offset` from the register touches.
    func slots(_ register: Register, _ slot: Int, _ offset: Int, _ count: Int) -> UInt64 {
        let place = places[slot * 11 + Int(register.rawValue)]
        switch place {
        case Self.elsewhere, Self.unvisited: return 0
        case Self.anywhere: return .max
        default: return Self.mask(Int(place) + offset, count)
        }
    }

    /// The slot that a store of eight bytes replaces; 0 if it may be another one.
    func wholeSlot(_ register: Register, _ slot: Int, _ offset: Int) -> UInt64 {
        let place = places[slot * 11 + Int(register.rawValue)]
        guard place != Self.elsewhere, place != Self.unvisited, place != Self.anywhere else { return 0 }
        let start = Int(place) + offset
        return start % 8 == 0 ? Self.mask(start, 8) : 0
    }

    /// Slots that a function may read which is handed the register: all from there up, or if it is no helper, all.
    func slots(_ register: Register, _ slot: Int) -> UInt64 {
        let place = places[slot * 11 + Int(register.rawValue)]
        switch place {
        case Self.elsewhere, Self.unvisited: return 0
        case Self.anywhere: return .max
        default:
            if case .call(.helper) = operations[slot], !Self.callsBack(operations[slot]) {
                return Self.mask(Int(place), -Int(place))
            }
            return .max
        }
    }

    private static func callsBack(_ operation: Operation?) -> Bool {
        guard case .call(.helper(let id)) = operation else { return false }
        return HelperPrototype.of(id)?.callsBack ?? true
    }

    private static func mask(_ offset: Int, _ count: Int) -> UInt64 {
        let low = max(offset, -512)
        let high = min(offset + count, 0)
        guard low < high else { return 0 }
        var mask: UInt64 = 0
        for slot in (-high) / 8...(-low - 1) / 8 { mask |= 1 << UInt64(slot) }
        return mask
    }

    private mutating func flow(_ function: PreparedProgram.Function) {
        let first = function.slots.lowerBound
        for register in 0..<10 { places[first * 11 + register] = Self.elsewhere }
        places[first * 11 + 10] = 0
        var pending = [first]
        while let slot = pending.popLast() {
            guard let operation = operations[slot] else { continue }
            let change = change(by: operation, slot)
            for next in [operation.fallThrough(from: slot), operation.jumpTarget(from: slot)] {
                guard let next else { continue }
                if merge(slot, into: next, change) { pending.append(next) }
            }
        }
    }

    /// Registers whose place changes; all of `mask` then are at `place`.
    private struct Change {
        var mask: UInt16 = 0
        var place = FramePointers.elsewhere
    }

    private mutating func merge(_ slot: Int, into next: Int, _ change: Change) -> Bool {
        var hasChanged = false
        for register in 0..<11 {
            let old = places[next * 11 + register]
            let new = change.mask & 1 << UInt16(register) != 0 ? change.place : places[slot * 11 + register]
            let merged = old == Self.unvisited || old == new ? new : Self.anywhere
            if merged != old {
                places[next * 11 + register] = merged
                hasChanged = true
            }
        }
        return hasChanged
    }

    private mutating func change(by operation: Operation, _ slot: Int) -> Change {
        func place(_ register: Register) -> Int16 { places[slot * 11 + Int(register.rawValue)] }
        func isElsewhere(_ register: Register) -> Bool { place(register) == Self.elsewhere }
        func set(_ register: Register, _ place: Int16) -> Change {
            Change(mask: 1 << UInt16(register.rawValue), place: place)
        }
        let loaded = escapes ? Self.anywhere : Self.elsewhere
        switch operation {
        case .move(.bits64, let destination, .register(let source)): return set(destination, place(source))
        case .move(_, let destination, .immediate), .loadImmediate(_, let destination, _, _):
            return set(destination, Self.elsewhere)
        case .move(.bits32, let destination, .register(let source)), .moveSigned(_, let destination, let source, _):
            return set(destination, isElsewhere(source) ? Self.elsewhere : Self.anywhere)
        case .arithmetic(let operation, let width, let destination, let operand):
            switch operand {
            case .immediate(let value):
                if isElsewhere(destination) { return Change() }
                let amount = Int(value)
                switch (operation, width) {
                case (.add, .bits64): return set(destination, moved(place(destination), by: amount))
                case (.subtract, .bits64): return set(destination, moved(place(destination), by: -amount))
                default: return set(destination, Self.anywhere)
                }
            case .register(let source):
                return isElsewhere(destination) && isElsewhere(source) ? Change() : set(destination, Self.anywhere)
            }
        case .negate(_, let register), .byteOrder(_, _, let register):
            return isElsewhere(register) ? Change() : set(register, Self.anywhere)
        case .load(_, let destination, _, _): return set(destination, loaded)
        case .store(_, _, _, .register(let source)):
            if !isElsewhere(source) { escapes = true }
            return Change()
        case .atomic(let operation, _, _, _, let source):
            if !isElsewhere(source) { escapes = true }
            if operation == .compareExchange { return set(.r0, loaded) }
            return operation.fetchesIntoSource ? set(source, loaded) : Change()
        case .call(let target):
            let isHelper = if case .helper = target { !Self.callsBack(operation) } else { false }
            if !isHelper {
                for register in 1...5 where !isElsewhere(Register(rawValue: UInt8(register))) { escapes = true }
            }
            // r1…r5 cannot be read afterwards; r0 can be a pointer that was handed in.
            return Change(mask: 0b11_1111, place: isHelper ? Self.elsewhere : loaded)
        case .store, .jump, .branch, .mayGoto, .exit: return Change()
        }
    }

    private func moved(_ place: Int16, by amount: Int) -> Int16 {
        guard place != Self.anywhere, place != Self.unvisited else { return Self.anywhere }
        let result = Int(place) + amount
        return (-512...0).contains(result) ? Int16(truncatingIfNeeded: result) : Self.anywhere
    }
}
