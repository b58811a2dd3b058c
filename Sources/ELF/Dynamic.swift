/// An entry of the dynamic section (`Elf64_Dyn`).
package struct DynamicEntry: Hashable, Sendable {
    package let tag: UInt64
    package let value: UInt64

    /// `DT_NEEDED`: the name of a library that must be loaded.
    package static let needed: UInt64 = 1
    /// `DT_STRTAB`: address of the strings.
    package static let strings: UInt64 = 5
    /// `DT_STRSZ`.
    package static let stringsSize: UInt64 = 10
    /// `DT_SONAME`: the library's name for itself.
    package static let soname: UInt64 = 14
    /// `DT_DEBUG`: in a running program, where the dynamic linker's list of libraries is.
    package static let debug: UInt64 = 21
}

extension ELFFile {
    /// The dynamic section up to `DT_NULL`; empty in a static file.
    package var dynamicEntries: [DynamicEntry] {
        var table: ByteSlice?
        if let segment = segments.first(where: { $0.type == .dynamic }) {
            table = try? contents(of: segment)
        } else if let section = sections.first(where: { $0.type == .dynamic }) {
            table = try? contents(of: section)
        }
        var entries: [DynamicEntry] = []
        var at: UInt64 = 0
        while let tag: UInt64 = table?.load(at: at), let value: UInt64 = table?.load(at: at + 8), tag != 0 {
            entries.append(DynamicEntry(tag: tag, value: value))
            at += 16
        }
        return entries
    }

    /// A library's name for itself, e.g. "libz.so.1".
    package var soname: String? {
        let entries = dynamicEntries
        guard let entry = entries.first(where: { $0.tag == DynamicEntry.soname }) else { return nil }
        return dynamicStrings(entries)?.string(at: entry.value)
    }

    /// The names of the libraries that it needs.
    package var neededLibraries: [String] {
        let entries = dynamicEntries
        guard let strings = dynamicStrings(entries) else { return [] }
        // The limit keeps names that overlap in a hostile file from filling the memory.
        return entries.filter { $0.tag == DynamicEntry.needed }.prefix(1024).compactMap { entry in
            let fits = strings.withCString(at: entry.value) { $0.count <= 4096 }
            return fits == true ? strings.string(at: entry.value) : nil
        }
    }

    private func dynamicStrings(_ entries: [DynamicEntry]) -> ByteSlice? {
        guard let address = entries.first(where: { $0.tag == DynamicEntry.strings })?.value,
            let size = entries.first(where: { $0.tag == DynamicEntry.stringsSize })?.value,
            let offset = offset(ofAddress: address)
        else { return nil }
        return bytes.slice(at: offset, count: size)
    }
}
