import BPF
import MachineCode
import Search

/// BPF to arm64.
///
/// A program becomes a C function `uint64_t program(uint64_t *ctx)`, a subprogram or callback one of five u64
/// arguments. The registers:
///
///     r0 x7                              moved to x0 at the end, and from there after calls
///     r1 x0   r2 x1   r3 x2   r4 x3   r5 x4    arguments as in the C convention
///     r6 x19  r7 x20  r8 x21  r9 x22     saved by the functions that write them
///     r6 x12  r7 x13  r8 x14  r9 x15     in functions that call nothing
///     r10                                sp and the size of the frame, in x11 where it is needed as a value
///     x9, x10, x11, x16, x17             scratch within one instruction
///
/// A frame, from higher to lower addresses:
///
///                              ← r10, a multiple of 16
///     the BPF stack            as many bytes as the subprogram uses
///     rounds                   that may_goto still passes, if there is one
///     x19 x20 x21 x22          those that the subprogram writes   ┐ in functions that
///     x29 x30                  of the caller   ← x29 = sp         ┘ call something
///
/// What may be entered by a pointer begins with `bti c`: it may lie in a guarded page.
package enum ARM64Compiler: ProgramCompiler {
    package static func compile(
        _ structure: ProgramStructure, context: CompileContext
    ) throws(JITError) -> CompiledProgram {
        do {
            return try compile(structure, context, hasFarBranches: false)
        } catch JITError.code(.outOfReach) {
            return try compile(structure, context, hasFarBranches: true)
        }
    }

    private static func compile(
        _ structure: ProgramStructure, _ context: CompileContext, hasFarBranches: Bool
    ) throws(JITError) -> CompiledProgram {
        var emitter = ARM64Emitter(structure, context, hasFarBranches: hasFarBranches)
        for index in structure.subprograms.indices {
            try emitter.emitSubprogram(index)
        }
        return try emitter.finish()
    }
}

/// The state of one compilation.
struct ARM64Emitter {
    let structure: ProgramStructure
    let context: CompileContext
    /// Conditional branches reach a mebibyte. With this, each is one over an unconditional branch, which reaches 128.
    private let hasFarBranches: Bool
    var assembler = ARM64Assembler()
    /// One for each slot, where jumps to it land.
    private var slotLabels: [ARM64Label] = []
    /// One for each subprogram, before its prologue.
    private var entryLabels: [ARM64Label] = []
    /// Slots that some jump goes to: instructions are not joined across them.
    private var isTarget: [Bool]
    var frame = ARM64Frame()
    /// The epilogue that exits of the current subprogram share, once it exists.
    private var epilogue: ARM64Label?
    private var usesTailCalls = false
    private var clobbers = RegisterSet([ARM64Register.x0, .x7, .x9, .x10, .x11, .x16, .x17])

    init(_ structure: ProgramStructure, _ context: CompileContext, hasFarBranches: Bool) {
        self.structure = structure
        self.context = context
        self.hasFarBranches = hasFarBranches
        isTarget = [Bool](repeating: false, count: structure.operations.count + 1)
        slotLabels.reserveCapacity(structure.operations.count)
        for (slot, operation) in structure.operations.enumerated() {
            slotLabels.append(assembler.makeLabel())
            switch operation {
            case .jump(let distance, _): isTarget[slot + 1 + Int(distance)] = true
            case .branch(_, _, _, _, let distance), .mayGoto(let distance): isTarget[slot + 1 + Int(distance)] = true
            default: break
            }
        }
        for subprogram in structure.subprograms {
            entryLabels.append(assembler.makeLabel())
            isTarget[subprogram.slots.lowerBound] = true
        }
    }

    mutating func emitSubprogram(_ index: Int) throws(JITError) {
        let subprogram = structure.subprograms[index]
        assembler.bind(entryLabels[index])
        frame = ARM64Frame(of: subprogram, in: structure, inlines: context.inlines)
        epilogue = nil
        if index == 0 || subprogram.isCallback { assembler.bti(.calls) }
        frame.emitPrologue(to: &assembler)
        var slot = subprogram.slots.lowerBound
        while slot < subprogram.slots.upperBound {
            assembler.bind(slotLabels[slot])
            guard let operation = structure.operations[slot] else {
                slot += 1
                continue
            }
            noteClobbers(of: operation)
            if let next = operationToJoin(after: slot, in: subprogram.slots), emitJoined(operation, next) {
                noteClobbers(of: next)
                assembler.bind(slotLabels[slot + 1])
                slot += 2
                continue
            }
            try emit(operation, slot: slot)
            slot += 1
        }
    }

    func finish() throws(JITError) -> CompiledProgram {
        let code: [UInt8]
        do {
            code = try assembler.finish(at: context.address)
        } catch {
            throw .code(error)
        }
        var subprogramOffsets: [Int: Int] = [:]
        for (label, subprogram) in zip(entryLabels, structure.subprograms) {
            subprogramOffsets[subprogram.slots.lowerBound] = assembler.offset(of: label)
        }
        return CompiledProgram(
            code: code, subprogramOffsets: subprogramOffsets,
            slotOffsets: slotLabels.map { assembler.offset(of: $0) ?? code.count }, usesTailCalls: usesTailCalls,
            clobbers: clobbers)
    }

    /// Helpers are C functions, and tail calls go to any program.
    private mutating func noteClobbers(of operation: Operation) {
        switch operation {
        case .call(.helper(let id)) where context.inlines(id): break
        case .call: clobbers = .all
        default:
            if let register = operation.writtenRegister { clobbers.insert(frame.machine(register)) }
        }
    }

    /// The next operation, if control comes to it from `slot` only.
    private func operationToJoin(after slot: Int, in slots: Range<Int>) -> Operation? {
        let next = slot + 1
        guard next < slots.upperBound, !isTarget[next] else { return nil }
        return structure.operations[next]
    }

    /// The register that an operand is in.
    mutating func read(_ register: Register) -> ARM64Register {
        guard register == .r10 else { return frame.machine(register) }
        assembler.add(.x11, .sp, immediate: UInt32(frame.size))
        return .x11
    }

    private mutating func emit(_ operation: Operation, slot: Int) throws(JITError) {
        switch operation {
        case .arithmetic(let operation, let width, let register, let operand):
            let destination = frame.machine(register)
            emitArithmetic(operation, width.arm64, destination, destination, operand)
        case .negate(let width, let register):
            assembler.neg(frame.machine(register), frame.machine(register), width.arm64)
        case .move(let width, let destination, .register(.r10)):
            assembler.add(frame.machine(destination), .sp, immediate: UInt32(frame.size), width.arm64)
        case .move(let width, let destination, .register(let source)):
            emitMove(width.arm64, frame.machine(destination), frame.machine(source))
        case .move(let width, let destination, .immediate(let value)):
            assembler.mov(frame.machine(destination), immediate: Self.extended(value, width.arm64))
        case .moveSigned(let width, let destination, let source, let bits):
            assembler.sbfx(frame.machine(destination), read(source), from: 0, count: bits, width.arm64)
        case .byteOrder(let order, let bits, let register):
            emitByteOrder(order, bits, frame.machine(register))
        case .loadImmediate(.value, let destination, let first, let second):
            let value = UInt64(UInt32(bitPattern: first)) | UInt64(UInt32(bitPattern: second)) << 32
            emitConstant(frame.machine(destination), value)
        case .loadImmediate(.function, let destination, let distance, _):
            let label = try entryLabel(ofSlot: slot + 1 + Int(distance), from: slot)
            if hasFarBranches {
                assembler.address(frame.machine(destination), of: label)
            } else {
                assembler.adr(frame.machine(destination), label)
            }
        case .loadImmediate:
            throw .unresolved(slot: slot)
        case .load(let type, let destination, let base, let offset):
            emitLoad(type, frame.machine(destination), memory(base, Int(offset), type.arm64))
        case .store(let type, let base, let offset, let operand):
            emitStore(type.arm64, base, Int(offset), operand)
        case .atomic(let operation, let width, let base, let offset, let source):
            emitAtomic(operation, width.arm64, base, Int(offset), source)
        case .jump(let distance, _):
            if distance != 0 { assembler.b(slotLabels[slot + 1 + Int(distance)]) }
        case .branch(let condition, let width, let left, let operand, let distance):
            if distance != 0 {
                emitBranch(condition, width.arm64, left, operand, to: slotLabels[slot + 1 + Int(distance)])
            }
        case .mayGoto(let distance): emitMayGoto(to: slotLabels[slot + 1 + Int(distance)])
        case .call(.subprogram(let distance)):
            assembler.bl(try entryLabel(ofSlot: slot + 1 + Int(distance), from: slot))
            assembler.mov(.x7, .x0)
        case .call(.helper(Helper.tailCall.rawValue)):
            usesTailCalls = true
            emitTailCall()
        case .call(.helper(let id)):
            guard let address = context.helperAddress(id) else { throw .unknownHelper(id, slot: slot) }
            if context.inlines(id), let clock = context.clock {
                emitClock(clock, helper: address)
            } else {
                emitHelperCall(address)
            }
        case .call(.external):
            throw .unresolved(slot: slot)
        case .exit:
            emitExit()
        }
    }

    /// Structural validation has made a subprogram of every call's target.
    private func entryLabel(ofSlot target: Int, from slot: Int) throws(JITError) -> ARM64Label {
        let index = structure.subprograms.partitioningIndex { $0.slots.lowerBound >= target }
        guard index < entryLabels.count, structure.subprograms[index].slots.lowerBound == target else {
            throw .unresolved(slot: slot)
        }
        return entryLabels[index]
    }

    /// Exits branch to the first one's epilogue, unless that is no more than the two instructions that every exit has.
    private mutating func emitExit() {
        if let epilogue, frame.size > 0 {
            assembler.b(epilogue)
            return
        }
        if epilogue == nil { epilogue = assembler.here() }
        assembler.mov(.x0, .x7)
        frame.emitEpilogue(to: &assembler)
        assembler.ret()
    }

    // MARK: Branches that may have to reach far

    mutating func emitBranch(_ condition: ARM64Condition, to target: ARM64Label) {
        guard hasFarBranches else { return assembler.b(condition, target) }
        let over = assembler.makeLabel()
        assembler.b(condition.inverted, over)
        assembler.b(target)
        assembler.bind(over)
    }

    mutating func emitBranch(zero: Bool, _ register: ARM64Register, _ width: ARM64Width, to target: ARM64Label) {
        guard hasFarBranches else { return assembler.cb(zero: zero, register, target, width) }
        let over = assembler.makeLabel()
        assembler.cb(zero: !zero, register, over, width)
        assembler.b(target)
        assembler.bind(over)
    }

    static func extended(_ value: Int32, _ width: ARM64Width) -> UInt64 {
        width == .doubleword ? UInt64(bitPattern: Int64(value)) : UInt64(UInt32(bitPattern: value))
    }
}

extension Width {
    var arm64: ARM64Width { self == .bits64 ? .doubleword : .word }
}

extension MemoryType {
    var arm64: ARM64Access {
        switch self {
        case .u8, .s8: .byte
        case .u16, .s16: .half
        case .u32, .s32: .word
        case .u64: .doubleword
        }
    }
}
