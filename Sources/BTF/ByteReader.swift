/// Little-endian reading; outside the bytes it gives nil.
struct ByteReader: Sendable {
    let bytes: [UInt8]

    func u8(_ at: Int) -> UInt8? {
        bytes.indices.contains(at) ? bytes[at] : nil
    }

    func u16(_ at: Int) -> UInt16? {
        guard at >= 0, at <= bytes.count - 2 else { return nil }
        return UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
    }

    func u32(_ at: Int) -> UInt32? {
        guard at >= 0, at <= bytes.count - 4 else { return nil }
        return UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24
    }
}

/// Where the names of types come from.
protocol NameTable {
    mutating func string(_ offset: UInt32) throws(BTFError) -> String
}

/// The string section. Each string is made once, and strings that overlap cannot fill the memory.
struct StringTable: NameTable {
    private let bytes: ArraySlice<UInt8>
    private var known: [UInt32: String] = [:]
    private var budget: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        budget = bytes.count * 8 + 65_536
    }

    mutating func string(_ offset: UInt32) throws(BTFError) -> String {
        if offset == 0 { return "" }
        if let string = known[offset] { return string }
        guard offset < bytes.count else { throw .malformed("a name at \(offset), beyond the strings") }
        let rest = bytes[(bytes.startIndex + Int(offset))...]
        guard let end = rest.firstIndex(of: 0) else { throw .malformed("the name at \(offset) does not end") }
        budget -= end - rest.startIndex
        guard budget >= 0 else { throw .malformed("its names overlap") }
        let string = String(decoding: rest[..<end], as: UTF8.self)
        known[offset] = string
        return string
    }
}
