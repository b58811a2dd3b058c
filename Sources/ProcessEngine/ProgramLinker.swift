import BPF
import Glibc
import JIT
import TargetRuntime
import Verifier

/// Turns a program as the object holds it into one that only needs to be compiled: addresses of maps,
/// variables and symbols filled in, session kfuncs inlined, everything else refused with the reason.
struct ProgramLinker {
    /// Addresses in the target of the object's maps, by index.
    var maps: [LoadedMap]
    var externs: [Extern]
    /// A symbol's address in the target.
    var symbol: (String) -> UInt64?

    struct Linked {
        var instructions: [Instruction]
        var usesCookie: Bool
        var usesTailCalls: Bool
        /// What has been proven of the functions' stacks, by their first slots.
        var stackDepths: [Int: Int]
    }

    func link(_ program: ObjectProgram, _ proof: ProgramProof = ProgramProof()) throws(EngineError) -> Linked {
        var patcher = ProgramPatcher(program.instructions)
        var usesCookie = false
        var usesTailCalls = false
        var slot = 0
        while slot < program.instructions.count {
            let instruction = program.instructions[slot]
            if proof.drop(instruction, at: slot, in: &patcher) {
                slot += instruction.opcode == .wideLoad ? 2 : 1
                continue
            }
            if instruction.opcode == .wideLoad {
                guard slot + 1 < program.instructions.count else {
                    throw .program(name: program.name, because: "its last instruction is half a wide load")
                }
                if let value = try address(program, slot, instruction, program.instructions[slot + 1]) {
                    patcher.replace(at: slot, with: Instruction.loadImmediate(instruction.destination, value))
                }
                slot += 2
                continue
            }
            if instruction.opcode == .call {
                if let lookup = proof.constantLookups[slot], maps.indices.contains(lookup.map),
                    maps[lookup.map].definition.type == .array
                {
                    patcher.replace(
                        at: slot, with: Instruction.loadImmediate(.r0, maps[lookup.map].elementAddress(lookup.element)))
                } else if instruction.source == .r0 {
                    usesTailCalls = try check(program, helper: instruction) || usesTailCalls
                    if Helper.getFuncRet.rawValue == UInt32(bitPattern: instruction.immediate),
                        program.section.kind.single == .fentry
                    {
                        // As in the kernel, the kind decides, not the moment: all others have a return value,
                        // which reads 0 before the function has run.
                        patcher.replace(at: slot, with: [.move(.r0, -EOPNOTSUPP)])
                    } else if let inlined = InlinedHelper.instructions(UInt32(bitPattern: instruction.immediate)) {
                        patcher.replace(at: slot, with: inlined)
                    }
                } else if instruction.source == .r2 {
                    let kfunc = try kfunc(program, slot, instruction)
                    usesCookie = usesCookie || kfunc == .cookie
                    patcher.replace(at: slot, with: kfunc.inlined)
                }
            }
            slot += 1
        }
        do throws(ProgramPatcher.PatchError) {
            let patched = try patcher.finish()
            let depths = proof.stackDepths.map { (patched.position(of: $0.key), $0.value) }
            return Linked(
                instructions: patched.instructions, usesCookie: usesCookie, usesTailCalls: usesTailCalls,
                stackDepths: Dictionary(depths, uniquingKeysWith: max))
        } catch {
            throw .program(name: program.name, because: "\(error)")
        }
    }

    /// What a pseudo load stands for; nil if it stays as it is.
    private func address(
        _ program: ObjectProgram, _ slot: Int, _ first: Instruction, _ second: Instruction
    ) throws(EngineError) -> UInt64? {
        switch WideImmediate(rawValue: first.source.rawValue) {
        case .value, .function:
            return nil
        case .map:
            return try map(program, slot, first.immediate).targetAddress
        case .mapValue:
            let map = try map(program, slot, first.immediate)
            let offset = Int(second.immediate)
            guard map.definition.type == .array, map.definition.maxEntries == 1, offset >= 0,
                offset <= map.valueSize
            else {
                throw .program(
                    name: program.name, because: "instruction \(slot) points outside the value of map '\(map.name)'")
            }
            return map.targetAddress + map.head.pointee.data_offset + UInt64(offset)
        case .variable:
            let index = Int(first.immediate)
            guard externs.indices.contains(index) else {
                throw .program(name: program.name, because: "instruction \(slot) names no extern variable")
            }
            if externs[index].isFunction {
                // Asked for to see whether it exists; a weak kfunc that does not has the address 0.
                if SessionKfunc(rawValue: externs[index].name) != nil { return 1 }
                if externs[index].isWeak { return 0 }
            }
            if let address = symbol(externs[index].name) { return address }
            if externs[index].isWeak { return 0 }
            throw .program(
                name: program.name,
                because: "the target has no symbol '\(externs[index].name)' (declare it __weak to go on without)")
        case .mapDescriptor, .mapDescriptorValue, nil:
            throw .program(
                name: program.name, because: "instruction \(slot) is a wide load of a kind that no object holds")
        }
    }

    private func map(_ program: ObjectProgram, _ slot: Int, _ index: Int32) throws(EngineError) -> LoadedMap {
        guard maps.indices.contains(Int(index)) else {
            throw .program(name: program.name, because: "instruction \(slot) names no map of the object")
        }
        return maps[Int(index)]
    }

    /// Whether it is the tail call, the one helper that the compiler inlines.
    private func check(_ program: ObjectProgram, helper call: Instruction) throws(EngineError) -> Bool {
        let id = UInt32(bitPattern: call.immediate)
        if id == Helper.tailCall.rawValue { return true }
        if fs_runtime_helper_offset(id) < 0 {
            let name = Helper(rawValue: id).map { "\($0.name)#\(id)" } ?? "#\(id)"
            throw .program(
                name: program.name,
                because: "helper \(name) does not exist for programs in a process; docs/helpers.md lists those that do")
        }
        return false
    }

    private func kfunc(
        _ program: ObjectProgram, _ slot: Int, _ call: Instruction
    ) throws(EngineError) -> SessionKfunc {
        guard externs.indices.contains(Int(call.immediate)) else {
            throw .program(name: program.name, because: "instruction \(slot) calls no extern function")
        }
        let name = externs[Int(call.immediate)].name
        guard let kfunc = SessionKfunc(rawValue: name) else {
            throw .program(
                name: program.name,
                because: "kfunc '\(name)' does not exist for programs in a process; there are \(SessionKfunc.names)")
        }
        guard program.section.kind.single == .session else {
            throw .program(
                name: program.name,
                because: "\(name) is allowed in session programs only; its section is '\(program.section.name)'")
        }
        return kfunc
    }
}

extension SessionKfunc {
    /// Its result in r0, from ctx in r1, as the kernel inlines it. Only r0 changes.
    var inlined: [Instruction] {
        let metadata = Instruction.load(.metadata, into: .r0, context: .r1)
        return switch self {
        case .isReturn: [metadata, .shiftRight(.r0, ContextLayout.returnShift), .and(.r0, 1)]
        // &ctx[-depth]
        case .cookie:
            [
                metadata, .shiftRight(.r0, ContextLayout.cookieShift), .and(.r0, ContextLayout.countMask),
                .shiftLeft(.r0, 3), .negate(.bits64, .r0), .add(.r0, .r1),
            ]
        }
    }
}
