/// Reads the section and program header tables of a file whose ELF header is known to be whole.
struct HeaderTables {
    private let header: ByteSlice
    private let file: ByteSlice
    private let name: String
    // What does not fit in the ELF header stands in section 0.
    private var firstSize: UInt64 = 0
    private var firstLink: UInt32 = 0
    private var firstInfo: UInt32 = 0

    /// Section names may share their ends in the string table, or all their bytes (".group"); a file cannot make us keep
    /// more than this.
    private static func longestNames(_ table: ByteSlice?, sections: UInt64) -> Int {
        min(2 * (table?.count ?? 0) + 64 * Int(clamping: min(sections, 1 << 20)), 64 << 20)
    }

    init(header: ByteSlice, file: ByteSlice, name: String) throws(ELFError) {
        self.header = header
        self.file = file
        self.name = name
        guard let offset: UInt64 = header.load(at: 40), offset != 0 else { return }
        guard let record = file.slice(at: offset, count: 64),
            let size: UInt64 = record.load(at: 32), let link: UInt32 = record.load(at: 40),
            let info: UInt32 = record.load(at: 44)
        else {
            let count = max(UInt64(header.load(UInt16.self, at: 60) ?? 1), 1)
            throw .past(file, name: name, what: "the section header table", offset: offset, size: count * 64)
        }
        (firstSize, firstLink, firstInfo) = (size, link, info)
    }

    func segments() throws(ELFError) -> [Segment] {
        guard let offset: UInt64 = header.load(at: 32), let size: UInt16 = header.load(at: 54),
            let small: UInt16 = header.load(at: 56), offset != 0, small != 0
        else { return [] }
        guard size == 56 else { throw .malformed(name: name, what: "program headers of \(size) bytes, not 56") }
        let count = small == 0xffff ? UInt64(firstInfo) : UInt64(small)
        guard let table = file.slice(at: offset, count: count * 56) else {
            throw .past(file, name: name, what: "the program header table", offset: offset, size: count * 56)
        }
        var segments: [Segment] = []
        segments.reserveCapacity(Int(count))
        for index in 0..<count {
            let at = index * 56
            guard let type: UInt32 = table.load(at: at), let flags: UInt32 = table.load(at: at + 4),
                let offset: UInt64 = table.load(at: at + 8), let address: UInt64 = table.load(at: at + 16),
                let fileSize: UInt64 = table.load(at: at + 32), let memorySize: UInt64 = table.load(at: at + 40),
                let alignment: UInt64 = table.load(at: at + 48)
            else { break }
            segments.append(
                Segment(
                    type: SegmentType(rawValue: type), flags: SegmentFlags(rawValue: flags), offset: offset,
                    address: address, fileSize: fileSize, memorySize: memorySize, alignment: alignment))
        }
        return segments
    }

    func sections() throws(ELFError) -> [Section] {
        guard let offset: UInt64 = header.load(at: 40), let size: UInt16 = header.load(at: 58),
            let small: UInt16 = header.load(at: 60), let smallNames: UInt16 = header.load(at: 62), offset != 0
        else { return [] }
        guard size == 64 else { throw .malformed(name: name, what: "section headers of \(size) bytes, not 64") }
        let count = small == 0 ? firstSize : UInt64(small)
        let (length, overflow) = count.multipliedReportingOverflow(by: 64)
        guard !overflow, let table = file.slice(at: offset, count: length) else {
            throw .past(
                file, name: name, what: "the section header table", offset: offset, size: overflow ? .max : length)
        }
        let names = try sectionNames(table, count: count, index: smallNames)
        var sections: [Section] = []
        sections.reserveCapacity(Int(count))
        var nameLength = 0
        let longestNames = Self.longestNames(names, sections: count)
        for index in 0..<count {
            let at = index * 64
            guard let nameOffset: UInt32 = table.load(at: at), let type: UInt32 = table.load(at: at + 4),
                let flags: UInt64 = table.load(at: at + 8), let address: UInt64 = table.load(at: at + 16),
                let offset: UInt64 = table.load(at: at + 24), let size: UInt64 = table.load(at: at + 32),
                let link: UInt32 = table.load(at: at + 40), let info: UInt32 = table.load(at: at + 44),
                let alignment: UInt64 = table.load(at: at + 48), let entrySize: UInt64 = table.load(at: at + 56)
            else { break }
            let sectionName = names?.string(at: UInt64(nameOffset)) ?? ""
            nameLength += sectionName.utf8.count
            guard nameLength <= longestNames else { throw .malformed(name: name, what: "section names overlap") }
            sections.append(
                Section(
                    index: Int(index), name: sectionName, type: SectionType(rawValue: type),
                    flags: SectionFlags(rawValue: flags), address: address, offset: offset, size: size, link: link,
                    info: info, alignment: alignment, entrySize: entrySize))
        }
        return sections
    }

    private func sectionNames(_ table: ByteSlice, count: UInt64, index: UInt16) throws(ELFError) -> ByteSlice? {
        let index = index == 0xffff ? UInt64(firstLink) : UInt64(index)
        guard index != 0, index < count, let offset: UInt64 = table.load(at: index * 64 + 24),
            let size: UInt64 = table.load(at: index * 64 + 32)
        else { return nil }
        guard let names = file.slice(at: offset, count: size) else {
            throw .past(file, name: name, what: "the section name table", offset: offset, size: size)
        }
        return names
    }
}
