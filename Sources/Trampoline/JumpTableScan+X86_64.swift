import Glibc

/// Reads the tables of `switch` statements: where a jump through a register or a table may go. A table of distances is
/// what some `lea` of the function takes the address of, as far as its entries lead into the function; one of addresses is
/// what the jump itself names.
enum JumpTableScan {
    /// So much of a function is looked through, so many entries of its tables.
    private static let largestFunction = 1 << 20
    private static let mostEntries = 1 << 12

    /// Where jumps through a register or a table may be in `text`, by ascending address.
    static func jumps(in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] {
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

    /// A table that a function may jump through.
    struct Table: Hashable {
        var address: UInt64
        /// Of addresses, else of distances from the table.
        var isAbsolute: Bool
    }

    /// The tables that a function may jump through, or what looks like some.
    static func tables(in text: UnsafeRawBufferPointer, base: UInt64, of function: Range<UInt64>) -> [Table] {
        guard function.lowerBound >= base else { return [] }
        var found: [Table] = []
        let first = Int(function.lowerBound - base)
        let end = min(text.count, first + min(function.count, largestFunction)) - 6
        guard first < end else { return [] }
        // lea table(%rip), %reg
        forEach(0x8D, in: text, first + 1..<end + 1) { offset in
            if text[offset - 1] & 0xF8 == 0x48, text[offset + 1] & 0xC7 == 0x05 {
                found.append(Table(address: base &+ UInt64(offset + 6) &+ distance(text, at: offset + 2), isAbsolute: false))
            }
        }
        // jmp *table(, %reg, 8)
        forEach(0xFF, in: text, first..<end) { offset in
            if text[offset + 1] == 0x24, text[offset + 2] & 0xC7 == 0xC5 {
                found.append(Table(address: distance(text, at: offset + 3), isAbsolute: true))
            }
        }
        return found
    }

    /// Calls `visit` for each entry of a table, as far as they lead into the function and no other table begins.
    static func entries(
        of table: Table, into function: Range<UInt64>, others: Set<UInt64>, read: (_ address: UInt64, _ count: Int) -> UInt64?,
        _ visit: (UInt64) -> Void
    ) {
        let size = table.isAbsolute ? 8 : 4
        for index in 0..<mostEntries {
            let place = table.address &+ UInt64(index * size)
            guard index == 0 || !others.contains(place), let entry = read(place, size) else { return }
            let target = table.isAbsolute ? entry : table.address &+ UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: entry)))
            guard function.contains(target) else { return }
            visit(target)
        }
    }

    private static func distance(_ text: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bitPattern: Int64(Int32(littleEndian: text.loadUnaligned(fromByteOffset: offset, as: Int32.self))))
    }
}
