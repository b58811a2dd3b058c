/// Loads, stores and atomics.
extension ARM64Assembler {
    // MARK: One register

    /// `ldr`, `ldrh`, `ldrb`: zeros above what is loaded.
    package mutating func ldr(_ destination: ARM64Register, _ memory: ARM64Memory, _ access: ARM64Access = .doubleword) {
        emit(operation: 1, destination, memory, access)
    }

    /// `ldrsb`, `ldrsh`, `ldrsw`: the sign above what is loaded, up to the width.
    package mutating func ldrs(
        _ destination: ARM64Register, _ memory: ARM64Memory, _ access: ARM64Access, _ width: ARM64Width = .doubleword
    ) {
        precondition(access.byteCount * 8 < Int(width.rawValue))
        emit(operation: width == .doubleword ? 2 : 3, destination, memory, access)
    }

    /// `str`, `strh`, `strb`
    package mutating func str(_ source: ARM64Register, _ memory: ARM64Memory, _ access: ARM64Access = .doubleword) {
        emit(operation: 0, source, memory, access)
    }

    private mutating func emit(
        operation: UInt32, _ register: ARM64Register, _ memory: ARM64Memory, _ access: ARM64Access
    ) {
        let opcode = 0x3800_0000 | UInt32(access.rawValue) << 30 | operation << 22 | register.number
        switch memory {
        case .at(let base, let offset):
            precondition(ARM64Memory.isEncodable(offset: offset, access), "no offset of a load or store")
            if offset >= 0, offset % access.byteCount == 0, offset / access.byteCount < 4096 {
                emit(opcode | 1 << 24 | UInt32(offset / access.byteCount) << 10 | base.numberOrStack << 5)
            } else {
                emit(opcode | Self.nineBits(offset) << 12 | base.numberOrStack << 5)
            }
        case .indexed(let base, let index, let scaled):
            emit(opcode | 0x0020_6800 | (scaled ? 1 << 12 : 0) | index.number << 16 | base.numberOrStack << 5)
        case .before(let base, let offset):
            precondition(base != register && (-256...255).contains(offset))
            emit(opcode | Self.nineBits(offset) << 12 | 3 << 10 | base.numberOrStack << 5)
        case .after(let base, let offset):
            precondition(base != register && (-256...255).contains(offset))
            emit(opcode | Self.nineBits(offset) << 12 | 1 << 10 | base.numberOrStack << 5)
        }
    }

    private static func nineBits(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: offset) & 0x1ff }

    /// `ldr` of eight bytes that stand with the code, within a mebibyte.
    package mutating func ldr(_ destination: ARM64Register, literal label: ARM64Label) {
        emit(0x5800_0000 | destination.number, .branch19, .label(label.index))
    }

    /// `str` of the low 64 bits of a vector register, at a multiple of eight.
    package mutating func str(vector number: UInt8, _ base: ARM64Register, _ offset: Int) {
        precondition(number < 32 && offset >= 0 && offset % 8 == 0 && offset / 8 < 4096)
        emit(0xfd00_0000 | UInt32(offset / 8) << 10 | base.numberOrStack << 5 | UInt32(number))
    }

    /// `fmov` of 64 bits from a general register.
    package mutating func fmov(vector number: UInt8, _ source: ARM64Register) {
        precondition(number < 32)
        emit(0x9e67_0000 | source.number << 5 | UInt32(number))
    }

    // MARK: Pairs

    /// `ldp` of two words of 64 bits; the offset is a multiple of 8, -512 ... 504.
    package mutating func ldp(_ first: ARM64Register, _ second: ARM64Register, _ memory: ARM64Memory) {
        precondition(first != second)
        emit(pair: 1, first, second, memory)
    }

    /// `stp`, as `ldp`.
    package mutating func stp(_ first: ARM64Register, _ second: ARM64Register, _ memory: ARM64Memory) {
        emit(pair: 0, first, second, memory)
    }

    private mutating func emit(
        pair operation: UInt32, _ first: ARM64Register, _ second: ARM64Register, _ memory: ARM64Memory
    ) {
        let kind: UInt32
        let base: ARM64Register
        let offset: Int
        switch memory {
        case .at(let register, let bytes): (kind, base, offset) = (2, register, bytes)
        case .before(let register, let bytes): (kind, base, offset) = (3, register, bytes)
        case .after(let register, let bytes): (kind, base, offset) = (1, register, bytes)
        case .indexed: preconditionFailure("pairs have no index")
        }
        precondition(offset % 8 == 0 && (-512...504).contains(offset), "no offset of a pair")
        let field = UInt32(truncatingIfNeeded: offset / 8) & 0x7f
        emit(
            0xa800_0000 | kind << 23 | operation << 22 | field << 15 | second.number << 10 | base.numberOrStack << 5
                | first.number)
    }

    // MARK: Atomics

    /// `ldar`: a load that acquires.
    package mutating func ldar(_ destination: ARM64Register, _ base: ARM64Register, _ width: ARM64Width = .doubleword) {
        emit(0x88df_fc00 | width.atomicSize | base.numberOrStack << 5 | destination.number)
    }

    /// `stlr`: a store that releases.
    package mutating func stlr(_ source: ARM64Register, _ base: ARM64Register, _ width: ARM64Width = .doubleword) {
        emit(0x889f_fc00 | width.atomicSize | base.numberOrStack << 5 | source.number)
    }

    /// `ldxr`, `ldaxr`: a load that the next exclusive store goes with.
    package mutating func ldxr(
        _ destination: ARM64Register, _ base: ARM64Register, _ order: ARM64Order, _ width: ARM64Width = .doubleword
    ) {
        emit(0x885f_7c00 | width.atomicSize | order.bit(15) | base.numberOrStack << 5 | destination.number)
    }

    /// `stxr`, `stlxr`: stores if nobody else did since the exclusive load; `failed` is 0 then.
    package mutating func stxr(
        failed: ARM64Register, _ source: ARM64Register, _ base: ARM64Register, _ order: ARM64Order,
        _ width: ARM64Width = .doubleword
    ) {
        precondition(failed != source && failed != base, "the result must be apart")
        emit(
            0x8800_7c00 | width.atomicSize | order.bit(15) | failed.number << 16 | base.numberOrStack << 5
                | source.number)
    }

    /// `ldadd`, `ldclr`, `ldeor`, `ldset`, `swp` (LSE): `old` becomes what memory held.
    package mutating func atomic(
        _ operation: ARM64AtomicOperation, _ source: ARM64Register, old: ARM64Register, _ base: ARM64Register,
        _ order: ARM64Order, _ width: ARM64Width = .doubleword
    ) {
        let opcode: UInt32 =
            switch operation {
            case .add: 0xb820_0000
            case .clear: 0xb820_1000
            case .exclusiveOr: 0xb820_2000
            case .set: 0xb820_3000
            case .swap: 0xb820_8000
            }
        emit(
            opcode | width.atomicSize | order.bit(22) | order.bit(23) | source.number << 16 | base.numberOrStack << 5
                | old.number)
    }

    /// `cas` (LSE): memory becomes `source` if it equals `expected`, which becomes what memory held.
    package mutating func cas(
        expected: ARM64Register, _ source: ARM64Register, _ base: ARM64Register, _ order: ARM64Order,
        _ width: ARM64Width = .doubleword
    ) {
        emit(
            0x88a0_7c00 | width.atomicSize | order.bit(22) | order.bit(15) | expected.number << 16
                | base.numberOrStack << 5 | source.number)
    }
}

extension ARM64Width {
    /// The bit that says 64 in exclusive and atomic instructions.
    fileprivate var atomicSize: UInt32 { self == .doubleword ? 1 << 30 : 0 }
}

extension ARM64Order {
    fileprivate func bit(_ place: UInt32) -> UInt32 { self == .acquireRelease ? 1 << place : 0 }
}
