/// A relocation (`Elf64_Rel`, `Elf64_Rela`).
package struct Relocation: Hashable, Sendable {
    /// Offset in the section (relocatable files) or address (linked files).
    package let offset: UInt64
    /// Its meaning is the machine's, e.g. `R_X86_64_JUMP_SLOT`.
    package let type: UInt32
    /// Index in the symbol table that the relocation section links to.
    package let symbol: Int
    /// nil in `SHT_REL`: the addend is in place.
    package let addend: Int64?
}

extension ELFFile {
    /// Several times those of the largest programs.
    private static let mostRelocations: UInt64 = 1 << 23

    /// All relocations that apply to a section.
    package func relocations(for section: Section) throws(ELFError) -> [Relocation] {
        var relocations: [Relocation] = []
        for candidate in sections
        where (candidate.type == .relocations || candidate.type == .relocationsWithAddend)
            && Int(candidate.info) == section.index && section.index != 0
        {
            relocations += try self.relocations(in: candidate)
        }
        return relocations
    }

    /// The relocations that the dynamic linker (or a static program's start code) applies.
    package var loadedRelocations: [Relocation] {
        var found: [Relocation] = []
        for section in withoutOverlaps(sections.filter { $0.type == .relocationsWithAddend && $0.flags.contains(.alloc) })
        where section.size / 24 + UInt64(found.count) <= Self.mostRelocations {
            found += (try? relocations(in: section)) ?? []
        }
        return found
    }

    /// The relocations that a `SHT_REL` or `SHT_RELA` section holds.
    package func relocations(in section: Section) throws(ELFError) -> [Relocation] {
        var relocations: [Relocation] = []
        try forEachRelocation(in: section) { relocations.append($0) }
        return relocations
    }

    /// The same without an array: there may be a million.
    package func forEachRelocation(in section: Section, _ body: (Relocation) -> Void) throws(ELFError) {
        let hasAddend = section.type == .relocationsWithAddend
        guard hasAddend || section.type == .relocations else { return }
        let size: UInt64 = hasAddend ? 24 : 16
        guard section.entrySize == size else {
            throw .malformed(
                name: name, what: "relocations of \(section.entrySize) bytes in \(section.name), not \(size)")
        }
        let table = try contents(of: section)
        for index in 0..<UInt64(table.count) / size {
            guard let offset: UInt64 = table.load(at: index * size),
                let info: UInt64 = table.load(at: index * size + 8)
            else { break }
            body(
                Relocation(
                    offset: offset, type: UInt32(truncatingIfNeeded: info), symbol: Int(info >> 32),
                    addend: hasAddend ? table.load(at: index * size + 16) : nil))
        }
    }
}
