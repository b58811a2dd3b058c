import Search

/// Appends x86-64 instructions to a buffer and resolves their references at the end.
///
/// Operands are in Intel order, destination first. Without a width an instruction works on 64 bits.
/// Nothing depends on the address of the code before `finish(at:)`, or before a `template()` is copied.
package struct X86_64Assembler: Sendable {
    /// How far a jump to a label reaches.
    package enum Reach: Hashable, Sendable {
        /// rel8: two bytes, an error when the label is too far away.
        case short
        /// rel32: five bytes (six with a condition).
        case near
        /// rel32 now, made short by `relaxJumps()` where that is enough.
        case automatic
    }

    enum Target: Hashable, Sendable {
        case label(Int)
        case address(UInt64)
    }

    /// A field that is filled when the code is finished.
    struct Fixup: Sendable {
        enum Kind: Sendable {
            case relative8, relative32, absolute64, automaticJump, automaticCondition
            /// A value of 32 signed bits; the low half of any value.
            case absolute32, lowHalf
        }
        var kind: Kind
        /// Offset of the field.
        var position: Int
        /// Bytes of the instruction after the field: relative targets count from its end.
        var trailing: Int
        var target: Target
        var addend: Int32
    }

    /// The bytes so far; reference fields are still zero.
    package private(set) var code: [UInt8] = []
    var fixups: [Fixup] = []
    /// Offset of each label, -1 before it is bound.
    var labels: [Int] = []

    package init() {}

    /// The number of bytes so far: the offset of the next instruction.
    package var offset: Int { code.count }

    // MARK: Labels

    /// A new label, not bound yet.
    package mutating func makeLabel() -> X86_64Label {
        labels.append(-1)
        return X86_64Label(index: labels.count - 1)
    }

    /// Puts a label here.
    package mutating func bind(_ label: X86_64Label) {
        precondition(labels[label.index] < 0, "a label has one place")
        labels[label.index] = code.count
    }

    /// A new label, put here.
    package mutating func here() -> X86_64Label {
        labels.append(code.count)
        return X86_64Label(index: labels.count - 1)
    }

    /// Where a label is; nil before it is bound. `relaxJumps()` moves labels.
    package func offset(of label: X86_64Label) -> Int? {
        labels[label.index] < 0 ? nil : labels[label.index]
    }

    // MARK: Raw bytes

    /// Appends bytes as they are: data, or instructions moved from elsewhere.
    package mutating func emit(_ bytes: [UInt8]) {
        code.append(contentsOf: bytes)
    }

    mutating func emit(byte: UInt8) {
        code.append(byte)
    }

    mutating func emit(immediate: some FixedWidthInteger) {
        var rest = immediate
        for _ in 0..<immediate.bitWidth / 8 {
            code.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    /// Eight bytes of data: the address that `label` will have.
    package mutating func emitAddress(of label: X86_64Label) {
        addFixup(.absolute64, trailing: 0, .label(label.index))
        emit(immediate: UInt64(0))
    }

    /// NOPs up to a multiple of `alignment`, counted from the start of the code.
    /// Not together with `relaxJumps()`, which moves what comes after.
    package mutating func align(to alignment: Int) {
        let rest = code.count % alignment
        if rest != 0 { nop(alignment - rest) }
    }

    mutating func addFixup(
        _ kind: Fixup.Kind, trailing: Int, _ target: Target, addend: Int32 = 0
    ) {
        fixups.append(
            Fixup(kind: kind, position: code.count, trailing: trailing, target: target, addend: addend))
    }

    // MARK: Finishing

    /// Makes `.automatic` jumps short whose labels are near enough, and moves all that follows.
    ///
    /// A shrunken jump can only bring others nearer, so every step is right and the rounds may end early:
    /// hostile code could ask for as many as it has jumps.
    package mutating func relaxJumps() {
        let candidates = fixups.indices.filter { fixups[$0].kind.isAutomatic }
        if candidates.isEmpty { return }
        let starts = candidates.map { fixups[$0].position - fixups[$0].kind.opcodeSize }
        let labelRanks = labels.map { label in starts.partitioningIndex { $0 >= label } }
        var isShort = [Bool](repeating: false, count: candidates.count)
        // Bytes taken away before a candidate, and from it to the end.
        var removedBefore = [Int](repeating: 0, count: candidates.count + 1)
        var removedFrom = removedBefore

        for _ in 0..<8 {
            var changed = false
            // Forward jumps from the last to the first, so that all between a jump and its label are decided.
            for index in candidates.indices.reversed() {
                let fixup = fixups[candidates[index]]
                if !isShort[index], case .label(let label) = fixup.target, labelRanks[label] > index {
                    let removed = removedFrom[index + 1] - removedFrom[labelRanks[label]]
                    if labels[label] - (fixup.position + 4) - removed <= Int8.max {
                        isShort[index] = true
                        changed = true
                    }
                }
                removedFrom[index] = removedFrom[index + 1] + (isShort[index] ? fixup.kind.saving : 0)
            }
            // Backward jumps from the first to the last. Shrinking moves the jump's own end.
            for index in candidates.indices {
                let fixup = fixups[candidates[index]]
                if !isShort[index], case .label(let label) = fixup.target, labels[label] >= 0,
                    labelRanks[label] <= index
                {
                    let removed = removedBefore[index] - removedBefore[labelRanks[label]] + fixup.kind.saving
                    if labels[label] - (fixup.position + 4) + removed >= Int8.min {
                        isShort[index] = true
                        changed = true
                    }
                }
                removedBefore[index + 1] = removedBefore[index] + (isShort[index] ? fixup.kind.saving : 0)
            }
            if !changed { break }
        }

        var result: [UInt8] = []
        result.reserveCapacity(code.count)
        var copied = 0
        for (index, candidate) in candidates.enumerated() where isShort[index] {
            let fixup = fixups[candidate]
            result.append(contentsOf: code[copied..<starts[index]])
            let opcode =
                fixup.kind == .automaticJump ? 0xEB : 0x70 | code[fixup.position - 1] & 0xF
            result.append(opcode)
            result.append(0)
            copied = fixup.position + 4
        }
        result.append(contentsOf: code[copied...])

        // Fixups are in the order of their positions, candidates among them.
        var rank = 0
        for index in fixups.indices {
            fixups[index].position -= removedBefore[rank]
            guard rank < candidates.count, candidates[rank] == index else { continue }
            if isShort[rank] {
                fixups[index].position -= fixups[index].kind.opcodeSize - 1
                fixups[index].kind = .relative8
            } else {
                fixups[index].kind = .relative32
            }
            rank += 1
        }
        for index in labels.indices where labels[index] >= 0 {
            labels[index] -= removedBefore[labelRanks[index]]
        }
        code = result
    }
}

extension X86_64Assembler.Fixup.Kind {
    var size: Int {
        switch self {
        case .relative8: 1
        case .absolute64: 8
        case .relative32, .automaticJump, .automaticCondition, .absolute32, .lowHalf: 4
        }
    }

    /// Whether it is a distance from the end of the instruction.
    var isRelative: Bool {
        switch self {
        case .absolute32, .absolute64, .lowHalf: false
        default: true
        }
    }

    var isAutomatic: Bool { self == .automaticJump || self == .automaticCondition }

    /// Bytes before the displacement of the long form.
    var opcodeSize: Int { self == .automaticCondition ? 2 : 1 }

    /// Bytes that the short form saves.
    var saving: Int { self == .automaticCondition ? 4 : 3 }
}
