import CCapstone
import Synchronization

/// What displacing must know of one instruction.
struct X86_64DecodedInstruction {
    enum Kind: Equatable {
        case plain
        /// Does nothing but take space.
        case nop
        case jump
        /// `jcc`
        case conditionalJump(UInt8)
        /// `loop`, `loope`, `loopne`, `jrcxz`: rel8 only.
        case countedJump
        case call
        case indirectCall
        /// Nothing behind it runs next.
        case indirectJump, `return`
        /// Traps, and what the kernel returns through.
        case trap
        case transactionBegin
    }

    var address: UInt64
    var size: Int
    var kind: Kind
    /// Of direct branches.
    var target: UInt64?
    /// Where in the instruction the 32-bit distance of a RIP-relative operand is.
    var ripDisplacementOffset: Int?
    /// It refers to RIP in a way that cannot be changed.
    var isPositionBound = false
    var writesStackPointer = false
    /// Bytes before the opcode.
    var prefixCount = 0
    /// Of an instruction that may be refused by its name.
    var name = ""

    var end: UInt64 { address &+ UInt64(size) }

    /// Whether an error may have to name it.
    var mayBeNamed: Bool {
        switch kind {
        case .trap, .transactionBegin, .indirectCall: true
        default: isPositionBound
        }
    }

    /// Whether execution never goes on behind it.
    var endsFlow: Bool {
        switch kind {
        case .jump, .indirectJump, .return: true
        default: false
        }
    }
}

/// Decodes instructions with Capstone; one handle for as many instructions as needed.
package struct X86_64Decoder: ~Copyable {
    private let capstone: Capstone
    private var handle: csh { capstone.handle }
    private var buffer: UnsafeMutablePointer<cs_insn> { capstone.buffer }

    package init?() {
        guard let capstone = Capstone.take() else { return nil }
        self.capstone = capstone
    }

    deinit { capstone.giveBack() }

    /// An open handle and room for one instruction. Each builds an index of all instructions at its first use, which
    /// takes longer than decoding an entry: those that are not in use are kept for the next decoder.
    // @unchecked: whoever took it out of `idle` has it alone.
    private final class Capstone: @unchecked Sendable {
        let handle: csh
        let buffer: UnsafeMutablePointer<cs_insn>
        /// What short instructions were found to be, by their bytes, at address 0: functions begin with the same few.
        var known: [UInt64: X86_64DecodedInstruction] = [:]

        /// Entries that were moved, by their bytes.
        var moved: [ShortBytes: DisplacedEntry] = [:]

        private static let idle = Mutex<[Capstone]>([])

        static func take() -> Capstone? { idle.withLock { $0.popLast() } ?? Capstone() }

        func giveBack() { Self.idle.withLock { $0.append(self) } }

        private init?() {
            var handle: csh = 0
            guard cs_open(CS_ARCH_X86, CS_MODE_64, &handle) == CS_ERR_OK else { return nil }
            guard cs_option(handle, CS_OPT_DETAIL, Int(CS_OPT_ON.rawValue)) == CS_ERR_OK,
                let buffer = cs_malloc(handle)
            else {
                cs_close(&handle)
                return nil
            }
            self.handle = handle
            self.buffer = buffer
        }

        deinit {
            cs_free(buffer, 1)
            var handle = handle
            cs_close(&handle)
        }
    }

    /// How long the instruction at an offset is.
    package func size(_ bytes: [UInt8], at offset: Int) -> Int? { decode(bytes, at: offset, address: 0)?.size }

    /// The instruction at `offset` of `bytes`, nil when there is none that is known.
    func decode(_ bytes: [UInt8], at offset: Int, address: UInt64) -> X86_64DecodedInstruction? {
        guard offset >= 0, offset < bytes.count else { return nil }
        let window = bytes[offset..<min(bytes.count, offset + 15)]
        if let size = Self.shadowStackInstructionSize(window) {
            return X86_64DecodedInstruction(address: address, size: size, kind: .plain, name: "endbr64/rdssp")
        }
        let key = Self.key(bytes, at: offset)
        if let key, var known = capstone.known[key] {
            known.address = address
            known.target = known.target.map { $0 &+ address }
            return known
        }
        guard var result = disassemble(window) else { return nil }
        if let key, Self.size(ofKey: key) == result.size, capstone.known.count < Self.mostKnown { capstone.known[key] = result }
        result.address = address
        result.target = result.target.map { $0 &+ address }
        return result
    }

    private static let mostKnown = 1 << 14

    /// An entry that was moved before, of these bytes.
    func movedEntry(of key: ShortBytes) -> DisplacedEntry? { capstone.moved[key] }

    func remember(_ entry: DisplacedEntry, as key: ShortBytes) {
        if capstone.moved.count < Self.mostKnown { capstone.moved[key] = entry }
    }

    /// An instruction of up to seven bytes as a number: its bytes, and how many there are. Nil if it is longer.
    private static func key(_ bytes: [UInt8], at offset: Int) -> UInt64? {
        bytes.withUnsafeBytes { bytes in
            guard let size = X86_64InstructionReader(bytes).size(at: offset), size <= 7 else { return nil }
            var key = UInt64(size) << 56
            for index in 0..<size { key |= UInt64(bytes[offset + index]) << UInt64(index * 8) }
            return key
        }
    }

    private static func size(ofKey key: UInt64) -> Int { Int(key >> 56) }

    /// The instruction at the start of `window`, as if that were address 0.
    private func disassemble(_ window: ArraySlice<UInt8>) -> X86_64DecodedInstruction? {
        window.withUnsafeBufferPointer { pointer in
            guard let base = pointer.baseAddress else { return nil }
            var code: UnsafePointer<UInt8>? = base
            var rest = pointer.count
            var next: UInt64 = 0
            guard cs_disasm_iter(handle, &code, &rest, &next, buffer) else { return nil }
            let size = Int(buffer.pointee.size)
            guard size > 0, size <= pointer.count else { return nil }
            var result = describe(Array(pointer.prefix(size)), address: 0)
            if result.mayBeNamed { result.name = mnemonic }
            return result
        }
    }

    /// endbr64, endbr32 and rdssp: F3, perhaps REX, 0F 1E and registers. Capstone 4 does not know them.
    private static func shadowStackInstructionSize(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.first == 0xF3 else { return nil }
        var rest = bytes.dropFirst()
        if let rex = rest.first, rex & 0xF0 == 0x40 { rest = rest.dropFirst() }
        guard rest.starts(with: [0x0F, 0x1E]), let modRM = rest.dropFirst(2).first, modRM >= 0xC0 else {
            return nil
        }
        return bytes.count - rest.count + 3
    }

    private func describe(_ bytes: [UInt8], address: UInt64) -> X86_64DecodedInstruction {
        var result = X86_64DecodedInstruction(address: address, size: bytes.count, kind: .plain)
        result.prefixCount = Self.prefixCount(of: bytes)
        classify(&result, bytes)
        guard let detail = buffer.pointee.detail else {
            result.isPositionBound = true
            return result
        }
        if result.target == nil { findRIPOperand(&result, bytes, detail.pointee.x86) }
        result.writesStackPointer =
            cs_reg_write(handle, buffer, UInt32(X86_REG_RSP.rawValue))
            || Self.writesStackPointerExplicitly(detail.pointee.x86)
        return result
    }

    private var mnemonic: String {
        withUnsafeBytes(of: buffer.pointee.mnemonic) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// Legacy prefixes and REX in front of a one- or two-byte opcode.
    private static func prefixCount(of bytes: [UInt8]) -> Int {
        var count = 0
        while count < bytes.count {
            switch bytes[count] {
            case 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3: count += 1
            default: return count + (bytes[count] & 0xF0 == 0x40 ? 1 : 0)
            }
        }
        return count
    }

    private func classify(_ result: inout X86_64DecodedInstruction, _ bytes: [UInt8]) {
        let opcode = bytes.dropFirst(result.prefixCount)
        guard let first = opcode.first else { return }
        let second = opcode.dropFirst().first ?? 0
        let prefixes = bytes.prefix(result.prefixCount)
        func relative8() -> UInt64? {
            bytes.last.map { result.end &+ UInt64(bitPattern: Int64(Int8(bitPattern: $0))) }
        }
        func relative32() -> UInt64? {
            Self.int32(bytes, at: bytes.count - 4).map { result.end &+ UInt64(bitPattern: Int64($0)) }
        }
        switch first {
        case 0x90:
            // With F3 it is `pause`, with REX.B `xchg r8, rax`.
            if prefixes.allSatisfy({ $0 == 0x66 || $0 == 0x2E }) { result.kind = .nop }
        case 0xEB:
            result.kind = .jump
            result.target = relative8()
        case 0xE9:
            result.kind = .jump
            result.target = relative32()
        case 0x70...0x7F:
            result.kind = .conditionalJump(first & 0xF)
            result.target = relative8()
        case 0xE0...0xE3:
            result.kind = .countedJump
            result.target = relative8()
        case 0xE8:
            result.kind = .call
            result.target = relative32()
        case 0xC2, 0xC3:
            result.kind = .return
        case 0xCA, 0xCB, 0xCF, 0xCC, 0xCD, 0xF1, 0xF4:  // far returns, iret, int3, int, int1, hlt
            result.kind = .trap
        case 0xC7 where second == 0xF8:
            result.kind = .transactionBegin
        case 0xFF:
            switch second >> 3 & 7 {
            case 2: result.kind = .indirectCall
            case 4: result.kind = .indirectJump
            case 3, 5: result.kind = .trap  // far
            default: break
            }
        case 0x0F:
            switch second {
            case 0x1F:
                if prefixes.allSatisfy({ $0 == 0x66 || $0 == 0x2E || $0 & 0xF0 == 0x40 }) {
                    result.kind = .nop
                }
            case 0x80...0x8F:
                result.kind = .conditionalJump(second & 0xF)
                result.target = relative32()
            case 0x0B, 0xB9, 0xFF, 0x07, 0x35, 0xAA:  // ud2, ud1, ud0, sysret, sysexit, rsm
                result.kind = .trap
            default: break
            }
        default: break
        }
    }

    /// Finds the field of a RIP-relative operand, and does not rely on the decoder's word alone.
    private func findRIPOperand(
        _ result: inout X86_64DecodedInstruction, _ bytes: [UInt8], _ detail: cs_x86
    ) {
        let displacement = withUnsafeBytes(of: detail.operands) { raw -> Int64? in
            for operand in raw.bindMemory(to: cs_x86_op.self).prefix(Int(detail.op_count))
            where operand.type == X86_OP_MEM {
                if operand.mem.base == X86_REG_RIP { return operand.mem.disp }
                if operand.mem.base == X86_REG_EIP { return Int64.min }
            }
            return nil
        }
        guard let displacement else {
            // Some instructions list no memory operand; ModRM tells all the same.
            let modRM = Int(detail.encoding.modrm_offset)
            if modRM > 0, modRM < bytes.count, bytes[modRM] & 0xC7 == 0x05, result.kind != .nop {
                result.isPositionBound = true
            }
            return
        }
        func isField(_ offset: Int) -> Bool {
            offset > 0 && bytes[offset - 1] & 0xC7 == 0x05
                && Self.int32(bytes, at: offset).map(Int64.init) == displacement
        }
        let told = Int(detail.encoding.disp_offset)
        if isField(told) {
            result.ripDisplacementOffset = told
            return
        }
        let candidates = (1..<max(2, bytes.count)).filter(isField)
        if candidates.count == 1 {
            result.ripDisplacementOffset = candidates[0]
        } else {
            result.isPositionBound = true
        }
    }

    private static func writesStackPointerExplicitly(_ detail: cs_x86) -> Bool {
        withUnsafeBytes(of: detail.operands) { raw in
            raw.bindMemory(to: cs_x86_op.self).prefix(Int(detail.op_count)).contains {
                $0.type == X86_OP_REG
                    && ($0.reg == X86_REG_RSP || $0.reg == X86_REG_ESP || $0.reg == X86_REG_SP)
                    && $0.access & UInt8(CS_AC_WRITE.rawValue) != 0
            }
        }
    }

    private static func int32(_ bytes: [UInt8], at offset: Int) -> Int32? {
        guard offset >= 0, offset + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for index in (0..<4).reversed() { value = value << 8 | UInt32(bytes[offset + index]) }
        return Int32(bitPattern: value)
    }
}
