/// A register by its number in DWARF; those of an architecture are named beside its trampolines.
struct DwarfRegister: Sendable, Hashable {
    let number: UInt8
}

/// Writes call frame information: how an unwinder finds a caller's registers at each instruction.
///
/// The CFA ("canonical frame address") is the caller's stack pointer before the call.
struct CallFrameBuilder {
    private var instructions: [UInt8] = []
    private var position = 0

    /// What is said next holds from this offset on.
    mutating func advance(to offset: Int) {
        var distance = offset - position
        position = offset
        while distance > 0 {
            let step = min(distance, 0xFFFF)
            switch step {
            case 1...63: instructions.append(0x40 | UInt8(step))  // DW_CFA_advance_loc
            case 64...0xFF: instructions += [0x02, UInt8(step)]  // DW_CFA_advance_loc1
            default: instructions += [0x03, UInt8(step & 0xFF), UInt8(step >> 8)]  // DW_CFA_advance_loc2
            }
            distance -= step
        }
    }

    /// `DW_CFA_def_cfa`
    mutating func defineCFA(_ register: DwarfRegister, offset: Int) {
        instructions += [0x0C, register.number]
        append(unsigned: offset)
    }

    /// `DW_CFA_def_cfa_offset`
    mutating func defineCFA(offset: Int) {
        instructions.append(0x0E)
        append(unsigned: offset)
    }

    /// `DW_CFA_offset`: the caller's value of a register is kept below the CFA.
    mutating func save(_ register: DwarfRegister, belowCFA distance: Int) {
        instructions.append(0x80 | register.number)
        append(unsigned: distance / 8)
    }

    /// `DW_CFA_restore`: a register has its caller's value again.
    mutating func restore(_ register: DwarfRegister) {
        instructions.append(0xC0 | register.number)
    }

    /// `DW_CFA_remember_state`
    mutating func rememberState() { instructions.append(0x0A) }

    /// `DW_CFA_restore_state`
    mutating func restoreState() { instructions.append(0x0B) }

    /// An instruction without operands that only one architecture has.
    mutating func add(_ instruction: UInt8) { instructions.append(instruction) }

    private mutating func append(unsigned: Int) {
        var rest = UInt(max(0, unsigned))
        repeat {
            let byte = UInt8(rest & 0x7F)
            rest >>= 7
            instructions.append(rest == 0 ? byte : byte | 0x80)
        } while rest != 0
    }

    /// The CIE and FDE of the code.
    /// - `atEntry`: what holds at a function's first instruction: the number of the register that the return address is in, by
    ///   DWARF, and the instructions from there on.
    func finish(atEntry: [UInt8]) -> UnwindDescription {
        // Version 1, no augmentation (so addresses are absolute), code alignment 1, data alignment -8.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64 + instructions.count)
        Self.append([0, 0, 0, 0, 1, 0, 1, 0x78] + atEntry, to: &bytes)
        let offset = bytes.count
        // From the field behind the length back to the CIE, then start and size.
        var head: [UInt8] = []
        Self.append(UInt32(offset + 4), to: &head)
        head += repeatElement(0, count: 16)
        Self.append(head + instructions, to: &bytes)
        return UnwindDescription(bytes: bytes, offset: offset)
    }

    /// Appends a record with its length in front, padded with `DW_CFA_nop` to a multiple of 8.
    private static func append(_ body: [UInt8], to bytes: inout [UInt8]) {
        let padding = (8 - (body.count + 4) % 8) % 8
        append(UInt32(body.count + padding), to: &bytes)
        bytes += body
        bytes += repeatElement(0, count: padding)
    }

    private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
