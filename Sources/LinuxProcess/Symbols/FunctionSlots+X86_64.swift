import ELF

/// The slots of a module that the dynamic linker fills with the addresses of functions, and the stubs that jump where a slot
/// says: what the PLT and the GOT lead to, by the relocations and not by what is there at the moment.
package struct FunctionSlots: Sendable {
    package enum Target: Sendable, Hashable {
        /// An address of the file; of an indirect function that of its resolver.
        case address(UInt64)
        /// Whatever the process has of that name.
        case name(String)
    }

    private let file: ELFFile
    /// The GOT and its parts.
    private var tables: [Range<UInt64>] = []
    /// The stubs' addresses, and the slots that they jump through.
    private var stubs: [UInt64: UInt64] = [:]
    private var targets: [UInt64: Target] = [:]
    /// Where slots may be: all of the module's data.
    package private(set) var data: Range<UInt64> = 0..<0

    package init(_ file: ELFFile) {
        self.file = file
        guard file.machine.rawValue == 62 else { return }
        for section in file.sections where section.flags.contains(.alloc) && !section.flags.contains(.execute) && section.size > 0 {
            let (end, overflow) = section.address.addingReportingOverflow(section.size)
            if overflow { continue }
            if section.name.hasPrefix(".got") { tables.append(section.address..<end) }
            data = data.isEmpty ? section.address..<end : min(data.lowerBound, section.address)..<max(data.upperBound, end)
        }
        for section in file.sections where section.isStubs { addStubs(section) }
    }

    private mutating func addStubs(_ section: Section) {
        guard section.type == .bits, let bytes = try? file.bytes(of: section), bytes.count >= 7 else { return }
        bytes.withUnsafeBytes { bytes in
            for offset in 0...bytes.count - 6 {
                // jmp *slot(%rip); where jumps through registers are avoided, mov slot(%rip), %r11.
                let isJump = bytes[offset] == 0xFF && bytes[offset + 1] == 0x25
                let isLoad = bytes[offset] == 0x4C && bytes[offset + 1] == 0x8B && bytes[offset + 2] == 0x1D
                guard isJump || isLoad, offset + (isJump ? 6 : 7) <= bytes.count else { continue }
                let place = offset + (isJump ? 2 : 3)
                let distance = bytes.loadUnaligned(fromByteOffset: place, as: Int32.self).littleEndian
                let slot = section.address &+ UInt64(place + 4) &+ UInt64(bitPattern: Int64(distance))
                let start = section.address &+ UInt64(offset)
                // What comes before it in a stub: endbr64, bnd.
                for stub in [start, start &- 1, start &- 4, start &- 5] where stub >= section.address && stubs[stub] == nil {
                    stubs[stub] = slot
                }
            }
        }
    }

    /// The slot that the stub at an address jumps through.
    package func slot(ofStub address: UInt64) -> UInt64? { stubs[address] }

    /// Whether an address is in the GOT.
    package func isInTable(_ address: UInt64) -> Bool { tables.contains { $0.contains(address) } }

    /// What these slots lead to.
    package mutating func find(_ slots: Set<UInt64>) {
        // R_X86_64_64, GLOB_DAT, JUMP_SLOT; RELATIVE, IRELATIVE
        let symbols = try? file.dynamicSymbols
        for section in file.sections where section.type == .relocationsWithAddend && section.flags.contains(.alloc) {
            _ = try? file.forEachRelocation(in: section) { relocation in
                guard slots.contains(relocation.offset) else { return }
                switch relocation.type {
                case 8, 37:
                    if let addend = relocation.addend { targets[relocation.offset] = .address(UInt64(bitPattern: addend)) }
                case 1, 6, 7:
                    guard relocation.addend ?? 0 == 0, let symbols, let symbol = symbols.symbol(at: relocation.symbol) else { return }
                    let name = symbols.name(of: symbol)
                    if !name.isEmpty { targets[relocation.offset] = .name(name) }
                default: break
                }
            }
        }
        // Without a relocation of its own, a slot has the address in the file.
        for slot in slots where targets[slot] == nil && isInTable(slot) {
            guard let offset = file.offset(ofAddress: slot), let value: UInt64 = file.bytes.load(at: offset), value != 0 else { continue }
            targets[slot] = .address(value)
        }
    }

    package func target(of slot: UInt64) -> Target? { targets[slot] }

    /// The names that slots lead to.
    package var names: Set<String> {
        Set(targets.values.compactMap { if case .name(let name) = $0 { name } else { nil } })
    }
}

extension Section {
    /// Whether it holds the PLT or a part of it.
    package var isStubs: Bool { flags.contains(.execute) && (name.hasPrefix(".plt") || name.hasPrefix(".iplt")) }
}
