import BPF
import MachineCode

extension ARM64Emitter {
    mutating func emitBranch(
        _ condition: Condition, _ width: ARM64Width, _ left: Register, _ operand: Operand, to target: ARM64Label
    ) {
        // r10 on both sides is the same in both registers.
        let left = read(left)
        switch (condition, operand) {
        case (.equal, .immediate(0)), (.lessOrEqual, .immediate(0)):
            return emitBranch(zero: true, left, width, to: target)
        case (.notEqual, .immediate(0)), (.greater, .immediate(0)):
            return emitBranch(zero: false, left, width, to: target)
        case (.anyBitSet, .register(let right)):
            assembler.logical(.andSettingFlags, .zr, left, read(right), width)
        case (.anyBitSet, .immediate(let value)):
            let mask = Self.extended(value, width)
            if ARM64Constant.logical(mask, width) != nil {
                assembler.logical(.andSettingFlags, .zr, left, immediate: mask, width)
            } else {
                assembler.mov(.x9, immediate: mask)
                assembler.logical(.andSettingFlags, .zr, left, .x9, width)
            }
        case (_, .register(let right)):
            assembler.cmp(left, read(right), width)
        case (_, .immediate(let value)):
            emitComparison(left, value, width)
        }
        emitBranch(condition.arm64, to: target)
    }

    private mutating func emitComparison(_ left: ARM64Register, _ value: Int32, _ width: ARM64Width) {
        let size = value.magnitude
        if !ARM64Constant.isArithmetic(UInt64(size)) {
            assembler.mov(.x9, immediate: Self.extended(value, width))
            assembler.cmp(left, .x9, width)
        } else if value >= 0 {
            assembler.cmp(left, immediate: size, width)
        } else {
            assembler.adds(.zr, left, immediate: size, width)
        }
    }

    /// Passes as long as the frame has rounds left, and jumps from then on.
    mutating func emitMayGoto(to target: ARM64Label) {
        guard let counter = frame.mayGotoCounter else { return }
        assembler.ldr(.x9, .at(.sp, counter), .word)
        assembler.subs(.x9, .x9, immediate: 1, .word)
        // Not stored when there was none left, so that there is none the next time either.
        emitBranch(.lower, to: target)
        assembler.str(.x9, .at(.sp, counter), .word)
    }

    /// r1…r5 are where a C function takes its arguments; the session's state is the sixth.
    mutating func emitHelperCall(_ address: UInt64) {
        emitConstant(.x5, context.state)
        // `bl` reaches 128 MiB: from anywhere in the longest program.
        if isNear(address, limit: 96 << 20), address % 4 == 0 {
            assembler.bl(address: address)
        } else {
            emitConstant(.x16, address)
            assembler.blr(.x16)
        }
        assembler.mov(.x7, .x0)
    }

    /// `bpf_tail_call(ctx, map, index)`: jumps to the program in the map's slot, or goes on.
    mutating func emitTailCall() {
        let goOn = assembler.makeLabel()
        let context = ARM64Register.x0
        let map = ARM64Register.x1
        let index = ARM64Register.x2
        assembler.ldr(.x9, .at(map, Int(TailCallLayout.maxEntries)), .word)
        assembler.cmp(index, .x9, .word)
        assembler.b(.higherOrSame, goOn)
        assembler.ldr(.x10, .at(context, Int(TailCallLayout.counter)))
        assembler.cmp(.x10, immediate: UInt32(TailCallLayout.limit))
        assembler.b(.higherOrSame, goOn)
        assembler.ldr(.x16, .at(map, Int(TailCallLayout.dataOffset)))
        assembler.add(.x16, .x16, map)
        assembler.mov(.x9, index, .word)
        assembler.ldr(.x16, .indexed(.x16, .x9, scaled: true))
        assembler.cb(zero: true, .x16, goOn)
        assembler.add(.x10, .x10, immediate: 1)
        assembler.str(.x10, .at(context, Int(TailCallLayout.counter)))
        frame.emitEpilogue(to: &assembler)
        // Through x16, `br` may enter where a call may.
        assembler.br(.x16)
        assembler.bind(goOn)
    }
}

extension Condition {
    /// What holds after a comparison, or after `tst`.
    fileprivate var arm64: ARM64Condition {
        switch self {
        case .equal: .equal
        case .greater: .higher
        case .greaterOrEqual: .higherOrSame
        case .anyBitSet, .notEqual: .notEqual
        case .signedGreater: .greater
        case .signedGreaterOrEqual: .greaterOrEqual
        case .less: .lower
        case .lessOrEqual: .lowerOrSame
        case .signedLess: .less
        case .signedLessOrEqual: .lessOrEqual
        }
    }
}
