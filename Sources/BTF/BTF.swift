/// Type information in the kernel's format (`.BTF`), read into Swift values.
package struct BTF: Sendable {
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

    /// The type behind `typedef`, `const`, `volatile`, `restrict` and type tags; nil where these go in a circle.
    package func resolve(_ id: TypeID) -> TypeID? {
        var id = id
        for _ in 0..<Self.deepest {
            switch self[id].kind {
            case .typedef(let next), .const(let next), .volatile(let next), .restrict(let next), .typeTag(let next):
                id = next
            default:
                return id
            }
        }
        return nil
    }

    /// `sizeof`; nil for what has no size (`void`, functions, forward declarations) and for damage.
    package func size(of id: TypeID) -> UInt64? {
        var id = id
        var factor: UInt64 = 1
        for _ in 0..<Self.deepest {
            guard let resolved = resolve(id) else { return nil }
            let size: UInt64
            switch self[resolved].kind {
            case .integer(let integer): size = UInt64(integer.size)
            case .pointer: size = 8
            case .structure(let bytes, _), .union(let bytes, _), .enumeration(let bytes, _, _), .float(let bytes),
                .dataSection(let bytes, _):
                size = UInt64(bytes)
            case .variable(let type, _):
                id = type
                continue
            case .array(let element, _, let count):
                let (product, overflow) = factor.multipliedReportingOverflow(by: UInt64(count))
                guard !overflow else { return nil }
                factor = product
                id = element
                continue
            default: return nil
            }
            let (product, overflow) = factor.multipliedReportingOverflow(by: size)
            return overflow ? nil : product
        }
        return nil
    }

    /// How far chains of types are followed. C code stays far below; damaged BTF can go in circles.
    static let deepest = 64

    // MARK: Completion

    /// Sets what the compiler leaves open in a data section: its size, which only the ELF section tells.
    package mutating func setSize(ofDataSection id: TypeID, to size: UInt32) {
        let index = Int(id.rawValue)
        guard types.indices.contains(index), case .dataSection(_, let variables) = types[index].kind else { return }
        types[index].kind = .dataSection(size: size, variables: variables)
    }
}
