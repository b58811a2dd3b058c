/// Up to 16 bytes, kept in place: a session may hold some of a hundred thousand functions' entries.
package struct ShortBytes: Sendable, Hashable, RandomAccessCollection, ExpressibleByArrayLiteral {
    package static let capacity = 16

    private var words: (UInt64, UInt64) = (0, 0)
    private var size: UInt8 = 0

    /// - Precondition: there are 16 at most.
    package init(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { append(byte) }
    }

    package init(arrayLiteral elements: UInt8...) { self.init(elements) }

    package var startIndex: Int { 0 }
    package var endIndex: Int { Int(size) }

    package subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < size, "outside the bytes")
        return UInt8(truncatingIfNeeded: (index < 8 ? words.0 : words.1) >> UInt64(index % 8 * 8))
    }

    package mutating func append(_ byte: UInt8) {
        precondition(size < Self.capacity, "more than 16 bytes")
        let value = UInt64(byte) << UInt64(size % 8 * 8)
        if size < 8 { words.0 |= value } else { words.1 |= value }
        size += 1
    }

    /// Whether the same bytes are at an offset of memory.
    package func isEqual(to bytes: UnsafeMutableRawBufferPointer, at offset: Int) -> Bool {
        guard offset >= 0, offset <= bytes.count - count else { return false }
        for index in 0..<count where bytes[offset + index] != self[index] { return false }
        return true
    }

    /// - Precondition: there is room for them.
    package func copy(to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && offset <= bytes.count - count, "outside the memory")
        for index in 0..<count { bytes[offset + index] = self[index] }
    }

    package static func + (a: ShortBytes, b: ShortBytes) -> ShortBytes {
        var result = a
        for byte in b { result.append(byte) }
        return result
    }

    package static func == (a: ShortBytes, b: ShortBytes) -> Bool { a.words == b.words && a.size == b.size }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(size)
    }
}
