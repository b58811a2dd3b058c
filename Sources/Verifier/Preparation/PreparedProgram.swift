import BPF
import BTF

/// A program whose shape has been checked: every slot an instruction, every jump inside its function, nothing that
/// cannot be reached, no function that calls itself.
struct PreparedProgram: Sendable {
    let instructions: [Instruction]
    /// nil for the second slot of a wide load.
    let operations: [Operation?]
    /// In the order of their slots, the program first.
    let functions: [Function]
    /// The function of each slot.
    let functionOfSlot: [Int32]
    /// Where states are kept and compared: jump targets, and what follows calls.
    let isPrunePoint: [Bool]
    /// Where they always are: calls of helpers that call back, and `may_goto`.
    let isLoopPoint: [Bool]
    let liveness: Liveness
    /// Numbers of the functions, each behind those that it calls.
    let calleesFirst: [Int]

    struct Function: Sendable {
        var name: String
        var slots: Range<Int>
        /// Verified by itself, by its types; callers see only those.
        var isGlobal = false
        /// Its parameters, for a global function.
        var parameters: [GlobalParameter] = []
        var isCallback = false
        /// What it returns is a number, as far as its type is known.
        var returnsNumber = true
        /// Where it calls `bpf_tail_call`; nil: nowhere.
        var tailCall: Int?
        /// Functions that it calls or passes on, and where.
        var callees: [(function: Int, slot: Int)] = []
    }

    static let slotLimit = ProgramStructure.slotLimit

    init(_ input: VerifierInput) throws(VerifierFailure) {
        let instructions = input.instructions
        guard !instructions.isEmpty else {
            throw VerifierFailure(slot: 0, message: "the program has no instructions", hint: "a program ends with exit")
        }
        guard instructions.count <= Self.slotLimit else {
            throw VerifierFailure(
                slot: Self.slotLimit, message: "BPF program is too large: it has \(instructions.count) insns",
                hint: "1,000,000 is the limit")
        }
        self.instructions = instructions
        operations = try Self.decode(instructions)
        var functions = try Self.functions(of: operations, input)
        functionOfSlot = Self.numbers(of: functions, count: operations.count)
        try Self.checkJumps(operations, functions)
        try Self.checkReachability(operations, functions)
        for index in functions.indices {
            functions[index].callees = Self.callees(of: functions[index], operations, functionOfSlot)
            functions[index].tailCall = Self.tailCall(in: functions[index], operations)
        }
        let order = try Self.calleesFirst(functions)
        self.functions = functions
        calleesFirst = order
        (isPrunePoint, isLoopPoint) = Self.prunePoints(operations, functions)
        liveness = Liveness(operations, functions, functionOfSlot: functionOfSlot, calleesFirst: order)
    }

    func function(at slot: Int) -> Function { functions[Int(functionOfSlot[slot])] }

    // MARK: - Shape

    private static func decode(_ instructions: [Instruction]) throws(VerifierFailure) -> [Operation?] {
        var operations: [Operation?] = []
        operations.reserveCapacity(instructions.count)
        while operations.count < instructions.count {
            let slot = operations.count
            let next = slot + 1 < instructions.count ? instructions[slot + 1] : nil
            do throws(InstructionFault) {
                let operation = try instructions[slot].operation(followedBy: next)
                try checkConstants(operation, slot)
                operations.append(operation)
                if case .loadImmediate = operation { operations.append(nil) }
            } catch {
                throw Self.failure(error, instructions[slot], slot)
            }
        }
        return operations
    }

    private static func checkConstants(_ operation: Operation, _ slot: Int) throws(InstructionFault) {
        guard case .arithmetic(let arithmetic, let width, _, .immediate(let value)) = operation else { return }
        switch arithmetic {
        case .divide, .divideSigned, .modulo, .moduloSigned:
            if value == 0 { throw .badConstant("div by zero") }
        case .shiftLeft, .shiftRight, .shiftRightArithmetic:
            if value < 0 || value >= Int32(width.rawValue) { throw .badConstant("invalid shift \(value)") }
        default: break
        }
    }

    /// Functions start where calls go and where the object says.
    private static func functions(
        of operations: [Operation?], _ input: VerifierInput
    ) throws(VerifierFailure) -> [Function] {
        var starts: Set<Int> = [0]
        var callbacks: Set<Int> = []
        for (slot, operation) in operations.enumerated() {
            let target: Int
            switch operation {
            case .call(.subprogram(let distance)): target = slot + 1 + Int(distance)
            case .loadImmediate(.function, _, let distance, _):
                target = slot + 1 + Int(distance)
                callbacks.insert(target)
            default: continue
            }
            guard operations.indices.contains(target), operations[target] != nil else {
                throw VerifierFailure(slot: slot, message: "invalid insn idx \(target) insn_cnt \(operations.count)")
            }
            starts.insert(target)
        }
        var named: [Int: ObjectProgram.Subprogram] = [:]
        for subprogram in input.subprograms {
            guard operations.indices.contains(subprogram.start), operations[subprogram.start] != nil else {
                throw VerifierFailure(
                    slot: max(0, min(subprogram.start, operations.count - 1)),
                    message: "func_info of '\(subprogram.name)' has offset \(subprogram.start), where no instruction starts",
                    hint: "the object is damaged: compile it again")
            }
            starts.insert(subprogram.start)
            named[subprogram.start] = subprogram
        }
        let tags = input.subprograms.contains { $0.isGlobal } ? input.btf.map(GlobalParameter.tags) ?? [:] : [:]
        let sorted = starts.sorted()
        var functions: [Function] = []
        for (index, start) in sorted.enumerated() {
            let end = index + 1 < sorted.count ? sorted[index + 1] : operations.count
            var function = Function(
                name: start == 0 ? input.name : named[start]?.name ?? "func#\(index)", slots: start..<end,
                isCallback: callbacks.contains(start))
            if let subprogram = named[start], start != 0 {
                try GlobalParameter.describe(subprogram, in: input.btf, tags, &function)
            }
            functions.append(function)
        }
        return functions
    }

    private static func numbers(of functions: [Function], count: Int) -> [Int32] {
        var numbers = [Int32](repeating: 0, count: count)
        for (index, function) in functions.enumerated() {
            for slot in function.slots { numbers[slot] = Int32(truncatingIfNeeded: index) }
        }
        return numbers
    }

    private static func checkJumps(_ operations: [Operation?], _ functions: [Function]) throws(VerifierFailure) {
        for function in functions {
            for slot in function.slots {
                guard let target = operations[slot]?.jumpTarget(from: slot) else { continue }
                guard function.slots.contains(target) else {
                    throw VerifierFailure(slot: slot, message: "jump out of range from insn \(slot) to \(target)")
                }
                guard operations[target] != nil else {
                    throw VerifierFailure(slot: slot, message: "jump into the middle of ldimm64 insn \(target)")
                }
            }
            let last = function.slots.upperBound - 1
            switch operations[last] {
            case .exit, .jump: break
            default:
                throw VerifierFailure(
                    slot: last, message: "last insn is not an exit or jmp",
                    hint: "a function whose end cannot be reached still needs one: return a value")
            }
        }
    }

    private static func checkReachability(_ operations: [Operation?], _ functions: [Function]) throws(VerifierFailure) {
        var isReached = [Bool](repeating: false, count: operations.count)
        var pending = functions.map(\.slots.lowerBound)
        while let slot = pending.popLast() {
            if isReached[slot] { continue }
            isReached[slot] = true
            guard let operation = operations[slot] else { continue }
            if let next = operation.fallThrough(from: slot) { pending.append(next) }
            if let target = operation.jumpTarget(from: slot) { pending.append(target) }
        }
        if let slot = operations.indices.first(where: { !isReached[$0] && operations[$0] != nil }) {
            throw VerifierFailure(slot: slot, message: "unreachable insn \(slot)")
        }
    }

    private static func callees(
        of function: Function, _ operations: [Operation?], _ functionOfSlot: [Int32]
    ) -> [(function: Int, slot: Int)] {
        var callees: [(function: Int, slot: Int)] = []
        for slot in function.slots {
            switch operations[slot] {
            case .call(.subprogram(let distance)), .loadImmediate(.function, _, let distance, _):
                callees.append((Int(functionOfSlot[slot + 1 + Int(distance)]), slot))
            default: continue
            }
        }
        return callees
    }

    private static func tailCall(in function: Function, _ operations: [Operation?]) -> Int? {
        function.slots.first { operations[$0] == .call(.helper(Helper.tailCall.rawValue)) }
    }

    /// The functions, each behind those that it calls.
    private static func calleesFirst(_ functions: [Function]) throws(VerifierFailure) -> [Int] {
        enum Mark { case new, open, done }
        var marks = [Mark](repeating: .new, count: functions.count)
        var order: [Int] = []
        for root in functions.indices where marks[root] == .new {
            var path = [(function: root, next: 0)]
            marks[root] = .open
            while let top = path.last {
                guard top.next < functions[top.function].callees.count else {
                    marks[top.function] = .done
                    order.append(top.function)
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                let callee = functions[top.function].callees[top.next]
                switch marks[callee.function] {
                case .done: continue
                case .open:
                    throw VerifierFailure(
                        slot: callee.slot,
                        message: "recursive call from \(functions[top.function].name)() to \(functions[callee.function].name)()",
                        hint: "BPF programs cannot recurse: use a loop")
                case .new:
                    marks[callee.function] = .open
                    path.append((callee.function, 0))
                }
            }
        }
        return order
    }

    private static func prunePoints(
        _ operations: [Operation?], _ functions: [Function]
    ) -> (prune: [Bool], loop: [Bool]) {
        var prune = [Bool](repeating: false, count: operations.count)
        var loop = prune
        for (slot, operation) in operations.enumerated() {
            guard let operation else { continue }
            if let target = operation.jumpTarget(from: slot) { prune[target] = true }
            switch operation {
            case .call(.subprogram(let distance)):
                prune[slot + 1 + Int(distance)] = true
                if slot + 1 < operations.count { prune[slot + 1] = true }
            case .call(.helper(let id)) where HelperPrototype.of(id)?.callsBack == true:
                prune[slot] = true
                loop[slot] = true
            case .call(.helper(Helper.tailCall.rawValue)): prune[slot + 1] = true
            case .mayGoto:
                prune[slot] = true
                loop[slot] = true
            default: break
            }
        }
        return (prune, loop)
    }
}

extension Operation {
    /// Where a jump goes.
    func jumpTarget(from slot: Int) -> Int? {
        switch self {
        case .jump(let distance, _): slot + 1 + Int(distance)
        case .branch(_, _, _, _, let distance), .mayGoto(let distance): slot + 1 + Int(distance)
        default: nil
        }
    }

    /// The instruction behind it, if control may come to it.
    func fallThrough(from slot: Int) -> Int? {
        switch self {
        case .exit, .jump: nil
        case .loadImmediate: slot + 2
        default: slot + 1
        }
    }
}
