/// A 64-bit little-endian ELF file. The headers are read at once, everything else when it is asked for.
package struct ELFFile: Sendable {
    /// What the file is called in errors: its path.
    package let name: String
    package let kind: FileKind
    package let machine: Machine
    /// Address of the first instruction (`e_entry`).
    package let entry: UInt64
    /// All sections, the null section first, so that a section's index is its place.
    package let sections: [Section]
    package let segments: [Segment]
    /// The whole file.
    package let bytes: ByteSlice

    /// Opens a file; a large one is mapped read-only, not copied.
    package init(path: String) throws(ELFError) {
        try self.init(image: FileImage(path: path))
    }

    /// Reads a file that is open already; the descriptor stays the caller's. `name` is what errors call it.
    package init(descriptor: Int32, name: String) throws(ELFError) {
        try self.init(image: FileImage(descriptor: descriptor, name: name))
    }

    /// Reads a file that is in memory already; `name` is what errors call it.
    package init(bytes: [UInt8], name: String = "the file") throws(ELFError) {
        try self.init(image: FileImage(bytes: bytes, name: name))
    }

    /// Gives the memory back that reading has taken, where the file is mapped. Nothing changes: what is asked for again
    /// is read again.
    package func dropPages() { bytes.image.dropPages() }

    /// Whether the file became shorter while it was read: then zeros were read, and what was found is not all.
    package var isShortened: Bool { bytes.image.isShortened }

    /// Whether nobody but root and this user can change what is read of it.
    package var isSteady: Bool { bytes.image.isSteady }

    /// Where the file lies in this process, as long as this value lives.
    package var memory: UnsafeRawBufferPointer { bytes.image.bytes }

    /// All are looked through for every address that is asked for.
    private static let mostSegments = 1024

    private init(image: FileImage) throws(ELFError) {
        let file = ByteSlice(image)
        let name = image.name
        guard file.load(UInt32.self, at: 0) == 0x464c_457f else { throw .notELF(name: name) }
        guard let width = file.load(UInt8.self, at: 4), let order = file.load(UInt8.self, at: 5) else {
            throw .truncated(name: name, what: "the ELF header", end: 64, size: UInt64(file.count))
        }
        guard order == 1 else {
            throw order == 2
                ? .unsupported(name: name, what: "a big-endian ELF file; only little-endian 64-bit files can be read")
                : .malformed(name: name, what: "byte order \(order) in the ELF header")
        }
        guard width == 2 else {
            let machine = Machine(rawValue: file.load(at: 18) ?? 0)
            throw width == 1
                ? .unsupported(name: name, what: "a 32-bit ELF file (machine \(machine)); only 64-bit files can be read")
                : .malformed(name: name, what: "class \(width) in the ELF header")
        }
        guard let header = file.slice(at: 0, count: 64),
            let type: UInt16 = header.load(at: 16), let machine: UInt16 = header.load(at: 18),
            let entry: UInt64 = header.load(at: 24)
        else {
            throw .truncated(name: name, what: "the ELF header", end: 64, size: UInt64(file.count))
        }
        guard let kind = FileKind(rawValue: type) else {
            throw .malformed(name: name, what: "file type \(type) in the ELF header")
        }
        self.name = name
        self.kind = kind
        self.machine = Machine(rawValue: machine)
        self.entry = entry
        bytes = file
        let tables = try HeaderTables(header: header, file: file, name: name)
        segments = try tables.segments()
        guard segments.count <= Self.mostSegments || kind == .core else {
            throw .unsupported(name: name, what: "\(segments.count) program headers; no linker makes more than a few dozen")
        }
        sections = try tables.sections()
        guard !image.isShortened else { throw .shortened(name: name) }
    }

    // MARK: Lookup

    /// The first section of that name.
    package func section(named name: String) -> Section? {
        sections.first { $0.name == name }
    }

    /// The section with that number, as a symbol or `link` gives it.
    package func section(at index: Int) -> Section? {
        sections.indices.contains(index) ? sections[index] : nil
    }

    /// The bytes that the file holds for a section: none for `SHT_NOBITS`.
    package func contents(of section: Section) throws(ELFError) -> ByteSlice {
        guard section.type != .noBits, section.type != .null else { return try range("", 0, 0) }
        guard !section.flags.contains(.compressed) else {
            throw .unsupported(name: name, what: "section \(section.index) (\(section.name)) is compressed")
        }
        return try bytes(of: section)
    }

    /// Like `contents(of:)`, with the bytes of a compressed section as they are.
    package func bytes(of section: Section) throws(ELFError) -> ByteSlice {
        guard section.type != .noBits, section.type != .null else { return try range("", 0, 0) }
        return try range("section \(section.index) (\(section.name))", section.offset, section.size)
    }

    /// Those of some sections whose bytes lie apart in the file, as all do that a linker has written. The others would
    /// have it read the same bytes again and again.
    package func withoutOverlaps(_ sections: [Section]) -> [Section] {
        var end: UInt64 = 0
        return sections.filter { $0.type != .noBits && $0.size > 0 }.sorted { $0.offset < $1.offset }.filter { section in
            let (last, overflow) = section.offset.addingReportingOverflow(section.size)
            guard section.offset >= end, !overflow else { return false }
            end = last
            return true
        }
    }

    /// The bytes that the file holds for a segment.
    package func contents(of segment: Segment) throws(ELFError) -> ByteSlice {
        try range("the segment at address 0x\(String(segment.address, radix: 16))", segment.offset, segment.fileSize)
    }

    /// The file offset of a memory address, by the load segments.
    package func offset(ofAddress address: UInt64) -> UInt64? {
        for segment in segments where segment.type == .load && address >= segment.address {
            let distance = address - segment.address
            if distance < segment.fileSize { return segment.offset &+ distance }
        }
        return nil
    }

    /// The memory address of a file offset, by the load segments.
    package func address(ofOffset offset: UInt64) -> UInt64? {
        for segment in segments where segment.type == .load && offset >= segment.offset {
            let distance = offset - segment.offset
            if distance < segment.fileSize { return segment.address &+ distance }
        }
        return nil
    }

    /// The path of the dynamic linker, nil in static programs and most libraries.
    package var interpreter: String? {
        guard let segment = segments.first(where: { $0.type == .interpreter }) else { return nil }
        return try? contents(of: segment).string(at: 0)
    }

    /// Whether the Go toolchain linked it: such programs move their stacks and cannot be traced.
    package var isGo: Bool {
        sections.contains { $0.name == ".gopclntab" || $0.name == ".go.buildinfo" || $0.name == ".note.go.buildid" }
    }

    /// The table of section headers, and where it is in the file; nil where there is none.
    package var sectionHeaders: (offset: Int, bytes: [UInt8])? {
        guard let offset: UInt64 = bytes.load(at: 40), let table = bytes.slice(at: offset, count: UInt64(sections.count) * 64)
        else { return nil }
        return (Int(offset), table.bytes)
    }

    /// Whether it holds DWARF of functions and types.
    package var hasDebugInformation: Bool {
        sections.contains { ($0.name == ".debug_info" || $0.name == ".zdebug_info") && $0.type != .noBits }
    }

    func range(_ what: @autoclosure () -> String, _ offset: UInt64, _ size: UInt64) throws(ELFError) -> ByteSlice {
        guard let slice = bytes.slice(at: offset, count: size) else {
            throw .past(bytes, name: name, what: what(), offset: offset, size: size)
        }
        return slice
    }
}

extension ELFError {
    /// `.truncated`, for a range that leaves the file.
    static func past(_ file: ByteSlice, name: String, what: String, offset: UInt64, size: UInt64) -> ELFError {
        let (end, overflow) = offset.addingReportingOverflow(size)
        return .truncated(name: name, what: what, end: overflow ? .max : end, size: UInt64(file.count))
    }
}
