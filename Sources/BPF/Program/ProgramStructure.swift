import Search

/// A program that is well formed: every slot an instruction of RFC 9669, every jump inside its subprogram and at
/// an instruction, no end that control could run off. Interpreter and JIT take nothing less. It proves nothing
/// about values: that is the verifier's work.
package struct ProgramStructure: Sendable {
    package let instructions: [Instruction]
    /// One for each slot; `nil` for the second slot of a wide load.
    package let operations: [Operation?]
    /// Main first, in the order of their slots; together they cover the program.
    package private(set) var subprograms: [Subprogram]

    /// A function of the program.
    package struct Subprogram: Hashable, Sendable {
        /// Its slots; the first is where calls enter.
        package let slots: Range<Int>
        /// Bytes of stack that it uses below r10, a multiple of 8; ``stackSize`` where r10 is more than a base and
        /// nothing has been proven.
        package fileprivate(set) var stackDepth: Int
        /// The same for accesses by r10 alone.
        fileprivate let directDepth: Int
        /// Some wide load takes its address, so helpers may call it.
        package let isCallback: Bool
    }

    /// Bytes of a subprogram's stack (`MAX_BPF_STACK`).
    package static let stackSize = 512
    /// How often a function passes its `may_goto` before they jump (`BPF_MAX_LOOPS`).
    package static let mayGotoLimit = 8_388_608
    /// Most slots of a program (`BPF_COMPLEXITY_LIMIT_INSNS`, the limit for loading one).
    package static let slotLimit = 1_000_000

    package init(_ instructions: [Instruction]) throws(ProgramError) {
        guard !instructions.isEmpty else { throw ProgramError(slot: 0, reason: .empty) }
        guard instructions.count <= Self.slotLimit else { throw ProgramError(slot: Self.slotLimit, reason: .tooLong) }
        let operations = try Self.decode(instructions)
        let (starts, callbacks) = try Self.entries(of: operations)
        var subprograms: [Subprogram] = []
        for (index, start) in starts.enumerated() {
            let slots = start..<(index + 1 < starts.count ? starts[index + 1] : instructions.count)
            try Self.checkFlow(of: operations, in: slots)
            let (depth, isConstant) = try Self.stackDepth(of: operations, in: slots)
            subprograms.append(
                Subprogram(
                    slots: slots, stackDepth: isConstant ? depth : Self.stackSize, directDepth: depth,
                    isCallback: callbacks.contains(start)))
        }
        self.instructions = instructions
        self.operations = operations
        self.subprograms = subprograms
    }

    /// The program with what is known of its functions' stacks, in bytes by their first slots, wherever pointers lead.
    package func limitingStacks(to depths: [Int: Int]) -> ProgramStructure {
        var limited = self
        for index in subprograms.indices {
            guard let depth = depths[subprograms[index].slots.lowerBound] else { continue }
            let known = max((depth + 7) / 8 * 8, subprograms[index].directDepth)
            limited.subprograms[index].stackDepth = min(subprograms[index].stackDepth, known)
        }
        return limited
    }

    /// The subprogram that starts at `slot`.
    package func subprogram(at slot: Int) -> Subprogram? {
        let index = subprograms.partitioningIndex { $0.slots.lowerBound >= slot }
        guard index < subprograms.count, subprograms[index].slots.lowerBound == slot else { return nil }
        return subprograms[index]
    }

    private static func decode(_ instructions: [Instruction]) throws(ProgramError) -> [Operation?] {
        var operations: [Operation?] = []
        operations.reserveCapacity(instructions.count)
        while operations.count < instructions.count {
            let slot = operations.count
            let next = slot + 1 < instructions.count ? instructions[slot + 1] : nil
            do {
                let operation = try instructions[slot].operation(followedBy: next)
                operations.append(operation)
                if case .loadImmediate = operation { operations.append(nil) }
            } catch {
                throw ProgramError(slot: slot, reason: .fault(error))
            }
        }
        return operations
    }

    /// Slots where subprograms start, ascending, and those whose address is taken.
    private static func entries(
        of operations: [Operation?]
    ) throws(ProgramError) -> (starts: [Int], callbacks: Set<Int>) {
        var starts: Set<Int> = [0]
        var callbacks: Set<Int> = []
        for (slot, operation) in operations.enumerated() {
            let target: Int
            switch operation {
            case .call(.subprogram(let distance)):
                target = slot + 1 + Int(distance)
            case .loadImmediate(.function, _, let distance, _):
                // Relative to the slot after the first, as the kernel has it.
                target = slot + 1 + Int(distance)
                callbacks.insert(target)
            default: continue
            }
            guard operations.indices.contains(target), operations[target] != nil else {
                throw ProgramError(slot: slot, reason: .callTarget(target))
            }
            starts.insert(target)
        }
        return (starts.sorted(), callbacks)
    }

    private static func checkFlow(of operations: [Operation?], in slots: Range<Int>) throws(ProgramError) {
        for slot in slots {
            let target: Int
            switch operations[slot] {
            case .jump(let distance, _): target = slot + 1 + Int(distance)
            case .branch(_, _, _, _, let distance), .mayGoto(let distance): target = slot + 1 + Int(distance)
            default: continue
            }
            guard operations.indices.contains(target) else {
                throw ProgramError(slot: slot, reason: .jumpOutside(target))
            }
            guard slots.contains(target) else { throw ProgramError(slot: slot, reason: .jumpOutsideSubprogram(target)) }
            guard operations[target] != nil else { throw ProgramError(slot: slot, reason: .jumpIntoWideLoad(target)) }
        }
        let last = slots.upperBound - 1
        switch operations[last] {
        case .exit, .jump: break
        default: throw ProgramError(slot: last, reason: .fallsOffEnd)
        }
    }

    private static func stackDepth(
        of operations: [Operation?], in slots: Range<Int>
    ) throws(ProgramError) -> (depth: Int, isConstant: Bool) {
        var depth = 0
        var isConstant = true
        for slot in slots {
            guard let operation = operations[slot] else { continue }
            if let (offset, byteCount) = operation.frameAccess {
                guard offset >= -stackSize, Int(offset) + byteCount <= 0 else {
                    throw ProgramError(slot: slot, reason: .outsideStack(offset))
                }
                depth = max(depth, -Int(offset))
            }
            if operation.readsFramePointerAsValue { isConstant = false }
        }
        return ((depth + 7) / 8 * 8, isConstant)
    }
}

extension Operation {
    /// The access of a load, store or atomic whose base is r10.
    fileprivate var frameAccess: (offset: Int16, byteCount: Int)? {
        switch self {
        case .load(let type, _, .r10, let offset), .store(let type, .r10, let offset, _): (offset, type.byteCount)
        case .atomic(_, let width, .r10, let offset, _): (offset, Int(width.rawValue) / 8)
        default: nil
        }
    }

    /// r10 goes where it can no longer be followed: into another register, memory, or arithmetic.
    fileprivate var readsFramePointerAsValue: Bool {
        switch self {
        case .arithmetic(_, _, _, .register(.r10)), .move(_, _, .register(.r10)), .moveSigned(_, _, .r10, _),
            .store(_, _, _, .register(.r10)), .atomic(_, _, _, _, .r10):
            true
        default: false
        }
    }
}

/// Why a list of slots is no program; `slot` is where.
package struct ProgramError: Error, Hashable, Sendable {
    package let slot: Int
    package let reason: Reason

    package enum Reason: Hashable, Sendable {
        case empty
        case tooLong
        case fault(InstructionFault)
        case jumpOutside(Int)
        case jumpOutsideSubprogram(Int)
        case jumpIntoWideLoad(Int)
        case callTarget(Int)
        case fallsOffEnd
        case outsideStack(Int16)
    }
}

extension ProgramError: CustomStringConvertible {
    package var description: String {
        switch reason {
        case .empty: "the program has no instructions"
        case .tooLong: "the program has more than \(ProgramStructure.slotLimit) instructions"
        case .fault(let fault): "instruction \(slot): \(fault)"
        case .jumpOutside(let target): "instruction \(slot): jumps to \(target), which is outside the program"
        case .jumpOutsideSubprogram(let target):
            "instruction \(slot): jumps to \(target), which belongs to another function"
        case .jumpIntoWideLoad(let target):
            "instruction \(slot): jumps to \(target), the second half of a 64-bit immediate"
        case .callTarget(let target): "instruction \(slot): calls \(target), where no instruction starts"
        case .fallsOffEnd: "instruction \(slot): the function ends without exit or goto"
        case .outsideStack(let offset):
            "instruction \(slot): r10\(offset < 0 ? "" : "+")\(offset) is outside the 512 bytes of stack"
        }
    }
}
