import BPF

/// Runs a program step by step and checks every access against the memory it was given. The JIT's oracle: both
/// run the same program on the same addresses and must agree.
///
/// Programs come with their references resolved: wide loads are plain values or functions, calls go to helpers or
/// subprograms.
package struct Interpreter: Sendable {
    package let structure: ProgramStructure
    /// What observers know the program by.
    package var number = 0
    /// Slots of functions whose frames observers count from 0, as they do the program's own.
    package var roots: Set<Int> = []
    /// Most instructions that one run may take, its callbacks and tail calls included.
    package var instructionLimit = 1_000_000_000

    /// `MAX_CALL_FRAMES`: main and the subprograms that it is inside.
    package static let frameLimit = 8
    /// `MAX_TAIL_CALL_CNT`
    package static let tailCallLimit = 33

    /// Answers helper calls.
    package typealias HelperHandler = (HelperCall) throws(InterpreterError) -> UInt64

    /// Is told before each instruction how things stand.
    package typealias Observer = (InterpreterStep) -> Void

    package init(_ instructions: [Instruction]) throws(ProgramError) {
        self.init(try ProgramStructure(instructions))
    }

    package init(_ structure: ProgramStructure) { self.structure = structure }

    /// Runs main with r1 = `context` and r2 = `second` and returns r0. `memory` is all that the program may touch
    /// beside its stack, which is filled with zeros at the start, or with `stackFill` where a function begins.
    package func run(
        context: UInt64 = 0, second: UInt64 = 0, memory: [MemoryRegion] = [], stackFill: UInt64? = nil,
        helpers: HelperHandler = { call throws(InterpreterError) in throw .unknownHelper(call.id) },
        observer: Observer? = nil
    ) throws(InterpreterError) -> UInt64 {
        // Another filling, another place.
        let shift = Int(stackFill.map { $0 % 64 } ?? 0) * 16
        let size = Self.frameLimit * ProgramStructure.stackSize
        let allocated = UnsafeMutableRawBufferPointer.allocate(byteCount: shift + size, alignment: 16)
        defer { allocated.deallocate() }
        allocated.initializeMemory(as: UInt8.self, repeating: 0)
        let stack = UnsafeMutableRawBufferPointer(rebasing: allocated[shift..<shift + size])
        // The handler does not outlive the run: the machine is gone when this returns.
        return try withoutActuallyEscaping(helpers) { helpers throws(InterpreterError) -> UInt64 in
            let machine = InterpreterMachine(
                self, stack: stack, stackFill: stackFill, memory: memory, helpers: helpers, observer: observer)
            return try machine.call(slot: 0, arguments: (context, second, 0, 0, 0))
        }
    }

    /// What a wide load of a subprogram's address gives: no address of memory (it is not canonical), but the way
    /// for a helper to call back.
    package static func functionReference(slot: Int) -> UInt64 { 0xbf00_0000_0000_0000 | UInt64(slot) }

    static func slot(ofFunctionReference value: UInt64) -> Int? {
        value >> 32 == 0xbf00_0000 ? Int(value & 0xffff_ffff) : nil
    }
}

/// How things stand before an instruction.
package struct InterpreterStep {
    /// The running program's ``Interpreter/number``.
    package let program: Int
    package let slot: Int
    /// Functions that the running one is inside of, from the program or one of its ``Interpreter/roots`` on.
    package let frame: Int
    /// r0…r10
    package let registers: UnsafeMutableBufferPointer<UInt64>
    let stack: UnsafeMutableRawBufferPointer
    /// Number of the root's frame.
    let root: Int

    /// r10 of a frame, the running one or one that it is inside of.
    package func top(ofFrame frame: Int) -> UInt64 {
        MemoryRegion(stack).address + UInt64(stack.count - (root + frame) * ProgramStructure.stackSize)
    }

    /// Eight bytes of a frame's stack; 0 are those right below r10.
    package func stackWord(_ index: Int, ofFrame frame: Int) -> UInt64 {
        stack.loadUnaligned(
            fromByteOffset: stack.count - (root + frame) * ProgramStructure.stackSize - 8 * (index + 1), as: UInt64.self)
    }
}

/// A helper call in progress, and what the handler may do.
package struct HelperCall {
    package let id: UInt32
    package let r1: UInt64
    package let r2: UInt64
    package let r3: UInt64
    package let r4: UInt64
    package let r5: UInt64
    let machine: InterpreterMachine

    /// Calls the subprogram that `function` refers to (a callback of `bpf_loop` and the like).
    package func callBack(
        _ function: UInt64, _ r1: UInt64 = 0, _ r2: UInt64 = 0, _ r3: UInt64 = 0, _ r4: UInt64 = 0, _ r5: UInt64 = 0
    ) throws(InterpreterError) -> UInt64 {
        guard let slot = Interpreter.slot(ofFunctionReference: function),
            machine.structure.subprogram(at: slot)?.isCallback == true
        else { throw .badCallback(function) }
        return try machine.call(slot: slot, arguments: (r1, r2, r3, r4, r5))
    }

    /// Lets the program touch more memory from now on, a map's value for instance.
    package func add(_ region: MemoryRegion) { machine.regions.add(region) }

    /// Takes memory away that ``add(_:)`` gave.
    package func remove(_ region: MemoryRegion) { machine.regions.remove(region) }

    /// The program may read (and with `isWrite` write) these bytes: for helpers that take pointers.
    package func permits(address: UInt64, byteCount: Int, isWrite: Bool = false) -> Bool {
        byteCount >= 0 && machine.regions.permits(address: address, byteCount: byteCount, isWrite: isWrite)
    }

    /// `bpf_tail_call`: `program` takes the place of the running function, with its r1 as this call's r1,
    /// unless ``Interpreter/tailCallLimit`` is reached. The handler's result counts only then.
    package func tailCall(to program: Interpreter) { machine.pendingTailCall = program }
}

/// Why a run ended without a result; `slot` is the instruction.
package enum InterpreterError: Error, Hashable, Sendable {
    case access(slot: Int, address: UInt64, byteCount: Int, isWrite: Bool)
    case instructionLimit(slot: Int)
    case tooManyFrames(slot: Int)
    case unresolved(slot: Int)
    case unknownHelper(UInt32)
    case badCallback(UInt64)
    case helper(String)
}

extension InterpreterError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .access(let slot, let address, let byteCount, let isWrite):
            "instruction \(slot): \(isWrite ? "writes" : "reads") \(byteCount) bytes at 0x\(String(address, radix: 16)), which is not the program's memory"
        case .instructionLimit(let slot): "instruction \(slot): the limit of instructions is reached"
        case .tooManyFrames(let slot): "instruction \(slot): more than \(Interpreter.frameLimit) nested calls"
        case .unresolved(let slot): "instruction \(slot): refers to a map or symbol that has not been resolved"
        case .unknownHelper(let id):
            "the helper \(Helper(rawValue: id).map { "\($0.name) (\(id))" } ?? "\(id)") is not available here"
        case .badCallback(let value): "0x\(String(value, radix: 16)) is not a function of the program"
        case .helper(let message): message
        }
    }
}
