/// BTF whose types are decoded when they are asked for. The kernel has 130,000 of them, and a session needs a few.
///
/// A module's types are split BTF: their ids, and the offsets of their names, go on where those of vmlinux end.
package final class BTFIndex: Sendable, TypeTable {
    /// `BTF_KIND_*`, as far as types are looked up by kind.
    package enum KindNumber: UInt8, Sendable {
        case structure = 4
        case union = 5
        case enumeration = 6
        case typedef = 8
        case function = 12
        case variable = 14
        case dataSection = 15
    }

    private let bytes: [UInt8]
    private let base: BTFIndex?
    /// Where each own type starts in `bytes`.
    private let offsets: [UInt32]
    private let strings: Range<Int>
    private let stringStart: UInt32
    /// The id of the first own type.
    package let firstID: UInt32

    /// Ids up to this one exist.
    package var endID: UInt32 { firstID + UInt32(offsets.count) }
    private var stringEnd: UInt32 { stringStart + UInt32(strings.count) }

    package init(bytes: [UInt8], base: BTFIndex? = nil) throws(BTFError) {
        let reader = ByteReader(bytes: bytes)
        guard let magic = reader.u16(0), let headerSize = reader.u32(4), let typeOffset = reader.u32(8),
            let typeSize = reader.u32(12), let stringOffset = reader.u32(16), let stringSize = reader.u32(20)
        else { throw .truncated(what: "the header") }
        guard magic == 0xeb9f else { throw .notBTF }
        let types = try BTF.range(bytes, Int(headerSize) + Int(typeOffset), Int(typeSize), "the type section")
        let strings = try BTF.range(bytes, Int(headerSize) + Int(stringOffset), Int(stringSize), "the string section")
        var offsets: [UInt32] = []
        offsets.reserveCapacity(types.count / 20)
        var at = types.startIndex
        while at + 12 <= types.endIndex {
            guard let info = reader.u32(at + 4) else { throw .truncated(what: "a type") }
            offsets.append(UInt32(at))
            guard let rest = Self.rest(ofKind: UInt8(info >> 24 & 0x1f), count: Int(info & 0xffff)) else {
                throw .unsupported("a type of kind \(info >> 24 & 0x1f); this version knows 1 to 19")
            }
            at += 12 + rest
        }
        guard at == types.endIndex else { throw .truncated(what: "a type") }
        self.bytes = bytes
        self.base = base
        self.offsets = offsets
        self.strings = strings.startIndex..<strings.endIndex
        firstID = base?.endID ?? 1
        stringStart = base?.stringEnd ?? 0
    }

    /// Bytes behind the 12 that all kinds have.
    private static func rest(ofKind kind: UInt8, count: Int) -> Int? {
        switch kind {
        case 1, 14, 17: 4
        case 3: 12
        case 4, 5, 15, 19: 12 * count
        case 6, 13: 8 * count
        case 2, 7, 8, 9, 10, 11, 12, 16, 18: 0
        default: nil
        }
    }

    // MARK: Types

    package subscript(id: BTF.TypeID) -> BTFType {
        if id.rawValue < firstID { return base?[id] ?? BTFType(name: "", kind: .void) }
        guard id.rawValue < endID else { return BTFType(name: "", kind: .void) }
        let start = Int(offsets[Int(id.rawValue - firstID)])
        var parser = TypeParser(reader: ByteReader(bytes: bytes), position: start, end: strings.startIndex)
        var names = NameSource(index: self)
        return (try? parser.next(&names)) ?? BTFType(name: "", kind: .void)
    }

    private struct NameSource: NameTable {
        let index: BTFIndex
        mutating func string(_ offset: UInt32) throws(BTFError) -> String { index.name(at: offset) }
    }

    private func name(at offset: UInt32) -> String {
        if offset < stringStart { return base?.name(at: offset) ?? "" }
        let start = strings.startIndex + Int(offset - stringStart)
        guard start < strings.endIndex, let end = bytes[start..<strings.endIndex].firstIndex(of: 0) else { return "" }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    // MARK: Lookup

    /// The kind and the name's place of each own type.
    private func header(_ index: Int) -> (kind: UInt8, name: UInt32) {
        let at = Int(offsets[index])
        let reader = ByteReader(bytes: bytes)
        return (UInt8((reader.u32(at + 4) ?? 0) >> 24 & 0x1f), reader.u32(at) ?? 0)
    }

    /// The own types of these kinds whose name is `name` or, with `flavours`, `name` with `___` and more behind it.
    package func ids(named name: String, _ kinds: Set<UInt8>? = nil, flavours: Bool = false) -> [BTF.TypeID] {
        let wanted = Array(name.utf8)
        var found: [BTF.TypeID] = []
        for index in offsets.indices {
            let (kind, offset) = header(index)
            guard offset != 0, kinds?.contains(kind) ?? true, hasName(offset, wanted, flavours) else { continue }
            found.append(BTF.TypeID(rawValue: firstID + UInt32(index)))
        }
        return found
    }

    /// The own type of that kind and name.
    package func id(named name: String, _ kind: KindNumber) -> BTF.TypeID? {
        ids(named: name, [kind.rawValue]).first
    }

    private func hasName(_ offset: UInt32, _ wanted: [UInt8], _ flavours: Bool) -> Bool {
        if offset < stringStart { return base?.hasName(offset, wanted, flavours) ?? false }
        let start = strings.startIndex + Int(offset - stringStart)
        let end = start + wanted.count
        guard end < strings.endIndex else { return false }
        for index in wanted.indices where bytes[start + index] != wanted[index] { return false }
        if bytes[end] == 0 { return true }
        return flavours && end + 3 < strings.endIndex && bytes[end..<end + 3].allSatisfy { $0 == UInt8(ascii: "_") }
    }

    /// The names of the own functions, and their ids.
    package func functions() -> [(name: String, id: BTF.TypeID)] {
        var found: [(name: String, id: BTF.TypeID)] = []
        for index in offsets.indices {
            let (kind, offset) = header(index)
            guard kind == KindNumber.function.rawValue else { continue }
            found.append((name(at: offset), BTF.TypeID(rawValue: firstID + UInt32(index))))
        }
        return found
    }

    /// What follows `prefix` in the names of the own types of that kind.
    package func names(_ kind: KindNumber, after prefix: String) -> [String] {
        var found: [String] = []
        for index in offsets.indices {
            let (number, offset) = header(index)
            guard number == kind.rawValue else { continue }
            let name = name(at: offset)
            if name.hasPrefix(prefix) { found.append(String(name.dropFirst(prefix.count))) }
        }
        return found
    }
}
