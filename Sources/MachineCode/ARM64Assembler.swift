/// Appends arm64 instructions and resolves their references at the end.
///
/// Operands are in the order of Arm's own syntax, the result first. Without a width an instruction works on 64 bits.
/// Nothing depends on the address of the code before `finish(at:)`.
package struct ARM64Assembler: Sendable {
    enum Target: Hashable, Sendable {
        case label(Int)
        case address(UInt64)
    }

    /// A field that is filled when the code is finished.
    struct Fixup: Sendable {
        enum Kind: Sendable {
            /// Distances in instructions: of `b` and `bl`, of `b.cond` and `cbz`, of `tbz`.
            case branch26, branch19, branch14
            /// `adr`; `adrp`; the twelve bits that it leaves.
            case relative21, page21, low12
            /// Eight bytes of data.
            case absolute64
        }
        var kind: Kind
        /// The instruction's index.
        var position: Int
        var target: Target
    }

    /// The instructions so far; reference fields are still zero.
    private(set) var words: [UInt32] = []
    private var fixups: [Fixup] = []
    /// The index of each label's instruction, -1 before it is bound.
    private var labels: [Int] = []

    package init() {}

    /// The number of bytes so far: the offset of the next instruction.
    package var offset: Int { words.count * 4 }

    // MARK: Labels

    /// A new label, not bound yet.
    package mutating func makeLabel() -> ARM64Label {
        labels.append(-1)
        return ARM64Label(index: labels.count - 1)
    }

    /// Puts a label here.
    package mutating func bind(_ label: ARM64Label) {
        precondition(labels[label.index] < 0, "a label has one place")
        labels[label.index] = words.count
    }

    /// A new label, put here.
    package mutating func here() -> ARM64Label {
        labels.append(words.count)
        return ARM64Label(index: labels.count - 1)
    }

    /// Where a label is; nil before it is bound.
    package func offset(of label: ARM64Label) -> Int? {
        labels[label.index] < 0 ? nil : labels[label.index] * 4
    }

    // MARK: Raw words

    /// Appends an instruction as it is.
    package mutating func emit(_ word: UInt32) {
        words.append(word)
    }

    mutating func emit(_ word: UInt32, _ kind: Fixup.Kind, _ target: Target) {
        fixups.append(Fixup(kind: kind, position: words.count, target: target))
        words.append(word)
    }

    /// Eight bytes of data: a value.
    package mutating func emit(data value: UInt64) {
        words.append(UInt32(truncatingIfNeeded: value))
        words.append(UInt32(truncatingIfNeeded: value >> 32))
    }

    /// Eight bytes of data: the address that `label` will have.
    package mutating func emitAddress(of label: ARM64Label) {
        fixups.append(Fixup(kind: .absolute64, position: words.count, target: .label(label.index)))
        emit(data: 0)
    }

    // MARK: Finishing

    /// The code as it must be at `address`, a multiple of four.
    /// - `externals`: where labels are that are bound nowhere in it.
    package func finish(at address: UInt64, externals: [ARM64Label: UInt64] = [:]) throws(MachineCodeError) -> [UInt8] {
        var words = words
        for fixup in fixups {
            let place = address &+ UInt64(fixup.position * 4)
            let goal: UInt64
            switch fixup.target {
            case .address(let target): goal = target
            case .label(let index):
                if labels[index] >= 0 {
                    goal = address &+ UInt64(labels[index] * 4)
                } else if let external = externals[ARM64Label(index: index)] {
                    goal = external
                } else {
                    throw .unboundLabel(instructionOffset: fixup.position * 4)
                }
            }
            let distance = Int64(bitPattern: goal &- place)
            switch fixup.kind {
            case .branch26: words[fixup.position] |= try Self.branch(distance, bits: 26, from: place, to: goal)
            case .branch19: words[fixup.position] |= try Self.branch(distance, bits: 19, from: place, to: goal) << 5
            case .branch14: words[fixup.position] |= try Self.branch(distance, bits: 14, from: place, to: goal) << 5
            case .relative21: words[fixup.position] |= try Self.address(distance, from: place, to: goal)
            case .page21:
                let pages = Int64(bitPattern: goal >> 12 &- place >> 12)
                words[fixup.position] |= try Self.address(pages, from: place, to: goal)
            case .low12: words[fixup.position] |= UInt32(truncatingIfNeeded: goal & 0xfff) << 10
            case .absolute64:
                words[fixup.position] = UInt32(truncatingIfNeeded: goal)
                words[fixup.position + 1] = UInt32(truncatingIfNeeded: goal >> 32)
            }
        }
        var code: [UInt8] = []
        code.reserveCapacity(words.count * 4)
        for word in words {
            for shift in stride(from: UInt32(0), to: 32, by: 8) { code.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        return code
    }

    /// A distance in instructions that fits `bits` signed bits.
    private static func branch(
        _ distance: Int64, bits: Int64, from: UInt64, to: UInt64
    ) throws(MachineCodeError) -> UInt32 {
        let count = distance >> 2
        guard distance & 3 == 0, count >= -1 << (bits - 1), count < 1 << (bits - 1) else {
            throw .outOfReach(from: from, to: to, bits: Int(bits) + 2)
        }
        return UInt32(truncatingIfNeeded: count) & (1 << UInt32(bits) - 1)
    }

    /// The two parts of the 21 bits of `adr` and `adrp`.
    private static func address(_ distance: Int64, from: UInt64, to: UInt64) throws(MachineCodeError) -> UInt32 {
        guard distance >= -1 << 20, distance < 1 << 20 else { throw .outOfReach(from: from, to: to, bits: 21) }
        let field = UInt32(truncatingIfNeeded: distance)
        return (field & 3) << 29 | (field >> 2 & 0x7ffff) << 5
    }
}
