import Glibc
import MachineCode

/// Reads the tables of `switch` statements: where a jump through a register or a table may go. A table of distances is
/// what some `lea` of the function takes the address of, as far as its entries lead into the function; one of addresses is
/// what the jump itself names.
extension X86_64 {
    /// So much of a function is looked through.
    private static let largestFunction = 1 << 20

    /// Where jumps through a register or a table may be in `text`, by ascending address.
    package static func tableJumps(in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] {
        var found: [UInt64] = []
        forEach(0xFF, in: text, 0..<max(0, text.count - 1)) { offset in
            // jmp *reg; jmp *(…, reg, …); jmp *(reg), jmp *8(reg)
            let form = text[offset + 1]
            if form >> 3 & 7 == 4, form != 0x25 { found.append(base + UInt64(offset)) }
        }
        return found
    }

    /// Calls `visit` for each place within `offsets` that holds a byte.
    @inline(__always)
    private static func forEach(_ byte: UInt8, in text: UnsafeRawBufferPointer, _ offsets: Range<Int>, _ visit: (Int) -> Void) {
        guard let start = text.baseAddress else { return }
        var offset = offsets.lowerBound
        while offset < offsets.upperBound, let place = memchr(start + offset, Int32(byte), offsets.upperBound - offset) {
            offset = start.distance(to: UnsafeRawPointer(place))
            visit(offset)
            offset += 1
        }
    }

    /// The tables that a function may jump through, or what looks like some.
    package static func tables(in text: UnsafeRawBufferPointer, base: UInt64, of function: Range<UInt64>) -> [JumpTable] {
        guard function.lowerBound >= base else { return [] }
        var found: [JumpTable] = []
        let first = Int(function.lowerBound - base)
        let end = min(text.count, first + min(function.count, largestFunction)) - 6
        guard first < end else { return [] }
        // lea table(%rip), %reg
        forEach(0x8D, in: text, first + 1..<end + 1) { offset in
            if text[offset - 1] & 0xF8 == 0x48, text[offset + 1] & 0xC7 == 0x05 {
                found.append(JumpTable(address: base &+ UInt64(offset + 6) &+ distance(text, at: offset + 2), isAbsolute: false))
            }
        }
        // jmp *table(, %reg, 8)
        forEach(0xFF, in: text, first..<end) { offset in
            if text[offset + 1] == 0x24, text[offset + 2] & 0xC7 == 0xC5 {
                found.append(JumpTable(address: distance(text, at: offset + 3), isAbsolute: true))
            }
        }
        return found
    }

    private static func distance(_ text: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bitPattern: Int64(Int32(littleEndian: text.loadUnaligned(fromByteOffset: offset, as: Int32.self))))
    }
}
