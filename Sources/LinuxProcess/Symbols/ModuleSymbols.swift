import ELF
import Glibc
import Search

/// The functions of an ELF file, from .symtab, .dynsym and a separate debug file.
package struct ModuleSymbols: Sendable {
    /// By ascending address, each address once.
    package internal(set) var functions: [FunctionSymbol]
    /// The separate file that has its debug information, if it has none itself.
    package let debugFile: ELFFile?
    /// Where that file is.
    package let debugPlace: DebugFile.Place?
    /// What was left out, and why: a line each.
    package let remarks: [String]
    /// Addresses in the code that have a symbol which is no function's: labels, data, parts of functions.
    package let labels: [UInt64]

    /// Reads the symbols of a module. What a damaged table holds is left out.
    package init(_ module: Module) {
        self.init(file: module.file, at: module.place)
    }

    /// Reads the symbols of a file that no process has loaded.
    package init(path: String) throws(ProcessError) {
        let file: ELFFile
        do { file = try ELFFile(path: path) } catch { throw .moduleFile(path: path, detail: "\(error)") }
        self.init(file: file, at: DebugFile.Place(path))
    }

    /// `place` is where debug files are looked for beside the file.
    package init(file: ELFFile, at place: DebugFile.Place?) {
        var reader = SymbolReader(file)
        var remarks: [String] = []
        func add(_ name: String, _ table: () throws(ELFError) -> SymbolTable) {
            do throws(ELFError) {
                reader.add(try table())
            } catch {
                remarks.append("\(name) is not used: \(error)")
            }
        }
        add("its dynamic symbol table") { () throws(ELFError) in try file.dynamicSymbols }
        let hasSymbols = file.sections.contains { $0.type == .symbols }
        if hasSymbols { add("its symbol table") { () throws(ELFError) in try file.symbols } }
        var debugFile: ELFFile?
        var debugPlace: DebugFile.Place?
        if !hasSymbols || !file.hasDebugInformation {
            switch DebugFile.find(for: file, at: place) {
            case .none: break
            case .unused(let reason): remarks.append(reason)
            case .found(let found, let foundPlace):
                debugPlace = foundPlace
                if !hasSymbols { add("the symbol table of its debug file") { () throws(ELFError) in try found.symbols } }
                debugFile = found
            }
        }
        if !hasSymbols, debugFile == nil, file.section(named: MiniDebugData.sectionName) != nil {
            do throws(MiniDebugData.Failure) {
                let found = try MiniDebugData.symbols(of: file)
                add("the symbol table in \(MiniDebugData.sectionName)") { () throws(ELFError) in try found.symbols }
            } catch {
                remarks.append("\(MiniDebugData.sectionName) is not used: \(error)")
            }
        }
        functions = reader.functions()
        if reader.leftOut > 0 { remarks.append("the names of \(reader.leftOut) symbols are left out: they overlap") }
        if file.isShortened || debugFile?.isShortened ?? false {
            remarks.append("it was shortened while it was read; functions may be missing")
        }
        self.debugFile = debugFile
        self.debugPlace = debugPlace
        self.remarks = remarks
        labels = reader.labels
    }

    /// The function that starts at an address of the file.
    package func function(at address: UInt64) -> FunctionSymbol? {
        let index = firstIndex(above: address) - 1
        return index >= 0 && functions[index].address == address ? functions[index] : nil
    }

    /// The functions that have exactly this name.
    package func functions(named name: String) -> [FunctionSymbol] {
        functions.indices.filter { functions[$0].name == name || !functions[$0].aliases.isEmpty && functions[$0].aliases.contains(name) }
            .map { functions[$0] }
    }

    /// The function whose code holds an address of the file.
    package func function(containing address: UInt64) -> FunctionSymbol? {
        let index = firstIndex(above: address) - 1
        guard index >= 0, address - functions[index].address < max(functions[index].size, 1) else { return nil }
        return functions[index]
    }

    private func firstIndex(above address: UInt64) -> Int {
        functions.partitioningIndex { $0.address > address }
    }
}

/// Collects symbols of several tables and joins those of one address.
struct SymbolReader {
    private struct Entry {
        var address: UInt64
        var size: UInt64
        /// Number in its table.
        var index: UInt32
        var table: UInt8
        var binding: FunctionSymbol.Binding
        var isIndirect: Bool
    }

    /// Executable sections without the PLT, by ascending address.
    private let code: [Range<UInt64>]
    private var tables: [SymbolTable] = []
    private var entries: [Entry] = []
    private(set) var labels: [UInt64] = []
    /// Bytes that names may still take.
    private var room = 0
    /// Symbols whose names did not fit.
    private(set) var leftOut = 0

    init(_ file: ELFFile) {
        let sorted = file.sections
            .filter { $0.flags.contains([.execute, .alloc]) && $0.size > 0 && !$0.name.hasPrefix(".plt") && $0.name != ".iplt" }
            .compactMap { section in
                let (end, overflow) = section.address.addingReportingOverflow(section.size)
                return overflow ? nil : section.address..<end
            }
            .sorted { $0.lowerBound < $1.lowerBound }
        // Apart from each other, as in every file that a linker made, so that each is found by halving.
        var apart: [Range<UInt64>] = []
        for section in sorted where section.upperBound > apart.last?.upperBound ?? 0 {
            apart.append(max(section.lowerBound, apart.last?.upperBound ?? 0)..<section.upperBound)
        }
        code = apart
    }

    private func section(at address: UInt64) -> Range<UInt64>? {
        let index = code.partitioningIndex { $0.upperBound > address }
        return index < code.count && code[index].contains(address) ? code[index] : nil
    }

    mutating func add(_ table: SymbolTable) {
        guard tables.count < 255 else { return }
        let number = UInt8(tables.count)
        tables.append(table)
        room += table.longestNames
        entries.reserveCapacity(entries.count + table.count)
        var section = 0..<UInt64(0)
        for index in table.indices {
            let symbol = table[index]
            guard symbol.isFunction, symbol.nameOffset != 0 else {
                if symbol.isDefined, symbol.type == .none || symbol.type == .object || symbol.isFunction,
                    symbol.sectionIndex != Symbol.absoluteSection, self.section(at: symbol.value) != nil
                {
                    labels.append(symbol.value)
                }
                continue
            }
            if !section.contains(symbol.value) {
                guard let own = self.section(at: symbol.value) else { continue }
                section = own
            }
            let binding: FunctionSymbol.Binding =
                symbol.binding == .local ? .local : symbol.binding == .weak ? .weak : .global
            entries.append(
                Entry(
                    address: symbol.value, size: min(symbol.size, section.upperBound - symbol.value),
                    index: UInt32(truncatingIfNeeded: index), table: number, binding: binding,
                    isIndirect: symbol.type == .indirectFunction))
        }
    }

    mutating func functions() -> [FunctionSymbol] {
        entries.sort { ($0.address, $1.binding.rawValue) < ($1.address, $0.binding.rawValue) }
        var functions: [FunctionSymbol] = []
        // Most are in two tables.
        functions.reserveCapacity(entries.indices.count { $0 == 0 || entries[$0].address != entries[$0 - 1].address })
        var section = 0..<UInt64(0)
        var index = 0
        while index < entries.count {
            let address = entries[index].address
            var end = index + 1
            while end < entries.count, entries[end].address == address { end += 1 }
            let group = entries[index..<end]
            index = end
            if !section.contains(address) { section = self.section(at: address) ?? 0..<0 }
            var size = group.lazy.map(\.size).max() ?? 0
            if size == 0 {
                let next = end < entries.count ? entries[end].address : .max
                size = max(min(next, section.upperBound), address) - address
            }
            var names: [(name: String, binding: FunctionSymbol.Binding)] = []
            // A few names are compared faster than they are hashed; of many that would take the square of their number.
            var seen: Set<String> = []
            for entry in group {
                guard let name = name(of: entry) else { continue }
                if group.count > 8 {
                    guard seen.insert(name).inserted else { continue }
                } else if names.contains(where: { $0.name == name }) {
                    continue
                }
                names.append((name, entry.binding))
            }
            if names.count > 1 { names.sort(by: Self.isBetter) }
            guard let first = names.first else {
                labels.append(address)
                continue
            }
            functions.append(
                FunctionSymbol(
                    address: address, size: size, kind: group.contains { $0.isIndirect } ? .indirect : .function,
                    binding: group.lazy.map(\.binding).max() ?? .local, name: first.name,
                    aliases: names.count > 1 ? names.dropFirst().map(\.name) : []))
        }
        return functions
    }

    /// nil for parts of functions, which are jumped to and never called. They still end what is before them.
    private mutating func name(of entry: Entry) -> String? {
        guard room > 0 else {
            leftOut += 1
            return nil
        }
        let table = tables[Int(entry.table)]
        return table.withName(of: table[Int(entry.index)]) { bytes -> String? in
            guard !bytes.isEmpty, bytes.count <= 1 << 16 else { return nil }
            room -= bytes.count
            var name = bytes
            // .symtab writes a version behind the name: memcpy@@GLIBC_2.14.
            if let start = bytes.baseAddress, let place = memchr(start, 0x40, bytes.count) {
                let at = start.distance(to: UnsafeRawPointer(place))
                if at > 0 { name = .init(rebasing: bytes[..<at]) }
            }
            return Self.isColdPart(name) ? nil : String(decoding: name, as: UTF8.self)
        } ?? nil
    }

    /// ".cold" and ".cold.N" at the end.
    static func isColdPart(_ name: UnsafeRawBufferPointer) -> Bool {
        var rest = name[...]
        while let last = rest.last, last >= UInt8(ascii: "0"), last <= UInt8(ascii: "9") { rest.removeLast() }
        if rest.count < name.count {
            guard rest.last == UInt8(ascii: ".") else { return false }
            rest.removeLast()
        }
        return rest.suffix(5).elementsEqual(".cold".utf8)
    }

    private static func isBetter(
        _ a: (name: String, binding: FunctionSymbol.Binding), _ b: (name: String, binding: FunctionSymbol.Binding)
    ) -> Bool {
        if a.binding != b.binding { return a.binding > b.binding }
        let aUnderscores = a.name.utf8.prefix { $0 == UInt8(ascii: "_") }.count
        let bUnderscores = b.name.utf8.prefix { $0 == UInt8(ascii: "_") }.count
        if aUnderscores != bUnderscores { return aUnderscores < bUnderscores }
        return (a.name.utf8.count, a.name) < (b.name.utf8.count, b.name)
    }
}
