import BPF
import MachineCode

extension X86_64Emitter {
    /// Compares and returns the condition under which the branch is taken.
    mutating func emitComparison(
        _ condition: Condition, _ width: X86_64Width, _ left: X86_64Register, _ operand: Operand
    ) -> X86_64Condition {
        switch (condition, operand) {
        case (.anyBitSet, .register(let right)):
            assembler.test(left, right.machine, width)
        case (.anyBitSet, .immediate(let value)):
            // Only whether the result is zero counts, so the upper bits of a small mask need no test.
            switch value {
            case 0...0xff: assembler.test(left, immediate: value, .byte)
            case 0...: assembler.test(left, immediate: value, .dword)
            default: assembler.test(left, immediate: value, width)
            }
        case (_, .register(let right)):
            assembler.alu(.cmp, left, right.machine, width)
        case (_, .immediate(0)):
            // Sets the flags as a comparison with zero does.
            assembler.test(left, left, width)
        case (_, .immediate(let value)):
            assembler.alu(.cmp, left, immediate: value, width)
        }
        return switch condition {
        case .equal: .equal
        case .greater: .above
        case .greaterOrEqual: .aboveOrEqual
        case .anyBitSet, .notEqual: .notEqual
        case .signedGreater: .greater
        case .signedGreaterOrEqual: .greaterOrEqual
        case .less: .below
        case .lessOrEqual: .belowOrEqual
        case .signedLess: .less
        case .signedLessOrEqual: .lessOrEqual
        }
    }

    /// Passes as long as the frame has rounds left, and jumps from then on.
    mutating func emitMayGoto(to target: X86_64Label) {
        guard let counter = frame.mayGotoCounter else { return }
        assembler.mov(.r11, .at(.rbp, counter), .dword)
        assembler.alu(.sub, .r11, immediate: 1, .dword)
        // Not stored when there was none left, so that there is none the next time either.
        assembler.jcc(.below, target, .automatic)
        assembler.mov(.at(.rbp, counter), .r11, .dword)
    }

    /// r1…r5 are where a C function takes its arguments; the session's state is the sixth.
    mutating func emitHelperCall(_ address: UInt64) {
        emitConstant(.r9, context.state)
        if isNear(address) {
            assembler.call(address: address)
        } else {
            assembler.mov(.rax, immediate: address)
            assembler.call(.rax)
        }
    }

    /// `bpf_tail_call(ctx, map, index)`: jumps to the program in the map's slot, or goes on. From the program itself
    /// nothing stays on the stack; the context is on the same one.
    mutating func emitTailCall(fromFunction: Bool) {
        let goOn = assembler.makeLabel()
        let context = X86_64Register.rdi
        let map = X86_64Register.rsi
        let index = X86_64Register.rdx
        assembler.alu(.cmp, index, .at(map, TailCallLayout.maxEntries), .dword)
        assembler.jcc(.aboveOrEqual, goOn, .automatic)
        assembler.alu(.cmp, .at(context, TailCallLayout.counter), immediate: TailCallLayout.limit)
        assembler.jcc(.aboveOrEqual, goOn, .automatic)
        if fromFunction {
            assembler.mov(.r10, context)
            assembler.alu(.sub, .r10, .rsp)
            assembler.alu(.cmp, .r10, immediate: TailCallLayout.stackLimit)
            assembler.jcc(.above, goOn, .automatic)
        }
        assembler.mov(.r10, index, .dword)
        assembler.mov(.r11, .at(map, TailCallLayout.dataOffset))
        assembler.alu(.add, .r11, map)
        assembler.mov(.r11, .at(.r11, index: .r10, scale: 8))
        assembler.test(.r11, .r11)
        assembler.jcc(.equal, goOn, .automatic)
        assembler.inc(.at(context, TailCallLayout.counter))
        frame.emitEpilogue(to: &assembler)
        assembler.jmp(.r11)
        assembler.bind(goOn)
    }
}
