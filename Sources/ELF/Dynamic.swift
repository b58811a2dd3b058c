/// An entry of the dynamic section (`Elf64_Dyn`).
package struct DynamicEntry: Hashable, Sendable {
    package let tag: UInt64
    package let value: UInt64

    /// `DT_NEEDED`: the name of a library that must be loaded.
    package static let needed: UInt64 = 1
    /// `DT_HASH`: address of the old hash table.
    package static let hash: UInt64 = 4
    /// `DT_STRTAB`: address of the strings.
    package static let strings: UInt64 = 5
    /// `DT_SYMTAB`: address of the symbols.
    package static let symbols: UInt64 = 6
    /// `DT_STRSZ`.
    package static let stringsSize: UInt64 = 10
    /// `DT_SONAME`: the library's name for itself.
    package static let soname: UInt64 = 14
    /// `DT_DEBUG`: in a running program, where the dynamic linker's list of libraries is.
    package static let debug: UInt64 = 21
    /// `DT_GNU_HASH`: address of the new hash table.
    package static let gnuHash: UInt64 = 0x6fff_fef5
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
        while entries.count < 1 << 16, let tag: UInt64 = table?.load(at: at), let value: UInt64 = table?.load(at: at + 8), tag != 0 {
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

    /// The symbols that the dynamic section points at, counted by its hash table.
    var loadedSymbols: SymbolTable? {
        let entries = dynamicEntries
        guard let table = rest(of: DynamicEntry.symbols, entries), let strings = dynamicStrings(entries),
            let count = symbolCount(entries), count <= SymbolTable.mostSymbols, let symbols = table.slice(at: 0, count: UInt64(count) * 24)
        else { return nil }
        return SymbolTable(table: symbols, strings: strings, extendedIndices: nil)
    }

    /// The file from the address on that an entry gives.
    private func rest(of tag: UInt64, _ entries: [DynamicEntry]) -> ByteSlice? {
        guard let address = entries.first(where: { $0.tag == tag })?.value, let offset = offset(ofAddress: address),
            offset <= UInt64(bytes.count)
        else { return nil }
        return bytes.slice(at: offset, count: UInt64(bytes.count) - offset)
    }

    private func symbolCount(_ entries: [DynamicEntry]) -> UInt32? {
        if let table = rest(of: DynamicEntry.hash, entries) { return table.load(at: 4) }
        // The new table tells where the chain of each bucket starts; the last symbol ends the highest chain.
        guard let table = rest(of: DynamicEntry.gnuHash, entries), let buckets: UInt32 = table.load(at: 0),
            let first: UInt32 = table.load(at: 4), let filterWords: UInt32 = table.load(at: 8),
            buckets <= SymbolTable.mostSymbols,
            table.slice(at: 0, count: 16 + UInt64(filterWords) * 8 + UInt64(buckets) * 4) != nil
        else { return nil }
        let start = 16 + UInt64(filterWords) * 8
        var last: UInt32 = 0
        for bucket in 0..<UInt64(buckets) { last = max(last, table.load(at: start + bucket * 4) ?? 0) }
        guard last >= first else { return first }
        let chains = start + UInt64(buckets) * 4
        while let hash: UInt32 = table.load(at: chains + UInt64(last - first) * 4), last <= SymbolTable.mostSymbols {
            last += 1
            if hash & 1 == 1 { return last }
        }
        return nil
    }
}
