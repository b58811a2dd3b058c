import BTF
import ELF

/// The parts of an object file that reading maps and linking programs have in common.
struct ObjectInput {
    let file: ELFFile
    let symbols: SymbolTable
    let btf: BTF?
    let lineInfo: BTFExtension?
    let license: String
    /// The `DATASEC` types by name.
    let dataSections: [String: BTF.TypeID]
    /// The relocation sections for each section.
    private let relocationSections: [Int: [Section]]

    var name: String { file.name }

    init(file: ELFFile) throws(ObjectError) {
        guard file.machine == .bpf else { throw .notBPF(name: file.name, found: "machine \(file.machine)") }
        guard file.kind == .relocatable else { throw .notBPF(name: file.name, found: "a linked file") }
        self.file = file
        try Self.refuseOverlaps(file)
        var relocationSections: [Int: [Section]] = [:]
        for section in file.sections where section.type == .relocations || section.type == .relocationsWithAddend {
            relocationSections[Int(section.info), default: []].append(section)
        }
        self.relocationSections = relocationSections
        do { symbols = try file.symbols } catch { throw .elf(error) }
        for section in file.sections {
            switch section.name {
            case "maps":
                throw .unsupported(
                    name: file.name,
                    what: "maps in the old section \"maps\"; define them for SEC(\".maps\") with __uint and __type")
            case ".struct_ops", ".struct_ops.link":
                throw .unsupported(name: file.name, what: "struct_ops is not supported")
            default: break
            }
        }
        var btf = try Self.btf(file, symbols)
        var dataSections: [String: BTF.TypeID] = [:]
        for (index, type) in (btf?.types ?? []).enumerated() {
            guard case .dataSection = type.kind, dataSections[type.name] == nil else { continue }
            dataSections[type.name] = BTF.TypeID(rawValue: UInt32(index))
        }
        // The compiler leaves the size to the loader, which knows the ELF section.
        for section in file.sections where MapDefinition.DataSection(sectionName: section.name) != .none {
            guard let id = dataSections[section.name] else { continue }
            btf?.setSize(ofDataSection: id, to: UInt32(clamping: section.size))
        }
        self.dataSections = dataSections
        self.btf = btf
        do {
            if let btf, let section = file.section(named: ".BTF.ext") {
                lineInfo = try BTFExtension(bytes: try Self.contents(file, section).bytes, btf: btf)
            } else {
                lineInfo = nil
            }
        } catch let error as BTFError {
            throw .btf(name: file.name, error)
        } catch let error as ObjectError {
            throw error
        } catch {
            throw .malformed(name: file.name, what: "\(error)")
        }
        if let section = file.section(named: "license") {
            let contents = try Self.contents(file, section)
            license = contents.string(at: 0) ?? String(decoding: contents.bytes, as: UTF8.self)
        } else {
            license = ""
        }
    }

    func contents(of section: Section) throws(ObjectError) -> ByteSlice {
        try Self.contents(file, section)
    }

    func relocations(for section: Section) throws(ObjectError) -> [Relocation] {
        var relocations: [Relocation] = []
        do {
            for section in relocationSections[section.index] ?? [] { relocations += try file.relocations(in: section) }
        } catch {
            throw .elf(error)
        }
        return relocations
    }

    /// The names of symbols can overlap in the string table; keeping many long ones must not fill the memory.
    func names(of symbols: some Sequence<Symbol>) throws(ObjectError) -> [String] {
        var budget = file.bytes.count * 2
        var names: [String] = []
        for symbol in symbols {
            names.append(self.symbols.name(of: symbol))
            budget -= names.last?.utf8.count ?? 0
            guard budget >= 0 else { throw .malformed(name: name, what: "the names of its symbols overlap") }
        }
        return names
    }

    /// No compiler lets sections overlap; in a hostile file each of thousands could be the whole file.
    private static func refuseOverlaps(_ file: ELFFile) throws(ObjectError) {
        var total: UInt64 = 0
        for section in file.sections where section.type != .noBits && section.type != .null {
            let (sum, overflow) = total.addingReportingOverflow(section.size)
            guard !overflow else { throw .malformed(name: file.name, what: "its sections are larger than the file") }
            total = sum
            // A section that reaches past the end has a message of its own.
            do { _ = try file.bytes(of: section) } catch { throw .elf(error) }
        }
        guard total <= UInt64(file.bytes.count) else {
            throw .malformed(name: file.name, what: "its sections are larger than the file")
        }
    }

    func symbol(of relocation: Relocation, in section: Section) throws(ObjectError) -> Symbol {
        guard let symbol = symbols.symbol(at: relocation.symbol) else {
            throw .malformed(name: name, what: "a relocation of \(section.name) names symbol \(relocation.symbol) of \(symbols.count)")
        }
        return symbol
    }

    private static func contents(_ file: ELFFile, _ section: Section) throws(ObjectError) -> ByteSlice {
        do { return try file.contents(of: section) } catch { throw .elf(error) }
    }

    /// The object's types, with what the compiler left to a linker: where variables lie in their section.
    private static func btf(_ file: ELFFile, _ symbols: SymbolTable) throws(ObjectError) -> BTF? {
        guard let section = file.section(named: ".BTF") else { return nil }
        var bytes = try contents(file, section).bytes
        let relocations: [Relocation]
        do { relocations = try file.relocations(for: section) } catch { throw .elf(error) }
        for relocation in relocations {
            guard let symbol = symbols.symbol(at: relocation.symbol), symbol.isDefined, bytes.count >= 4,
                relocation.offset <= UInt64(bytes.count - 4)
            else { continue }
            let at = Int(relocation.offset)
            var value: UInt32 = 0
            for byte in 0..<4 { value |= UInt32(bytes[at + byte]) << (8 * byte) }
            value &+= UInt32(truncatingIfNeeded: symbol.value)
            for byte in 0..<4 { bytes[at + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        do {
            return try BTF(bytes: bytes)
        } catch {
            throw .btf(name: file.name, error)
        }
    }
}
