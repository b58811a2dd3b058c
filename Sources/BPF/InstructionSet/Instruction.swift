/// One 8-byte slot of a program (`struct bpf_insn`). Any 64 bits are an `Instruction`; whether they mean
/// something is what ``operation(followedBy:)`` says.
package struct Instruction: Hashable, Sendable {
    package var opcode: Opcode
    /// `dst_reg` in the low four bits, `src_reg` in the high four.
    private var registers: UInt8
    package var offset: Int16
    package var immediate: Int32

    package init(
        opcode: Opcode, destination: Register = .r0, source: Register = .r0, offset: Int16 = 0, immediate: Int32 = 0
    ) {
        self.opcode = opcode
        self.registers = destination.rawValue | source.rawValue << 4
        self.offset = offset
        self.immediate = immediate
    }

    package var destination: Register {
        get { Register(rawValue: registers & 0xf) }
        set { registers = registers & 0xf0 | newValue.rawValue }
    }

    package var source: Register {
        get { Register(rawValue: registers >> 4) }
        set { registers = registers & 0x0f | newValue.rawValue << 4 }
    }
}

// MARK: - Bytes

extension Instruction {
    /// The slot as a little-endian 64-bit number.
    package var encoded: UInt64 {
        UInt64(opcode.rawValue) | UInt64(registers) << 8 | UInt64(UInt16(bitPattern: offset)) << 16
            | UInt64(UInt32(bitPattern: immediate)) << 32
    }

    package init(encoded: UInt64) {
        opcode = Opcode(rawValue: UInt8(truncatingIfNeeded: encoded))
        registers = UInt8(truncatingIfNeeded: encoded >> 8)
        offset = Int16(truncatingIfNeeded: encoded >> 16)
        immediate = Int32(truncatingIfNeeded: encoded >> 32)
    }

    /// The first eight of `bytes`, little-endian; `nil` if there are fewer.
    package init?(bytes: some Sequence<UInt8>) {
        var encoded: UInt64 = 0
        var count: UInt64 = 0
        for byte in bytes.prefix(8) {
            encoded |= UInt64(byte) << (8 * count)
            count += 1
        }
        guard count == 8 else { return nil }
        self.init(encoded: encoded)
    }

    package var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: encoded >> (8 * $0)) } }

    /// All slots in `bytes`; `nil` if these are not a multiple of eight.
    package static func program(bytes: [UInt8]) -> [Instruction]? {
        guard bytes.count % 8 == 0 else { return nil }
        return stride(from: 0, to: bytes.count, by: 8).compactMap { Instruction(bytes: bytes[$0..<$0 + 8]) }
    }
}
