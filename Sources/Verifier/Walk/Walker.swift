import BPF
import BTF
import Search

/// Walks all paths of a program, one after the other, and keeps states on the way so that a path that comes to where
/// another has been, with nothing new, ends there.
struct Walker: ~Copyable {
    let input: VerifierInput
    let options: VerifierOptions
    let program: PreparedProgram
    /// The path that is being walked, and what its registers and stacks hold.
    var state = PathState(slot: 0)
    var values = PathValues()
    /// Rounds that the helper at the current instruction has called back, on this path.
    var callbackDepth: Int32 = 0
    var pending: [WaitingPath] = []
    /// What branches told those of ``pending`` that come from one.
    var comparisons = GrowingBuffer<WaitingPath.Comparison>()
    var saved: SavedStates
    /// What the state that is being kept holds.
    var collected = GrowingBuffer<SavedValues.Value>()
    var collectedSlots = GrowingBuffer<SavedValues.Slot>()
    var graph = PrecisionGraph()
    var numbers = NumberMap()
    var numberCounts = NumberCounts()
    var lastID: UInt32 = 0
    var statistics = VerifierStatistics()
    var isReached: [Bool]
    var contextBytes = 0
    /// What lookups in arrays find, by their slots; nil where it is not the same, or not known, on every path.
    var lookups: [Int: ConstantLookup?] = [:]
    /// Bytes of stack that each function uses.
    var stackDepths: [Int]
    /// Global functions that are called and not walked yet.
    var globalsToWalk: [Int] = []
    var globalsSeen: Set<Int> = []
    /// The global function that is walked by itself; nil for the program.
    var rootFunction: Int?
    var log: VerifierLog

    static let frameHint = "eight functions may be inside each other: mark small ones static __always_inline"
    /// As in the kernel (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
    static let pendingLimit = 8192

    init(_ input: VerifierInput, _ program: PreparedProgram, _ options: VerifierOptions, _ level: VerifierLog.Level) {
        self.input = input
        self.options = options
        self.program = program
        saved = SavedStates(slots: program.operations.count)
        isReached = Array(repeating: false, count: program.operations.count)
        stackDepths = Array(repeating: 0, count: program.functions.count)
        log = VerifierLog(level: level, input: input)
    }

    mutating func walkProgram() throws(VerifierFailure) {
        start(at: 0)
        values[1, 0] = RegisterState(kind: .context)
        try walk()
        while let index = globalsToWalk.popLast() {
            rootFunction = index
            try walkGlobal(program.functions[index])
        }
        try checkStackDepth()
    }

    private mutating func walkGlobal(_ function: PreparedProgram.Function) throws(VerifierFailure) {
        start(at: function.slots.lowerBound)
        log.note("Validating \(function.name)() func#\(rootFunction ?? 0)...")
        for (index, parameter) in function.parameters.enumerated() {
            switch parameter {
            case .scalar: values[index + 1, 0] = .unknown
            case .context: values[index + 1, 0] = RegisterState(kind: .context)
            case .memory(let size, let isNullable):
                var register = RegisterState(kind: .memory, size: size)
                register.isNullable = isNullable
                register.id = isNullable ? newID() : 0
                values[index + 1, 0] = register
            }
        }
        try walk()
    }

    private mutating func start(at slot: Int) {
        state = PathState(slot: slot)
        values.clear(frame: 0)
        values[10, 0] = RegisterState(kind: .frame)
        callbackDepth = 0
    }

    private mutating func walk() throws(VerifierFailure) {
        let isObserved = options.observer != nil
        while true {
            let slot = state.slot
            statistics.instructions += 1
            guard statistics.instructions <= options.walkLimit else {
                throw failure(
                    "BPF program is too large. Processed \(statistics.instructions) insn",
                    hint: "it branches too much or loops for too long: bound its loops, or use bpf_loop")
            }
            if program.isPrunePoint[slot], options.prunes || program.isLoopPoint[slot], try isKnown() {
                log.note("\(slot): safe")
                endPath()
                if !takeBranch() { return }
                continue
            }
            guard let operation = program.operations[slot] else { throw failure("invalid insn idx \(slot)") }
            if !isReached[slot] { isReached[slot] = true }
            state.instructionsSinceParent += 1
            if isObserved { observe() }
            let goesOn = log.isOn ? try loggedStep(operation) : try step(operation)
            if !goesOn {
                endPath()
                if !takeBranch() { return }
            }
        }
    }

    private func observe() {
        let stacks = (0...state.depth).map { frame in
            let live = live(frame).stack
            return (0..<values.slotCount(ofFrame: frame)).filter { live & 1 << UInt64($0) != 0 }.map {
                (index: $0, slot: values.stackSlot($0, frame: frame))
            }
        }
        options.observer?.visit(
            VerifierVisit(
                slot: state.slot, frame: state.depth, registers: registers(), live: program.liveness.registers[state.slot],
                stacks: stacks))
    }

    private mutating func loggedStep(_ operation: Operation) throws(VerifierFailure) -> Bool {
        log.instruction(state.slot, operation)
        let before = snapshot()
        let goesOn = try step(operation)
        log.changes(from: before, to: snapshot(), operation)
        return goesOn
    }

    /// Walks one instruction; false if the path ends with it.
    private mutating func step(_ operation: Operation) throws(VerifierFailure) -> Bool {
        let slot = state.slot
        switch operation {
        case .arithmetic(let operation, let width, let destination, let operand):
            try arithmetic(operation, width, destination, operand)
        case .negate(let width, let register): try negate(width, register)
        case .move(let width, let destination, let operand): try move(width, destination, operand)
        case .moveSigned(let width, let destination, let source, let bits):
            try moveSigned(width, destination, source, bytes: Int(bits / 8))
        case .byteOrder(let order, let bits, let register): try changeByteOrder(order, bits, register)
        case .loadImmediate(let kind, let destination, let first, let second):
            try loadImmediate(kind, destination, first, second)
            state.slot = slot + 2
            return true
        case .load(let type, let destination, let base, let offset): try load(type, destination, base, Int(offset))
        case .store(let type, let base, let offset, let operand): try store(type, base, Int(offset), operand)
        case .atomic(let operation, let width, let base, let offset, let source):
            try atomic(operation, width, base, Int(offset), source)
        case .jump(let distance, _):
            state.jumpsSinceParent += 1
            state.slot = slot + 1 + Int(distance)
            return true
        case .branch(let condition, let width, let left, let operand, let distance):
            state.jumpsSinceParent += 1
            try branch(condition, width, left, operand, to: slot + 1 + Int(distance))
            return true
        case .mayGoto(let distance):
            state.jumpsSinceParent += 1
            try push(slot: slot + 1 + Int(distance))
            state.mayGotoDepth += 1
        case .call(let target):
            state.jumpsSinceParent += 1
            return try call(target)
        case .exit:
            state.jumpsSinceParent += 1
            return try exit()
        }
        state.slot = slot + 1
        return true
    }

    mutating func newID() -> UInt32 {
        lastID &+= 1
        return lastID
    }

    /// The walk relies on what a scalar is.
    @inline(__always)
    mutating func relyOn(_ origin: PrecisionGraph.Node) { graph.require(origin) }

    // MARK: - Failures

    func failure(_ message: String, hint: String? = nil) -> VerifierFailure {
        VerifierFailure(slot: state.slot, message: message, hint: hint, source: input.line(at: state.slot))
    }

    /// As the kernel rounds it.
    private func roundedDepth(_ function: Int) -> Int { (max(stackDepths[function], 1) + 15) / 16 * 16 }

    /// What a tail call leaves behind: frames of the function's callers, each time (33 at most).
    private static let stackBelowTailCalls = 256

    /// A tail call ends the function that makes it, and leaves the frames of its callers on the stack.
    private func checkTailCallDepth() throws(VerifierFailure) {
        var above = [Int](repeating: 0, count: program.functions.count)
        for index in program.calleesFirst.reversed() {
            let function = program.functions[index]
            for callee in function.callees {
                above[callee.function] = max(above[callee.function], above[index] + roundedDepth(index))
            }
            if index != 0, let slot = function.tailCall, above[index] >= Self.stackBelowTailCalls {
                throw VerifierFailure(
                    slot: slot,
                    message: "tail_calls are not allowed when call stack of previous frames is \(above[index]) bytes. Too large",
                    hint: "each of 33 tail calls leaves them on the stack: make it in the program itself, or use less stack",
                    source: input.line(at: slot))
            }
        }
    }

    /// Calls within calls share 512 bytes.
    private mutating func checkStackDepth() throws(VerifierFailure) {
        try checkTailCallDepth()
        var deepest = [Int?](repeating: nil, count: program.functions.count)
        let limit = ProgramStructure.stackSize
        /// Bytes and frames of the deepest chain from a function, without recursion: callees come first in `order`.
        var frames = [Int](repeating: 1, count: program.functions.count)
        for index in program.calleesFirst {
            let own = roundedDepth(index)
            var below = 0
            for callee in program.functions[index].callees {
                below = max(below, deepest[callee.function] ?? 0)
                frames[index] = max(frames[index], frames[callee.function] + 1)
            }
            deepest[index] = own + below
            if frames[index] > PathState.frameLimit {
                let slot = program.functions[index].slots.lowerBound
                throw VerifierFailure(
                    slot: slot, message: "the call stack of \(frames[index]) frames is too deep",
                    hint: Self.frameHint, source: input.line(at: slot))
            }
            if own + below > limit {
                throw VerifierFailure(
                    slot: program.functions[index].slots.lowerBound,
                    message: "combined stack size of \(frames[index]) calls is \(own + below). Too large",
                    hint: "keep large variables in a map (a per-CPU array of one element) instead of on the stack",
                    source: input.line(at: program.functions[index].slots.lowerBound))
            }
        }
        statistics.stackDepth = deepest[0] ?? 0
    }
}

extension VerifierInput {
    /// The line of the source that an instruction comes from.
    func line(at slot: Int) -> SourceLine? {
        let index = lines.partitioningIndex { $0.slot > slot }
        return index > 0 ? lines[index - 1] : nil
    }
}

extension Walker {
    /// The end of the walk, for better or worse.
    mutating func verdict(_ failure: VerifierFailure?) -> Verdict {
        if let failure {
            let registers = log.isOn ? log.registers(snapshot()) : ""
            log.note(registers)
            log.note(failure.logged)
        }
        let summary =
            "processed \(statistics.instructions) insns (limit \(options.walkLimit)) total_states \(statistics.states) "
            + "peak_states \(statistics.peakStates)"
        log.note(summary)
        let dead = isReached.indices.filter { !isReached[$0] && program.operations[$0] != nil }
        var verdict = Verdict(
            failure: failure, log: log.isOn ? log.text : failure?.logged ?? "", statistics: statistics,
            deadSlots: [], contextBytes: contextBytes)
        if failure == nil {
            verdict.deadSlots = dead
            verdict.droppableSlots = dead.filter { isReached[program.function(at: $0).slots.lowerBound] }
            verdict.constantLookups = lookups.compactMapValues { $0 }
            for (function, depth) in zip(program.functions, stackDepths) {
                verdict.stackDepths[function.slots.lowerBound] = depth
            }
        }
        return verdict
    }
}
