import ELF

/// libgcc's unwinder within a program that is linked to it statically and has no symbols any more.
///
/// Its `_Unwind_Find_FDE` is the only function that calls `_dl_find_object` of the C library (since glibc 2.35 and
/// GCC 12), and what a program imports keeps its name.
package enum StaticUnwinder {
    package enum Answer: Sendable, Equatable {
        /// The file has none of this kind.
        case none
        /// The addresses of the file that `_Unwind_Find_FDE` takes.
        case found(Range<UInt64>)
        /// It has one, but not where it could be told.
        case unknown
    }

    package static func find(in file: ELFFile) -> Answer {
        guard file.machine.rawValue == 62, let symbols = try? file.dynamicSymbols else { return .none }
        let wanted = Set(symbols.indices.filter { !symbols[$0].isDefined && symbols.name(of: symbols[$0]) == "_dl_find_object" })
        guard !wanted.isEmpty else { return .none }
        var slots: Set<UInt64> = []
        for relocation in file.loadedRelocations where wanted.contains(relocation.symbol) {
            slots.insert(relocation.offset)
        }
        let sections = file.sections.filter { $0.type == .bits && $0.flags.contains(.execute) }
        // Twice the largest programs' code.
        guard sections.reduce(0, { $0 &+ min($1.size, 1 << 32) }) <= 1 << 29 else { return .unknown }
        let code = file.withoutOverlaps(sections).compactMap { section in
            (try? file.bytes(of: section)).map { (address: section.address, bytes: $0.bytes) }
        }
        var stubs: Set<UInt64> = []
        var calls: [UInt64] = []
        for section in code {
            section.bytes.withUnsafeBytes { bytes in
                // jmp *slot(%rip), call *slot(%rip)
                branches(bytes, section.address, opcode: 0xFF) { start, form, target in
                    guard slots.contains(target) else { return }
                    if form == 0x25 {
                        // What comes before it in a stub: endbr64, bnd.
                        stubs.formUnion([start, start &- 1, start &- 4, start &- 5])
                    } else if form == 0x15 {
                        calls.append(start)
                    }
                }
            }
        }
        for section in code where !stubs.isEmpty {
            section.bytes.withUnsafeBytes { bytes in
                branches(bytes, section.address, opcode: 0xE8) { start, _, target in
                    if stubs.contains(target) { calls.append(start) }
                }
            }
        }
        let index = UnwindIndex(file)
        let callers = Set(calls.map { index?.range(containing: $0) })
        guard callers.count == 1, let caller = callers.first, let caller else { return .unknown }
        return .found(caller)
    }

    /// Every place that may hold that opcode, for `FF` with the byte behind it, and what the distance that follows leads to.
    private static func branches(
        _ bytes: UnsafeRawBufferPointer, _ base: UInt64, opcode: UInt8, _ visit: (UInt64, UInt8, UInt64) -> Void
    ) {
        let length = opcode == 0xFF ? 6 : 5
        guard bytes.count >= length else { return }
        for offset in 0...bytes.count - length where bytes[offset] == opcode {
            let form = length == 6 ? bytes[offset + 1] : 0
            if length == 6, form != 0x25, form != 0x15 { continue }
            let distance = bytes.loadUnaligned(fromByteOffset: offset + length - 4, as: Int32.self).littleEndian
            let start = base &+ UInt64(offset)
            visit(start, form, start &+ UInt64(length) &+ UInt64(bitPattern: Int64(distance)))
        }
    }
}
