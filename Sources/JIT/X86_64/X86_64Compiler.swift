import BPF
import MachineCode
import Search

/// BPF to x86-64.
///
/// A program becomes a C function `uint64_t program(uint64_t *ctx)`, a subprogram or callback one of five u64
/// arguments. The registers:
///
///     r0 rax   r1 rdi   r2 rsi   r3 rdx   r4 rcx   r5 r8    arguments and result as in the C convention
///     r6 rbx   r7 r13   r8 r14   r9 r15                     saved by the functions that write them
///     r10 rbp                                               the standard frame pointer: the stack is below it
///     r9, r10, r11                                          scratch within one instruction
///
/// A frame, from higher to lower addresses:
///
///     return address
///     rbp of the caller        ← rbp = r10
///     the BPF stack            as many bytes as the subprogram uses
///     rounds                   that may_goto still passes, if there is one
///     rbx r13 r14 r15          those that the subprogram writes
package enum X86_64Compiler: ProgramCompiler {
    package static func compile(
        _ structure: ProgramStructure, context: CompileContext
    ) throws(JITError) -> CompiledProgram {
        var emitter = X86_64Emitter(structure, context)
        for index in structure.subprograms.indices {
            try emitter.emitSubprogram(index)
        }
        return try emitter.finish()
    }
}

/// The state of one compilation.
struct X86_64Emitter {
    let structure: ProgramStructure
    let context: CompileContext
    var assembler = X86_64Assembler()
    /// One for each slot, where jumps to it land.
    private var slotLabels: [X86_64Label] = []
    /// One for each subprogram, before its prologue.
    private var entryLabels: [X86_64Label] = []
    /// Slots that some jump goes to: instructions are not joined across them.
    private var isTarget: [Bool]
    var frame = X86_64Frame()
    /// The epilogue that exits of the current subprogram share, once it exists.
    private var epilogue: X86_64Label?
    var usesTailCalls = false

    init(_ structure: ProgramStructure, _ context: CompileContext) {
        self.structure = structure
        self.context = context
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
        frame = X86_64Frame(of: subprogram, in: structure, inlines: context.inlines)
        epilogue = nil
        frame.emitPrologue(to: &assembler)
        var slot = subprogram.slots.lowerBound
        while slot < subprogram.slots.upperBound {
            assembler.bind(slotLabels[slot])
            guard let operation = structure.operations[slot] else {
                slot += 1
                continue
            }
            if let next = operationToJoin(after: slot, in: subprogram.slots), emitJoined(operation, next) {
                assembler.bind(slotLabels[slot + 1])
                slot += 2
                continue
            }
            try emit(operation, slot: slot)
            slot += 1
        }
    }

    func finish() throws(JITError) -> CompiledProgram {
        var assembler = assembler
        assembler.relaxJumps()
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

    /// What the code may change. Helpers are C functions, and tail calls go to any program.
    private var clobbers: RegisterSet {
        var clobbers = RegisterSet([.rax, .rdi, .r9, .r10, .r11])
        for case let operation? in structure.operations {
            if case .call(.helper(let id)) = operation, context.inlines(id) {
                clobbers.insert(.rdx)
                continue
            }
            if case .call = operation { return .all }
            if let register = operation.writtenRegister { clobbers.insert(register.machine) }
        }
        return clobbers
    }

    /// The next operation, if control comes to it from `slot` only.
    private func operationToJoin(after slot: Int, in slots: Range<Int>) -> Operation? {
        let next = slot + 1
        guard next < slots.upperBound, !isTarget[next] else { return nil }
        return structure.operations[next]
    }

    private mutating func emit(_ operation: Operation, slot: Int) throws(JITError) {
        switch operation {
        case .arithmetic(let operation, let width, let destination, let operand):
            emitArithmetic(operation, width.machine, destination.machine, operand)
        case .negate(let width, let register):
            assembler.neg(register.machine, width.machine)
        case .move(let width, let destination, .register(let source)):
            if width == .bits32 || destination != source {
                assembler.mov(destination.machine, source.machine, width.machine)
            }
        case .move(let width, let destination, .immediate(let value)):
            assembler.mov(destination.machine, immediate: Self.extended(value, width))
        case .moveSigned(let width, let destination, let source, let bits):
            assembler.movsx(
                destination.machine, source.machine, from: bits == 8 ? .byte : bits == 16 ? .word : .dword,
                to: width.machine)
        case .byteOrder(let order, let bits, let register):
            emitByteOrder(order, bits, register.machine)
        case .loadImmediate(.value, let destination, let first, let second):
            let value = UInt64(UInt32(bitPattern: first)) | UInt64(UInt32(bitPattern: second)) << 32
            emitConstant(destination.machine, value)
        case .loadImmediate(.function, let destination, let distance, _):
            let label = try entryLabel(ofSlot: slot + 1 + Int(distance), from: slot)
            assembler.lea(destination.machine, .label(label))
        case .loadImmediate:
            throw .unresolved(slot: slot)
        case .load(let type, let destination, let base, let offset):
            emitLoad(type, destination.machine, .at(base.machine, Int32(offset)))
        case .store(let type, let base, let offset, .register(let source)):
            assembler.mov(.at(base.machine, Int32(offset)), source.machine, type.machineWidth)
        case .store(let type, let base, let offset, .immediate(let value)):
            assembler.mov(.at(base.machine, Int32(offset)), immediate: value, type.machineWidth)
        case .atomic(let operation, let width, let base, let offset, let source):
            emitAtomic(operation, width.machine, base.machine, Int32(offset), source.machine)
        case .jump(let distance, _):
            if distance != 0 { assembler.jmp(slotLabels[slot + 1 + Int(distance)], .automatic) }
        case .branch(let condition, let width, let left, let operand, let distance):
            if distance == 0 { break }
            let machineCondition = emitComparison(condition, width.machine, left.machine, operand)
            assembler.jcc(machineCondition, slotLabels[slot + 1 + Int(distance)], .automatic)
        case .mayGoto(let distance): emitMayGoto(to: slotLabels[slot + 1 + Int(distance)])
        case .call(.subprogram(let distance)):
            assembler.call(try entryLabel(ofSlot: slot + 1 + Int(distance), from: slot))
        case .call(.helper(Helper.tailCall.rawValue)):
            usesTailCalls = true
            emitTailCall(fromFunction: structure.subprograms.first?.slots.contains(slot) == false)
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
    private func entryLabel(ofSlot target: Int, from slot: Int) throws(JITError) -> X86_64Label {
        let index = structure.subprograms.partitioningIndex { $0.slots.lowerBound >= target }
        guard index < entryLabels.count, structure.subprograms[index].slots.lowerBound == target else {
            throw .unresolved(slot: slot)
        }
        return entryLabels[index]
    }

    /// Exits jump to the first one's epilogue, unless a jump is no shorter.
    private mutating func emitExit() {
        if let epilogue, frame.savedRegisters.count > 0 {
            assembler.jmp(epilogue, .automatic)
            return
        }
        if epilogue == nil { epilogue = assembler.here() }
        frame.emitEpilogue(to: &assembler)
        assembler.ret()
    }

    static func extended(_ value: Int32, _ width: Width) -> UInt64 {
        width == .bits64 ? UInt64(bitPattern: Int64(value)) : UInt64(UInt32(bitPattern: value))
    }
}

extension Register {
    /// The machine register that holds this one. Structural validation leaves r0…r10 only.
    var machine: X86_64Register {
        switch rawValue {
        case 0: .rax
        case 1: .rdi
        case 2: .rsi
        case 3: .rdx
        case 4: .rcx
        case 5: .r8
        case 6: .rbx
        case 7: .r13
        case 8: .r14
        case 9: .r15
        default: .rbp
        }
    }
}

extension Width {
    var machine: X86_64Width { self == .bits64 ? .qword : .dword }
}

extension MemoryType {
    var machineWidth: X86_64Width {
        switch self {
        case .u8, .s8: .byte
        case .u16, .s16: .word
        case .u32, .s32: .dword
        case .u64: .qword
        }
    }
}
