/// What `.BTF.ext` says about the instructions of an object; offsets count bytes in the named section.
package struct BTFExtension: Sendable {
    /// `struct bpf_func_info`: a function starts here.
    package struct FunctionInfo: Hashable, Sendable {
        package let offset: UInt32
        /// The `FUNC` type.
        package let type: BTF.TypeID
    }

    /// `struct bpf_line_info`: from here on the instructions come from this line of the source.
    package struct LineInfo: Hashable, Sendable {
        package let offset: UInt32
        package let file: String
        /// The line itself.
        package let text: String
        package let line: UInt32
        package let column: UInt32
    }

    /// `struct bpf_core_relo`: the instruction here depends on the layout of a type.
    package struct CoreRelocation: Hashable, Sendable {
        package let offset: UInt32
        package let type: BTF.TypeID
        /// The path to the member, e.g. "0:1:2".
        package let access: String
        /// `enum bpf_core_relo_kind`.
        package let kind: UInt32
    }

    /// By the name of the section of code.
    package let functions: [String: [FunctionInfo]]
    package let lines: [String: [LineInfo]]
    package let coreRelocations: [String: [CoreRelocation]]

    /// Reads the contents of a `.BTF.ext` section, whose strings are those of `btf`.
    package init(bytes: [UInt8], btf: BTF) throws(BTFError) {
        let reader = ByteReader(bytes: bytes)
        guard let magic = reader.u16(0), let version = reader.u8(2), let headerSize = reader.u32(4) else {
            throw .truncated(what: "the header of .BTF.ext")
        }
        guard magic == 0xeb9f else { throw .notBTF }
        guard version == 1 else { throw .unsupported("version \(version) of .BTF.ext") }
        var strings = btf.strings
        var parser = Parser(reader: reader, headerSize: Int(headerSize))
        functions = try parser.records(at: 8, smallest: 8, &strings) { reader, at, _ throws(BTFError) in
            FunctionInfo(offset: reader.u32(at) ?? 0, type: BTF.TypeID(rawValue: reader.u32(at + 4) ?? 0))
        }
        lines = try parser.records(at: 16, smallest: 16, &strings) { reader, at, strings throws(BTFError) in
            let place = reader.u32(at + 12) ?? 0
            return LineInfo(
                offset: reader.u32(at) ?? 0, file: try strings.string(reader.u32(at + 4) ?? 0),
                text: try strings.string(reader.u32(at + 8) ?? 0), line: place >> 10, column: place & 0x3ff)
        }
        guard headerSize >= 32 else {
            coreRelocations = [:]
            return
        }
        coreRelocations = try parser.records(at: 24, smallest: 16, &strings) { reader, at, strings throws(BTFError) in
            CoreRelocation(
                offset: reader.u32(at) ?? 0, type: BTF.TypeID(rawValue: reader.u32(at + 4) ?? 0),
                access: try strings.string(reader.u32(at + 8) ?? 0), kind: reader.u32(at + 12) ?? 0)
        }
    }

    private struct Parser {
        let reader: ByteReader
        let headerSize: Int

        /// A part of `.BTF.ext`: the size of a record, then for each section its name, a count and the records.
        mutating func records<Record>(
            at field: Int, smallest: Int, _ strings: inout StringTable,
            _ decode: (ByteReader, Int, inout StringTable) throws(BTFError) -> Record
        ) throws(BTFError) -> [String: [Record]] {
            guard let offset = reader.u32(field), let length = reader.u32(field + 4) else {
                throw .truncated(what: "the header of .BTF.ext")
            }
            guard length != 0 else { return [:] }
            var at = headerSize + Int(offset)
            let end = at + Int(length)
            guard end <= reader.bytes.count, let size = reader.u32(at).map(Int.init) else {
                throw .truncated(what: "a part of .BTF.ext")
            }
            guard size >= smallest, size <= 4096 else { throw .malformed("records of \(size) bytes in .BTF.ext") }
            at += 4
            var sections: [String: [Record]] = [:]
            while at < end {
                guard at + 8 <= end, let name = reader.u32(at), let count = reader.u32(at + 4).map(Int.init) else {
                    throw .truncated(what: "a part of .BTF.ext")
                }
                at += 8
                guard count <= (end - at) / size else { throw .truncated(what: "the records of a section in .BTF.ext") }
                let section = try strings.string(name)
                var records: [Record] = []
                records.reserveCapacity(count)
                for _ in 0..<count {
                    records.append(try decode(reader, at, &strings))
                    at += size
                }
                sections[section, default: []] += records
            }
            return sections
        }
    }
}
