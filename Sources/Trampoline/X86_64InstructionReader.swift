/// Reads instructions fast: how long one is, its opcode, and its memory operand if that is on the stack. Whole modules
/// are read this way, some ten million instructions; what is displaced is decoded by `X86_64Decoder`.
package struct X86_64InstructionReader {
    /// Which opcode table an opcode is of.
    enum Table: UInt8 {
        case one, twoByte, threeByte38, threeByte3A
        /// VEX, EVEX and XOP instructions of other tables: all are vector instructions.
        case other
    }

    struct Instruction {
        var size = 0
        var table = Table.one
        var opcode: UInt8 = 0
        /// VEX, EVEX or XOP.
        var isVector = false
        var hasModRM = false
        var modRM: UInt8 = 0
        var rex: UInt8 = 0
        /// The base of a memory operand, 0…15 as in ModRM; nil: no memory operand, or no base.
        var base: UInt8?
        var hasIndex = false
        var displacement: Int32 = 0
        /// Immediate operand, sign-extended; up to 32 bits.
        var immediate: Int32 = 0

        var isMemory: Bool { hasModRM && modRM < 0xC0 }
        /// The register field, with its extension.
        var register: UInt8 { (modRM >> 3 & 7) | (rex & 4) << 1 }
        /// The r/m field of a register operand, with its extension.
        var registerOperand: UInt8 { (modRM & 7) | (rex & 1) << 3 }
    }

    private let code: UnsafeRawBufferPointer
    /// What follows an opcode of one byte, for each of the 256.
    private let oneByte: UnsafePointer<UInt8>

    package init(_ code: UnsafeRawBufferPointer) {
        self.code = code
        oneByte = UnsafePointer(Self.oneByteTable.address)
    }

    /// How long the instruction at an offset is.
    package func size(at start: Int) -> Int? { instruction(at: start)?.size }

    /// The instruction at an offset; nil: none that is known, or it does not end within the code.
    @inline(__always)
    func instruction(at start: Int) -> Instruction? {
        var result = Instruction()
        var position = start
        let end = min(code.count, start + 15)
        var operandSize16 = false
        var addressSize32 = false
        var repeats = false
        guard position < end else { return nil }
        var opcode = code[position]
        var follows = oneByte[Int(opcode)]
        while follows & Self.anyPrefix != 0 {
            // A REX prefix holds only right before the opcode.
            result.rex = 0
            if follows & Self.anyPrefix == Self.rexPrefix {
                result.rex = opcode
            } else if opcode == 0x66 {
                operandSize16 = true
            } else if opcode == 0x67 {
                addressSize32 = true
            } else if opcode & 0xFE == 0xF2 {
                repeats = true
            }
            position += 1
            guard position < end else { return nil }
            opcode = code[position]
            follows = oneByte[Int(opcode)]
        }
        position += 1
        var disp8Scale: Int32 = 1
        var immediateSize = 0
        switch opcode {
        case 0x0F:
            guard position < end else { return nil }
            opcode = code[position]
            position += 1
            switch opcode {
            case 0x38, 0x3A:
                result.table = opcode == 0x38 ? .threeByte38 : .threeByte3A
                immediateSize = opcode == 0x38 ? 0 : 1
                guard position < end else { return nil }
                opcode = code[position]
                position += 1
                result.hasModRM = true
            default:
                result.table = .twoByte
                result.hasModRM = !Self.twoByteWithoutModRM(opcode)
                immediateSize = Self.twoByteImmediate(opcode)
                // extrq, insertq
                if opcode == 0x78, operandSize16 || repeats { immediateSize = 2 }
            }
        case 0xC5, 0xC4, 0x62:
            let isEVEX = opcode == 0x62
            let bytes = opcode == 0xC5 ? 1 : isEVEX ? 3 : 2
            guard position + bytes < end else { return nil }
            let first = code[position]
            // Inverted R, X and B.
            result.rex = 0x40 | (~first & 0x80) >> 5
            let table: UInt8
            if bytes == 1 {
                table = 1
            } else {
                result.rex |= (~first & 0x40) >> 5 | (~first & 0x20) >> 5
                table = first & (isEVEX ? 7 : 0x1F)
            }
            position += bytes
            opcode = code[position]
            position += 1
            result.isVector = true
            result.hasModRM = !(table == 1 && opcode == 0x77 && !isEVEX)
            if isEVEX { disp8Scale = 64 }
            switch table {
            case 1:
                result.table = .twoByte
                immediateSize = Self.twoByteVectorImmediate(opcode)
            case 2: result.table = .threeByte38
            case 3:
                result.table = .threeByte3A
                immediateSize = 1
            case 5, 6: result.table = .other
            default: return nil
            }
        case 0x8F where position + 2 < end && code[position] & 0x1F >= 8:
            // XOP
            let first = code[position]
            let table = first & 0x1F
            result.rex = 0x40 | (~first & 0x80) >> 5 | (~first & 0x40) >> 5 | (~first & 0x20) >> 5
            opcode = code[position + 2]
            position += 3
            result.isVector = true
            result.table = .other
            result.hasModRM = true
            immediateSize = table == 8 ? 1 : table == 10 ? 4 : 0
            guard table <= 10 else { return nil }
        default:
            result.hasModRM = follows & Self.modRM != 0
            switch follows & Self.immediate {
            case Self.none: break
            case Self.byte: immediateSize = 1
            case Self.word: immediateSize = operandSize16 && result.rex & 8 == 0 ? 2 : 4
            case Self.constant: immediateSize = result.rex & 8 != 0 ? 8 : operandSize16 ? 2 : 4
            case Self.distance: immediateSize = 4
            case Self.offset: immediateSize = addressSize32 ? 4 : 8
            case Self.short: immediateSize = opcode == 0xC8 ? 3 : 2
            default: return nil
            }
        }
        result.opcode = opcode
        if result.hasModRM {
            guard position < end else { return nil }
            let modRM = code[position]
            result.modRM = modRM
            position += 1
            if modRM < 0xC0 {
                var displacementSize = modRM >> 6 == 1 ? 1 : modRM >> 6 == 2 ? 4 : 0
                if modRM & 7 == 4 {
                    guard position < end else { return nil }
                    let sib = code[position]
                    position += 1
                    result.hasIndex = sib >> 3 & 7 != 4 || result.rex & 2 != 0
                    if sib & 7 == 5, modRM >> 6 == 0 {
                        displacementSize = 4
                    } else {
                        result.base = (sib & 7) | (result.rex & 1) << 3
                    }
                } else if modRM & 0xC7 == 5 {
                    displacementSize = 4
                } else {
                    result.base = (modRM & 7) | (result.rex & 1) << 3
                }
                guard position + displacementSize <= end else { return nil }
                if displacementSize == 1 {
                    result.displacement = Int32(Int8(bitPattern: code[position])) * disp8Scale
                } else if displacementSize == 4 {
                    result.displacement = Int32(littleEndian: code.loadUnaligned(fromByteOffset: position, as: Int32.self))
                }
                position += displacementSize
            }
            if result.table == .one, opcode & 0xFE == 0xF6, modRM >> 3 & 7 < 2 {
                immediateSize = opcode == 0xF6 ? 1 : operandSize16 ? 2 : 4
            }
        }
        guard position + immediateSize <= end else { return nil }
        if immediateSize == 1 {
            result.immediate = Int32(Int8(bitPattern: code[position]))
        } else if immediateSize == 4 {
            result.immediate = Int32(littleEndian: code.loadUnaligned(fromByteOffset: position, as: Int32.self))
        } else if immediateSize == 2 {
            result.immediate = Int32(Int16(littleEndian: code.loadUnaligned(fromByteOffset: position, as: Int16.self)))
        }
        result.size = position + immediateSize - start
        return result
    }

    // MARK: Opcode tables

    private static let modRM: UInt8 = 0x80
    private static let anyPrefix: UInt8 = 0x60
    private static let rexPrefix: UInt8 = 0x20
    private static let legacyPrefix: UInt8 = 0x40
    private static let immediate: UInt8 = 0x0F
    /// Immediate operands; `word` and `constant` have the operand's size, but `word` at most four bytes.
    private static let none: UInt8 = 0
    private static let byte: UInt8 = 1
    private static let word: UInt8 = 2
    private static let constant: UInt8 = 3
    private static let distance: UInt8 = 4
    private static let offset: UInt8 = 5
    private static let short: UInt8 = 6
    private static let invalid: UInt8 = 7

    /// Made once, and never changed.
    private struct OneByteTable: @unchecked Sendable {
        let address: UnsafeMutablePointer<UInt8>
    }

    private static let oneByteTable: OneByteTable = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        for opcode in 0...255 { table[opcode] = follows(UInt8(opcode)) }
        return OneByteTable(address: table)
    }()

    private static func follows(_ opcode: UInt8) -> UInt8 {
        switch opcode {
        case 0x26, 0x2E, 0x36, 0x3E, 0x64...0x67, 0xF0, 0xF2, 0xF3: legacyPrefix
        case 0x40...0x4F: rexPrefix
        // Of 32-bit code.
        case 0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x60...0x62, 0x82, 0x9A, 0xC4, 0xC5, 0xCE,
            0xD4...0xD6, 0xEA:
            invalid
        case 0x00...0x3F: opcode & 7 < 4 ? modRM : opcode & 7 == 4 ? byte : opcode & 7 == 5 ? word : none
        case 0x69, 0x81, 0xC7: modRM | word
        case 0x6B, 0x80, 0x83, 0xC0, 0xC1, 0xC6: modRM | byte
        case 0x63, 0x84...0x8F, 0xD0...0xD3, 0xD8...0xDF, 0xF6, 0xF7, 0xFE, 0xFF: modRM
        case 0x68, 0xA9: word
        case 0x6A, 0x70...0x7F, 0xA8, 0xB0...0xB7, 0xCD, 0xE0...0xE7, 0xEB: byte
        case 0xA0...0xA3: offset
        case 0xB8...0xBF: constant
        case 0xC2, 0xC8, 0xCA: short
        case 0xE8, 0xE9: distance
        default: none
        }
    }

    @inline(__always)
    private static func twoByteWithoutModRM(_ opcode: UInt8) -> Bool {
        switch opcode {
        case 0x05...0x0C, 0x0E, 0x30...0x37, 0x77, 0x80...0x8F, 0xA0...0xA2, 0xA8...0xAA, 0xC8...0xCF: true
        default: false
        }
    }

    @inline(__always)
    private static func twoByteImmediate(_ opcode: UInt8) -> Int {
        switch opcode {
        case 0x0F, 0x70...0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4...0xC6: 1
        case 0x80...0x8F: 4
        default: 0
        }
    }

    @inline(__always)
    private static func twoByteVectorImmediate(_ opcode: UInt8) -> Int {
        switch opcode {
        case 0x70...0x73, 0xC2, 0xC4...0xC6: 1
        default: 0
        }
    }
}
