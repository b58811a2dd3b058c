/// A symbol without its name (`Elf64_Sym`): plain data, so that a table is walked without an allocation.
package struct Symbol: Hashable, Sendable {
    /// Where the name starts in the table's strings; `SymbolTable.name(of:)` reads it.
    package let nameOffset: UInt32
    package let value: UInt64
    package let size: UInt64
    package let type: SymbolType
    package let binding: SymbolBinding
    package let visibility: SymbolVisibility
    /// The number of its section, or one of the reserved numbers below.
    package let sectionIndex: Int

    /// `SHN_UNDEF`: defined in another file.
    package static let undefinedSection = 0
    /// `SHN_ABS`: the value is no address.
    package static let absoluteSection = 0xfff1
    /// `SHN_COMMON`.
    package static let commonSection = 0xfff2

    package var isDefined: Bool { sectionIndex != Self.undefinedSection }
    /// A function with code in this file, `IFUNC` resolvers included.
    package var isFunction: Bool { (type == .function || type == .indirectFunction) && isDefined }
}

/// `STT_*`.
package struct SymbolType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    package static let none = SymbolType(rawValue: 0)
    package static let object = SymbolType(rawValue: 1)
    package static let function = SymbolType(rawValue: 2)
    package static let section = SymbolType(rawValue: 3)
    package static let file = SymbolType(rawValue: 4)
    package static let threadLocal = SymbolType(rawValue: 6)
    /// `STT_GNU_IFUNC`: the value is the address of a function that returns the real one.
    package static let indirectFunction = SymbolType(rawValue: 10)
}

/// `STB_*`.
package struct SymbolBinding: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    package static let local = SymbolBinding(rawValue: 0)
    package static let global = SymbolBinding(rawValue: 1)
    package static let weak = SymbolBinding(rawValue: 2)
}

/// `STV_*`.
package enum SymbolVisibility: UInt8, Sendable {
    case `default`, `internal`, hidden, protected
}

/// A symbol table with its strings; nothing is read before it is asked for.
package struct SymbolTable: RandomAccessCollection, Sendable {
    private let table: ByteSlice
    private let strings: ByteSlice
    private let extendedIndices: ByteSlice?
    /// Ten times those of the largest programs. Every one of them is looked at.
    static let mostSymbols: UInt64 = 1 << 24
    package let startIndex = 0
    package let endIndex: Int

    init(table: ByteSlice, strings: ByteSlice, extendedIndices: ByteSlice?) {
        self.table = table
        self.strings = strings
        self.extendedIndices = extendedIndices
        endIndex = table.count / 24
    }

    package subscript(index: Int) -> Symbol {
        precondition(index >= 0 && index < endIndex, "symbol index out of range")
        return decode(index)
    }

    /// The symbol with that number, nil where a hostile number leaves the table.
    package func symbol(at index: Int) -> Symbol? {
        index >= 0 && index < endIndex ? decode(index) : nil
    }

    /// The name; empty where the file gives none or a wrong offset.
    package func name(of symbol: Symbol) -> String {
        symbol.nameOffset == 0 ? "" : strings.string(at: UInt64(symbol.nameOffset)) ?? ""
    }

    /// The bytes of the name, to match one without making a string of it.
    package func withName<Result, Failure: Error>(
        of symbol: Symbol, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        try strings.withCString(at: UInt64(symbol.nameOffset), body)
    }

    /// What the names of all symbols may take together. Names may share bytes in the file, but those that a linker writes do
    /// not share so many that this would be too little.
    package var longestNames: Int { 2 * strings.count + 256 * endIndex }

    private func decode(_ index: Int) -> Symbol {
        let (name, info, other, section, value, size) = table.withUnsafeBytes { bytes in
            let at = index * 24
            return (
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)), bytes[at + 4],
                bytes[at + 5], UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 6, as: UInt16.self)),
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)),
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 16, as: UInt64.self))
            )
        }
        var sectionIndex = Int(section)
        if section == 0xffff, let index: UInt32 = extendedIndices?.load(at: UInt64(index) * 4) {
            sectionIndex = Int(index)
        }
        return Symbol(
            nameOffset: name, value: value, size: size, type: SymbolType(rawValue: info & 15),
            binding: SymbolBinding(rawValue: info >> 4),
            visibility: SymbolVisibility(rawValue: other & 3) ?? .default, sectionIndex: sectionIndex)
    }
}

extension ELFFile {
    /// `.symtab`; empty in a stripped file.
    package var symbols: SymbolTable {
        get throws(ELFError) { try symbolTable(.symbols) }
    }

    /// `.dynsym`: what the dynamic linker sees; empty in a static program. In a file without section headers
    /// it is found the way the dynamic linker finds it.
    package var dynamicSymbols: SymbolTable {
        get throws(ELFError) {
            if sections.isEmpty, let symbols = loadedSymbols { return symbols }
            return try symbolTable(.dynamicSymbols)
        }
    }

    /// The symbol table that a section holds.
    package func symbolTable(in section: Section) throws(ELFError) -> SymbolTable {
        guard section.type != .noBits else { return try emptySymbolTable() }
        guard section.entrySize == 24 else {
            throw .malformed(name: name, what: "symbols of \(section.entrySize) bytes in \(section.name), not 24")
        }
        guard let strings = self.section(at: Int(section.link)), strings.type == .strings else {
            throw .malformed(name: name, what: "no string table for the symbols in \(section.name)")
        }
        guard section.size / 24 <= SymbolTable.mostSymbols else {
            throw .unsupported(
                name: name, what: "\(section.size / 24) symbols in \(section.name); at most \(SymbolTable.mostSymbols) are read")
        }
        let indices = sections.first { $0.type == .symbolSectionIndices && Int($0.link) == section.index }
        var extended: ByteSlice?
        if let indices { extended = try contents(of: indices) }
        return try SymbolTable(
            table: contents(of: section), strings: contents(of: strings), extendedIndices: extended)
    }

    private func symbolTable(_ type: SectionType) throws(ELFError) -> SymbolTable {
        guard let section = sections.first(where: { $0.type == type }) else { return try emptySymbolTable() }
        return try symbolTable(in: section)
    }

    private func emptySymbolTable() throws(ELFError) -> SymbolTable {
        let nothing = try range("", 0, 0)
        return SymbolTable(table: nothing, strings: nothing, extendedIndices: nil)
    }
}
