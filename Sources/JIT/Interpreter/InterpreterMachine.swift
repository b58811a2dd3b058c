import BPF

/// The state of one run. A class because helper calls reach back into it.
final class InterpreterMachine {
    typealias Arguments = (UInt64, UInt64, UInt64, UInt64, UInt64)

    private var program: Interpreter
    var structure: ProgramStructure { program.structure }
    private let stack: UnsafeMutableRawBufferPointer
    private let stackFill: UInt64?
    var regions: RegionList
    var pendingTailCall: Interpreter?
    private let helpers: Interpreter.HelperHandler
    private let observer: Interpreter.Observer?
    private var remaining: Int
    private var frames = 0
    /// The frame from which observers count.
    private var root = 0
    private var tailCalls = 0

    init(
        _ program: Interpreter, stack: UnsafeMutableRawBufferPointer, stackFill: UInt64?, memory: [MemoryRegion],
        helpers: @escaping Interpreter.HelperHandler, observer: Interpreter.Observer?
    ) {
        self.program = program
        self.stack = stack
        self.stackFill = stackFill
        self.helpers = helpers
        self.observer = observer
        remaining = program.instructionLimit
        regions = RegionList(memory)
    }

    /// Runs the subprogram at `slot` to its exit, in a frame of its own.
    func call(slot: Int, arguments: Arguments) throws(InterpreterError) -> UInt64 {
        var slot = slot
        var arguments = arguments
        // A tail call replaces the running function, and only that one: callers go on in their own program.
        let caller = program
        defer { program = caller }
        while true {
            switch try run(from: slot, arguments: arguments) {
            case .exit(let result): return result
            case .tailCall(let next, let context):
                program = next
                slot = 0
                arguments = (context, 0, 0, 0, 0)
            }
        }
    }

    private enum Ending {
        case exit(UInt64)
        case tailCall(Interpreter, context: UInt64)
    }

    private func run(from start: Int, arguments: Arguments) throws(InterpreterError) -> Ending {
        guard frames < Interpreter.frameLimit else { throw .tooManyFrames(slot: start) }
        // Frames grow downward, as on a real stack.
        let size = ProgramStructure.stackSize
        let bottom = stack.count - (frames + 1) * size
        // No more of it than the compiler gives it.
        let depth = structure.subprogram(at: start)?.stackDepth ?? size
        let frame = MemoryRegion(UnsafeMutableRawBufferPointer(rebasing: stack[bottom + size - depth..<bottom + size]))
        if let stackFill {
            stack[bottom..<bottom + size].withMemoryRebound(to: UInt64.self) { $0.update(repeating: stackFill) }
        }
        let outerRoot = root
        if start == 0 || program.roots.contains(start) { root = frames }
        frames += 1
        regions.add(frame)
        defer {
            regions.remove(frame)
            frames -= 1
            root = outerRoot
        }
        // Swift 6.2 lets this function throw no errors of a known type.
        let ending = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 16) {
            registers -> Result<Ending, InterpreterError> in
            registers.initialize(repeating: 0)
            registers[1] = arguments.0
            registers[2] = arguments.1
            registers[3] = arguments.2
            registers[4] = arguments.3
            registers[5] = arguments.4
            registers[10] = frame.address + UInt64(depth)
            // A copy of the reference: nested calls change `structure` while this runs.
            let operations = structure.operations
            return Result { () throws(InterpreterError) -> Ending in
                try operations.withUnsafeBufferPointer { operations throws(InterpreterError) -> Ending in
                    try execute(operations, from: start, registers, frame)
                }
            }
        }
        return try ending.get()
    }

    private func execute(
        _ operations: UnsafeBufferPointer<Operation?>, from start: Int,
        _ registers: UnsafeMutableBufferPointer<UInt64>, _ frame: MemoryRegion
    ) throws(InterpreterError) -> Ending {
        // Register numbers were checked by the structure; the buffer has room for any four-bit number.
        func register(_ register: Register) -> UInt64 { registers[Int(register.rawValue)] }
        func set(_ register: Register, _ value: UInt64) { registers[Int(register.rawValue)] = value }
        func value(_ operand: Operand) -> UInt64 {
            switch operand {
            case .register(let source): register(source)
            case .immediate(let value): UInt64(bitPattern: Int64(value))
            }
        }

        var slot = start
        var roundsLeft = ProgramStructure.mayGotoLimit
        while true {
            remaining -= 1
            guard remaining >= 0 else { throw .instructionLimit(slot: slot) }
            // Second slots are never reached: the structure lets no jump in, and the first skips over it.
            guard let operation = operations[slot] else { throw .unresolved(slot: slot) }
            observer?(
                InterpreterStep(
                    program: program.number, slot: slot, frame: frames - 1 - root, registers: registers, stack: stack, root: root))
            let next = slot + 1
            switch operation {
            case .arithmetic(let operation, .bits64, let destination, let operand):
                set(destination, operation.apply(register(destination), value(operand)))
            case .arithmetic(let operation, .bits32, let destination, let operand):
                let left = UInt32(truncatingIfNeeded: register(destination))
                set(destination, UInt64(operation.apply(left, UInt32(truncatingIfNeeded: value(operand)))))
            case .negate(.bits64, let destination): set(destination, 0 &- register(destination))
            case .negate(.bits32, let destination):
                set(destination, UInt64(0 &- UInt32(truncatingIfNeeded: register(destination))))
            case .move(.bits64, let destination, let operand): set(destination, value(operand))
            case .move(.bits32, let destination, let operand):
                set(destination, UInt64(UInt32(truncatingIfNeeded: value(operand))))
            case .moveSigned(let width, let destination, let source, let bits):
                let extended = register(source).signExtended(from: bits)
                set(destination, width == .bits64 ? extended : UInt64(UInt32(truncatingIfNeeded: extended)))
            case .byteOrder(let order, let bits, let destination):
                set(destination, register(destination).converted(order, bits: bits))

            case .loadImmediate(let kind, let destination, let first, let second):
                switch kind {
                case .value:
                    set(destination, UInt64(UInt32(bitPattern: first)) | UInt64(UInt32(bitPattern: second)) << 32)
                case .function: set(destination, Interpreter.functionReference(slot: next + Int(first)))
                default: throw .unresolved(slot: slot)
                }
                slot = next + 1
                continue

            case .load(let type, let destination, let base, let offset):
                let address = register(base) &+ UInt64(bitPattern: Int64(offset))
                let pointer = try pointer(address, type.byteCount, isWrite: false, slot, frame)
                let value: UInt64 =
                    switch type {
                    case .u8: UInt64(pointer.loadUnaligned(as: UInt8.self))
                    case .u16: UInt64(pointer.loadUnaligned(as: UInt16.self))
                    case .u32: UInt64(pointer.loadUnaligned(as: UInt32.self))
                    case .u64: pointer.loadUnaligned(as: UInt64.self)
                    case .s8: UInt64(bitPattern: Int64(pointer.loadUnaligned(as: Int8.self)))
                    case .s16: UInt64(bitPattern: Int64(pointer.loadUnaligned(as: Int16.self)))
                    case .s32: UInt64(bitPattern: Int64(pointer.loadUnaligned(as: Int32.self)))
                    }
                set(destination, value)
            case .store(let type, let base, let offset, let operand):
                let address = register(base) &+ UInt64(bitPattern: Int64(offset))
                let pointer = try pointer(address, type.byteCount, isWrite: true, slot, frame)
                let value = value(operand)
                switch type.size {
                case .byte: pointer.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
                case .half: pointer.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
                case .word: pointer.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
                case .double: pointer.storeBytes(of: value, as: UInt64.self)
                }
            case .atomic(let operation, let width, let base, let offset, let source):
                let address = register(base) &+ UInt64(bitPattern: Int64(offset))
                let pointer = try pointer(address, Int(width.rawValue) / 8, isWrite: true, slot, frame)
                let old: UInt64
                switch width {
                case .bits64:
                    old = pointer.loadUnaligned(as: UInt64.self)
                    if let new = operation.stored(old: old, source: register(source), compared: registers[0]) {
                        pointer.storeBytes(of: new, as: UInt64.self)
                    }
                case .bits32:
                    old = UInt64(pointer.loadUnaligned(as: UInt32.self))
                    let compared = UInt64(UInt32(truncatingIfNeeded: registers[0]))
                    if let new = operation.stored(old: old, source: register(source), compared: compared) {
                        pointer.storeBytes(of: UInt32(truncatingIfNeeded: new), as: UInt32.self)
                    }
                }
                if operation == .compareExchange {
                    registers[0] = old
                } else if operation.fetchesIntoSource {
                    set(source, old)
                }

            case .jump(let distance, _):
                slot = next + Int(distance)
                continue
            case .branch(let condition, let width, let left, let operand, let distance):
                var left = register(left)
                var right = value(operand)
                if width == .bits32 {
                    left = left.signExtended32
                    right = right.signExtended32
                }
                if condition.holds(left, right) {
                    slot = next + Int(distance)
                    continue
                }
            case .mayGoto(let distance):
                roundsLeft -= 1
                if roundsLeft < 0 {
                    slot = next + Int(distance)
                    continue
                }
            case .call(let target):
                switch target {
                case .subprogram(let distance):
                    registers[0] = try call(
                        slot: next + Int(distance),
                        arguments: (registers[1], registers[2], registers[3], registers[4], registers[5]))
                case .helper(let id):
                    let result = try helpers(
                        HelperCall(
                            id: id, r1: registers[1], r2: registers[2], r3: registers[3], r4: registers[4],
                            r5: registers[5], machine: self))
                    if let program = pendingTailCall {
                        pendingTailCall = nil
                        if tailCalls < Interpreter.tailCallLimit {
                            tailCalls += 1
                            return .tailCall(program, context: registers[1])
                        }
                    }
                    registers[0] = result
                case .external: throw .unresolved(slot: slot)
                }
            case .exit: return .exit(registers[0])
            }
            slot = next
        }
    }

    /// The host address of an access that the program may make.
    @inline(__always)
    private func pointer(
        _ address: UInt64, _ byteCount: Int, isWrite: Bool, _ slot: Int, _ frame: MemoryRegion
    ) throws(InterpreterError) -> UnsafeMutableRawPointer {
        guard
            frame.permits(address: address, byteCount: byteCount, isWrite: isWrite)
                || regions.permits(address: address, byteCount: byteCount, isWrite: isWrite),
            let pointer = UnsafeMutableRawPointer(bitPattern: UInt(address))
        else { throw .access(slot: slot, address: address, byteCount: byteCount, isWrite: isWrite) }
        return pointer
    }
}
