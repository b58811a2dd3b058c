import ELF
import LinuxProcess

/// Addresses in a module's code that its file tells of, though not as functions: labels, parts that unwinders are told of, and
/// pointers in its data. Whatever they are for, execution may come there.
struct CodePointers: Sendable {
    private let file: ELFFile
    private let bias: UInt64
    private let labels: [UInt64]

    init(_ file: ELFFile, labels: [UInt64], bias: UInt64) {
        self.file = file
        self.labels = labels
        self.bias = bias
    }

    /// Calls `visit` for each, as it is in memory.
    func forEach(_ visit: (UInt64) -> Void) {
        for label in labels { visit(label &+ bias) }
        UnwindIndex(file)?.forEachStart { visit($0 &+ bias) }
        if let code = codeRange { forEachPointer(into: code) { visit($0 &+ bias) } }
    }

    /// A number in the module as it is in the file, before anything is relocated.
    func read(_ address: UInt64, _ count: Int) -> UInt64? {
        guard let offset = file.offset(ofAddress: address &- bias) else { return nil }
        // Tables of addresses are what code knows that is not moved.
        return count == 8 ? file.bytes.load(UInt64.self, at: offset) : file.bytes.load(UInt32.self, at: offset).map(UInt64.init)
    }

    private var codeRange: Range<UInt64>? {
        let code = file.segments.filter { $0.type == .load && $0.flags.contains(.execute) }
        guard let low = code.map(\.address).min(), let high = code.map({ $0.address &+ $0.memorySize }).max(), low < high else {
            return nil
        }
        return low..<high
    }

    private func forEachPointer(into code: Range<UInt64>, _ visit: (UInt64) -> Void) {
        for section in file.sections where section.type == .relocationsWithAddend && section.flags.contains(.alloc) {
            guard let table = try? file.contents(of: section) else { continue }
            table.withUnsafeBytes { bytes in
                for at in stride(from: 0, to: bytes.count - 23, by: 24) {
                    let type = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt32.self))
                    let addend = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at + 16, as: UInt64.self))
                    if type == Self.relative, code.contains(addend) { visit(addend) }
                }
            }
        }
        // Where nothing is relocated, or relocations are packed without what they add, any word of the data may be one.
        guard file.kind == .executable || file.sections.contains(where: { $0.type.rawValue == Self.packed }) else { return }
        for section in file.sections where section.flags.contains(.alloc) && !section.flags.contains(.execute) && section.type == .bits {
            guard let data = try? file.contents(of: section) else { continue }
            data.withUnsafeBytes { bytes in
                let first = Int(truncatingIfNeeded: (0 &- section.address) & 7)
                for start in stride(from: first, to: bytes.count - 7, by: Self.bytesAtOnce) {
                    for at in stride(from: start, to: min(bytes.count - 7, start + Self.bytesAtOnce), by: 8) {
                        let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                        if code.contains(word) { visit(word) }
                    }
                    file.dropPages()
                }
            }
        }
    }

    /// Data of a mapped file is in memory as long as it is looked at: some programs have as much of it as code.
    private static let bytesAtOnce = 4 << 20

    /// R_X86_64_RELATIVE
    private static let relative: UInt32 = 8
    /// SHT_RELR
    private static let packed: UInt32 = 19
}
