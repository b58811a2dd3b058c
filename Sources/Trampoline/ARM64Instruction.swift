/// What moving an entry, and looking for branches and references, must know of one instruction of arm64.
struct ARM64Instruction: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        /// It does the same wherever it stands.
        case plain
        case nop
        /// `bti`
        case landingPad
        /// `paciasp`, `pacibsp`: they sign the return address, and are landing pads, too.
        case signing(isKeyB: Bool)
        /// `b`
        case jump
        /// `bl`
        case call
        /// `b.cond`, `cbz`, `tbz`: the distance has so many bits, from the sixth on.
        case conditionalJump(bits: UInt32)
        /// `br`, and what checks a signed address first.
        case indirectJump
        /// `blr` of a register.
        case indirectCall(UInt32)
        case `return`
        /// `adr` and `adrp`, which put an address into a register.
        case address(UInt32, isPage: Bool)
        /// `ldr` of what stands at an address.
        case load(Load, UInt32)
        /// It stops the program, or tells the kernel where it stands.
        case trap(String)
        /// It depends on where it stands in a way that cannot be changed.
        case positionBound(String)
        case unknown
    }

    enum Load: UInt32, Sendable {
        case word, doubleword, signedWord, prefetch, single, double, quad
    }

    var word: UInt32
    var kind: Kind
    /// What it branches or refers to.
    var target: UInt64?

    static let size: UInt64 = 4
    static let stackPointer: UInt32 = 31
    static let returnAddress: UInt32 = 30

    init(_ word: UInt32, at address: UInt64) {
        self.word = word
        kind = .plain
        target = nil
        /// The signed bits from `low` on, as a distance.
        func distance(_ low: UInt32, _ bits: UInt32) -> UInt64 {
            UInt64(bitPattern: Int64(Int32(bitPattern: word << (32 - low - bits)) >> Int32(32 - bits)) << 2)
        }
        switch word >> 26 & 7 {
        case 0b101:
            kind = Self.branch(word)
            switch kind {
            case .jump, .call: target = address &+ distance(0, 26)
            case .conditionalJump(let bits): target = address &+ distance(5, bits)
            default: break
            }
        case 0b100 where word & 0x1f00_0000 == 0x1000_0000:
            let isPage = word >> 31 == 1
            let pages = Int64(Int32(bitPattern: (word >> 5 & 0x7ffff) << 13) >> 11) | Int64(word >> 29 & 3)
            target = isPage ? address & ~0xfff &+ UInt64(bitPattern: pages << 12) : address &+ UInt64(bitPattern: pages)
            kind = .address(word & 31, isPage: isPage)
        case 0b110 where word & 0x3b00_0000 == 0x1800_0000, 0b111 where word & 0x3b00_0000 == 0x1800_0000:
            target = address &+ distance(5, 19)
            kind = Load(rawValue: word >> 30 | (word >> 26 & 1) << 2).map { .load($0, word & 31) } ?? .unknown
        default:
            kind = Self.other(word)
        }
    }

    /// Of the group that branches, exceptions and what concerns the processor are in.
    private static func branch(_ word: UInt32) -> Kind {
        if word & 0x7c00_0000 == 0x1400_0000 { return word >> 31 == 0 ? .jump : .call }
        if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 { return .conditionalJump(bits: 19) }
        if word & 0x7e00_0000 == 0x3600_0000 { return .conditionalJump(bits: 14) }
        switch word >> 24 {
        case 0xd4:
            switch word & 0xffe0_001f {
            case 0xd400_0001: return .plain  // svc
            case 0xd420_0000: return .trap("brk")
            case 0xd440_0000: return .trap("hlt")
            default: return .unknown
            }
        case 0xd5: return system(word)
        case 0xd6, 0xd7: return throughRegister(word)
        default: return .unknown
        }
    }

    private static func system(_ word: UInt32) -> Kind {
        if word & 0xffff_ffe0 == 0xd523_3060 { return .positionBound("tstart") }
        guard word & 0xffff_f01f == 0xd503_201f else { return .plain }
        switch word >> 5 & 0x7f {
        case 0: return .nop
        case 25: return .signing(isKeyB: false)
        case 27: return .signing(isKeyB: true)
        case 32, 34, 36, 38: return .landingPad
        case 39: return .positionBound("pacm")
        default: return .plain
        }
    }

    private static func throughRegister(_ word: UInt32) -> Kind {
        guard word & 0x001f_0000 == 0x001f_0000 else { return .unknown }
        let register = word >> 5 & 31
        let isChecked = word & 0xf800 == 0x0800
        switch word >> 21 & 15 {
        case 0 where word & 0xfc1f == 0, 0 where isChecked, 8 where isChecked: return .indirectJump
        case 1 where word & 0xfc1f == 0: return .indirectCall(register)
        case 1 where isChecked, 9 where isChecked: return .positionBound("blraa")
        case 2 where word & 0xfc1f == 0, 2 where isChecked && word & 0x3ff == 0x3ff: return .return
        default: return .unknown
        }
    }

    private static func other(_ word: UInt32) -> Kind {
        switch word {
        // With their own address they sign, or check, the return address.
        case 0xdac1_83fe, 0xdac1_87fe, 0xdac1_a3fe, 0xdac1_a7fe: return .positionBound("paciasppc")
        case _ where word & 0xff80_001f == 0xf380_001f: return .positionBound("autiasppc")
        case _ where word >> 16 == 0: return .trap("udf")
        default: break
        }
        // Nobody has given these a meaning yet.
        switch word >> 25 & 15 {
        case 0 where word >> 31 == 0, 1, 3: return .unknown
        default: return .plain
        }
    }
}

/// Code that is read word by word.
struct ARM64Code {
    let bytes: UnsafeRawBufferPointer
    let base: UInt64

    /// The offsets within `offsets` at which instructions may start.
    func starts(in offsets: Range<Int>) -> StrideTo<Int> {
        let misaligned = Int(truncatingIfNeeded: (base &+ UInt64(truncatingIfNeeded: offsets.lowerBound)) & 3)
        let first = offsets.lowerBound + (misaligned == 0 ? 0 : 4 - misaligned)
        return stride(from: first, to: max(first, min(offsets.upperBound, bytes.count - 3)), by: 4)
    }

    @inline(__always)
    func word(at offset: Int) -> UInt32 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian }

    func instruction(at offset: Int) -> ARM64Instruction {
        ARM64Instruction(word(at: offset), at: base &+ UInt64(truncatingIfNeeded: offset))
    }
}
