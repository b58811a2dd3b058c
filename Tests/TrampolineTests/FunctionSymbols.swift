import Foundation

#if arch(x86_64)
/// The function symbols of an ELF file, just enough to know where functions end.
struct FunctionSymbols {
    struct Function {
        var name: String
        var address: UInt64
        var size: Int
        var bytes: [UInt8]
        /// Up to the next symbol.
        var following: [UInt8]
    }
    var functions: [Function] = []
    var text: [UInt8] = []
    var textAddress: UInt64 = 0

    init?(path: String) {
        guard let data = FileManager.default.contents(atPath: path), data.count > 64 else { return nil }
        let file = [UInt8](data)
        func read<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            file.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
        }
        let headers = Int(read(40, UInt64.self))
        let count = Int(read(60, UInt16.self))
        struct Section { var type: UInt32; var flags, address: UInt64; var offset, size, link: Int }
        let sections = (0..<count).map { index in
            let base = headers + index * 64
            return Section(
                type: read(base + 4, UInt32.self), flags: read(base + 8, UInt64.self),
                address: read(base + 16, UInt64.self), offset: Int(read(base + 24, UInt64.self)),
                size: Int(read(base + 32, UInt64.self)), link: Int(read(base + 40, UInt32.self)))
        }
        let code = sections.filter { $0.flags & 4 != 0 && $0.type == 1 }
        if let text = code.max(by: { $0.size < $1.size }) {
            self.text = Array(file[text.offset..<text.offset + text.size])
            textAddress = text.address
        }
        var found: [UInt64: (name: String, size: Int)] = [:]
        for section in sections where section.type == 2 || section.type == 11 {
            let strings = sections[section.link]
            for index in 0..<section.size / 24 {
                let base = section.offset + index * 24
                guard [2, 10].contains(file[base + 4] & 0xF), read(base + 6, UInt16.self) != 0 else { continue }
                let start = strings.offset + Int(read(base, UInt32.self))
                let name = String(decoding: file[start...].prefix { $0 != 0 }, as: UTF8.self)
                let size = Int(read(base + 16, UInt64.self))
                let address = read(base + 8, UInt64.self)
                if size > 0, found[address].map({ $0.size < size }) ?? true { found[address] = (name, size) }
            }
        }
        let sorted = found.keys.sorted()
        for (index, address) in sorted.enumerated() {
            guard let (name, size) = found[address],
                let section = code.first(where: { address >= $0.address && address < $0.address + UInt64($0.size) })
            else { continue }
            let start = section.offset + Int(address - section.address)
            let sectionEnd = section.offset + section.size
            let end = min(start + size, sectionEnd)
            var next = index + 1 < sorted.count ? section.offset + Int(Int64(bitPattern: sorted[index + 1] &- section.address)) : sectionEnd
            next = max(end, min(next, sectionEnd, end + 32))
            functions.append(
                Function(
                    name: name, address: address, size: end - start, bytes: Array(file[start..<end]),
                    following: Array(file[end..<next])))
        }
    }

    subscript(name: String) -> Function? { functions.first { $0.name == name } }

    /// Of the test program itself.
    static let own = FunctionSymbols(path: "/proc/self/exe")
}
#endif
