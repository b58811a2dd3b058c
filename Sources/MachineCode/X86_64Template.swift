/// Finished code but for the values that differ between its copies: where it lies, and those of *external* labels, which
/// are bound nowhere in it. Copying it is an order of magnitude faster than assembling it again.
package struct X86_64Template: Sendable {
    private enum Value: Sendable {
        case address(UInt64)
        /// An offset in the code itself.
        case own(Int)
        /// The index of an external label, and what is added to its value.
        case external(Int, Int32)
    }

    private struct Gap: Sendable {
        var kind: X86_64Assembler.Fixup.Kind
        var position: Int
        var trailing: Int
        var value: Value
    }

    private let code: [UInt8]
    private let gaps: [Gap]

    /// Bytes of code.
    package var count: Int { code.count }

    fileprivate init(_ assembler: X86_64Assembler, externals: [X86_64Label]) throws(MachineCodeError) {
        var code = assembler.code
        var gaps: [Gap] = []
        for fixup in assembler.fixups {
            var gap = Gap(kind: fixup.kind, position: fixup.position, trailing: fixup.trailing, value: .own(0))
            switch fixup.target {
            case .address(let address):
                gap.value = .address(address &+ UInt64(bitPattern: Int64(fixup.addend)))
            case .label(let index):
                let offset = assembler.labels[index]
                if offset >= 0 {
                    gap.value = .own(offset + Int(fixup.addend))
                } else if let number = externals.firstIndex(where: { $0.index == index }) {
                    gap.value = .external(number, fixup.addend)
                } else {
                    throw .unboundLabel(instructionOffset: fixup.position)
                }
            }
            if case .own = gap.value, gap.kind.isRelative {
                // The same distance wherever the code lies.
                if let error = code.withUnsafeMutableBytes({ Self.fill(gap, of: $0, at: 0, []) }) { throw error }
            } else {
                gaps.append(gap)
            }
        }
        self.code = code
        self.gaps = gaps
    }

    /// The code as it must be at `address`, with the values of the external labels.
    package func code(at address: UInt64, _ values: [UInt64] = []) throws(MachineCodeError) -> [UInt8] {
        var result = code
        let error = result.withUnsafeMutableBytes { code -> MachineCodeError? in
            for gap in gaps {
                if let error = Self.fill(gap, of: code, at: address, values) { return error }
            }
            return nil
        }
        if let error { throw error }
        return result
    }

    @inline(__always)
    private static func fill(
        _ gap: Gap, of code: UnsafeMutableRawBufferPointer, at address: UInt64, _ values: [UInt64]
    ) -> MachineCodeError? {
        let goal: UInt64 =
            switch gap.value {
            case .address(let goal): goal
            case .own(let offset): address &+ UInt64(bitPattern: Int64(offset))
            case .external(let number, let addend): values[number] &+ UInt64(bitPattern: Int64(addend))
            }
        let width = gap.kind.size
        var value = goal
        var fits = true
        let end = address &+ UInt64(gap.position + width + gap.trailing)
        if gap.kind.isRelative { value = goal &- end }
        if gap.kind == .lowHalf { value = UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: goal))) }
        switch width {
        case 1: fits = Int8(exactly: Int64(bitPattern: value)) != nil
        case 4: fits = Int32(exactly: Int64(bitPattern: value)) != nil
        default: break
        }
        guard fits else { return .outOfReach(from: gap.kind.isRelative ? end : 0, to: goal, bits: width * 8) }
        precondition(gap.position + width <= code.count)
        for byte in 0..<width { code[gap.position + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
        return nil
    }
}

extension X86_64Assembler {
    /// The code, to be copied to any number of places.
    /// - Parameter externals: labels that are bound nowhere; their values are given with each copy.
    package func template(externals: [X86_64Label] = []) throws(MachineCodeError) -> X86_64Template {
        try X86_64Template(self, externals: externals)
    }

    /// The code as it must be at `address`.
    package func finish(at address: UInt64) throws(MachineCodeError) -> [UInt8] {
        try template().code(at: address)
    }

    /// `push` of the value of an external label, which must fit into 32 signed bits.
    package mutating func push(valueOf label: X86_64Label) {
        emit(byte: 0x68)
        addFixup(.absolute32, trailing: 0, .label(label.index))
        emit(immediate: Int32(0))
    }

    /// `mov` of the value of an external label, which must fit into 32 signed bits, to eight bytes of memory.
    package mutating func mov(_ destination: X86_64Memory, valueOf label: X86_64Label) {
        mov(destination, immediate: Int32.max)
        fillImmediate(with: label)
    }

    /// `cmp` of four bytes of memory and the low half of the value of an external label, taken as signed.
    package mutating func cmp(_ first: X86_64Memory, lowHalfOf label: X86_64Label) {
        alu(.cmp, first, immediate: Int32.max, .dword)
        fillImmediate(with: label, .lowHalf)
    }

    /// The last four bytes so far are an immediate operand.
    private mutating func fillImmediate(with label: X86_64Label, _ kind: Fixup.Kind = .absolute32) {
        fixups.append(
            Fixup(kind: kind, position: offset - 4, trailing: 0, target: .label(label.index), addend: 0))
    }
}
