import BTF
import ELF

/// The parts of an object file that reading maps and linking programs have in common.
struct ObjectInput {
    let file: ELFFile
    let symbols: SymbolTable
    let btf: BTF?
    let lineInfo: BTFExtension?
    let license: String

    var name: String { file.name }

    init(file: ELFFile) throws(ObjectError) {
        guard file.machine == .bpf else { throw .notBPF(name: file.name, found: "machine \(file.machine)") }
        guard file.kind == .relocatable else { throw .notBPF(name: file.name, found: "a linked file") }
        self.file = file
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
        btf = try Self.btf(file, symbols)
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
        do { return try file.relocations(for: section) } catch { throw .elf(error) }
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

    /// The object's types, with what the compiler left to a linker: where variables lie in their section, and
    /// the sections' sizes.
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
            var btf = try BTF(bytes: bytes)
            for section in file.sections where MapDefinition.DataSection(sectionName: section.name) != .none {
                if let id = btf.dataSection(named: section.name) {
                    btf.setSize(ofDataSection: id, to: UInt32(clamping: section.size))
                }
            }
            return btf
        } catch {
            throw .btf(name: file.name, error)
        }
    }
}
