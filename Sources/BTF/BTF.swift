/// Type information in the kernel's format (`.BTF`), read into Swift values.
package struct BTF: Sendable, TypeTable {
    /// All types; the place is the id, so the first one is `void`.
    package internal(set) var types: [BTFType]
    var strings: StringTable

    /// Reads the contents of a `.BTF` section.
    package init(bytes: [UInt8]) throws(BTFError) {
        let reader = ByteReader(bytes: bytes)
        guard let magic = reader.u16(0) else { throw .truncated(what: "the header") }
        guard magic == 0xeb9f else {
            throw magic == 0x9feb ? .unsupported("it is big-endian") : .notBTF
        }
        guard let version = reader.u8(2), let headerSize = reader.u32(4), let typeOffset = reader.u32(8),
            let typeSize = reader.u32(12), let stringOffset = reader.u32(16), let stringSize = reader.u32(20)
        else { throw .truncated(what: "the header") }
        guard version == 1 else { throw .unsupported("version \(version)") }
        let types = try Self.range(bytes, Int(headerSize) + Int(typeOffset), Int(typeSize), "the type section")
        let strings = try Self.range(bytes, Int(headerSize) + Int(stringOffset), Int(stringSize), "the string section")
        self.strings = StringTable(strings)
        self.types = [BTFType(name: "", kind: .void)]
        var parser = TypeParser(reader: reader, position: types.startIndex, end: types.endIndex)
        while let type = try parser.next(&self.strings) { self.types.append(type) }
        guard parser.largestReference.rawValue < self.types.count else {
            throw .malformed("type \(parser.largestReference) of \(self.types.count - 1) is used")
        }
    }

    static func range(_ bytes: [UInt8], _ start: Int, _ size: Int, _ what: String) throws(BTFError) -> ArraySlice<UInt8> {
        guard start <= bytes.count, size <= bytes.count - start else { throw .truncated(what: what) }
        return bytes[start..<start + size]
    }

    // MARK: Lookup

    /// The type with that id; `void` for an id that does not exist.
    package subscript(id: TypeID) -> BTFType {
        types.indices.contains(Int(id.rawValue)) ? types[Int(id.rawValue)] : types[0]
    }

    /// All ids but that of `void`.
    package var ids: some RandomAccessCollection<TypeID> {
        (1..<max(types.count, 1)).lazy.map { TypeID(rawValue: UInt32($0)) }
    }

    /// The first type of that name which `isWanted` accepts.
    package func id(named name: String, where isWanted: (BTFType.Kind) -> Bool = { _ in true }) -> TypeID? {
        types.firstIndex { $0.name == name && isWanted($0.kind) }.map { TypeID(rawValue: UInt32($0)) }
    }

    /// The variables of a data section, e.g. ".maps" or ".bss".
    package func dataSection(named name: String) -> TypeID? {
        id(named: name) { if case .dataSection = $0 { true } else { false } }
    }

    /// A function by its name.
    package func function(named name: String) -> TypeID? {
        id(named: name) { if case .function = $0 { true } else { false } }
    }

    // MARK: Completion

    /// Sets what the compiler leaves open in a data section: its size, which only the ELF section tells.
    package mutating func setSize(ofDataSection id: TypeID, to size: UInt32) {
        let index = Int(id.rawValue)
        guard types.indices.contains(index), case .dataSection(_, let variables) = types[index].kind else { return }
        types[index].kind = .dataSection(size: size, variables: variables)
    }
}
