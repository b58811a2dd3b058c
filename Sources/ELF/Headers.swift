/// What a file is for (`e_type`).
package enum FileKind: UInt16, Sendable {
    /// `ET_REL`: an object as the compiler makes it.
    case relocatable = 1
    /// `ET_EXEC`: a program at a fixed address.
    case executable = 2
    /// `ET_DYN`: a shared library, or a position-independent program.
    case shared = 3
    /// `ET_CORE`.
    case core = 4
}

/// The processor a file is for (`e_machine`).
package struct Machine: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static let none = Machine(rawValue: 0)
    package static let i386 = Machine(rawValue: 3)
    package static let arm = Machine(rawValue: 40)
    package static let x86_64 = Machine(rawValue: 62)
    package static let arm64 = Machine(rawValue: 183)
    package static let riscv = Machine(rawValue: 243)
    package static let bpf = Machine(rawValue: 247)

    package var description: String {
        switch self {
        case .none: "none"
        case .i386: "i386"
        case .arm: "ARM (32-bit)"
        case .x86_64: "x86-64"
        case .arm64: "arm64"
        case .riscv: "RISC-V"
        case .bpf: "BPF"
        default: "number \(rawValue)"
        }
    }
}

/// An entry of the section header table (`Elf64_Shdr`).
package struct Section: Sendable, Hashable {
    /// Place in the table; symbols name their section by it.
    package let index: Int
    package let name: String
    package let type: SectionType
    package let flags: SectionFlags
    /// Where it lies in memory, 0 if nowhere.
    package let address: UInt64
    /// Where it lies in the file.
    package let offset: UInt64
    package let size: UInt64
    /// Another section, e.g. the strings of a symbol table.
    package let link: UInt32
    /// E.g. the section that a relocation section is for.
    package let info: UInt32
    package let alignment: UInt64
    package let entrySize: UInt64
}

/// `sh_type`.
package struct SectionType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let null = SectionType(rawValue: 0)
    /// `SHT_PROGBITS`: code or data.
    package static let bits = SectionType(rawValue: 1)
    /// `SHT_SYMTAB`.
    package static let symbols = SectionType(rawValue: 2)
    /// `SHT_STRTAB`.
    package static let strings = SectionType(rawValue: 3)
    /// `SHT_RELA`: relocations with addends.
    package static let relocationsWithAddend = SectionType(rawValue: 4)
    /// `SHT_DYNAMIC`.
    package static let dynamic = SectionType(rawValue: 6)
    /// `SHT_NOTE`.
    package static let note = SectionType(rawValue: 7)
    /// `SHT_NOBITS`: zeroed memory that the file holds no bytes for.
    package static let noBits = SectionType(rawValue: 8)
    /// `SHT_REL`: relocations whose addend is in place.
    package static let relocations = SectionType(rawValue: 9)
    /// `SHT_DYNSYM`.
    package static let dynamicSymbols = SectionType(rawValue: 11)
    /// `SHT_SYMTAB_SHNDX`: section numbers that do not fit in a symbol.
    package static let symbolSectionIndices = SectionType(rawValue: 18)
}

/// `sh_flags`.
package struct SectionFlags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static let write = SectionFlags(rawValue: 1)
    package static let alloc = SectionFlags(rawValue: 2)
    package static let execute = SectionFlags(rawValue: 4)
    package static let compressed = SectionFlags(rawValue: 0x800)
}

/// An entry of the program header table (`Elf64_Phdr`).
package struct Segment: Sendable, Hashable {
    package let type: SegmentType
    package let flags: SegmentFlags
    package let offset: UInt64
    package let address: UInt64
    package let fileSize: UInt64
    package let memorySize: UInt64
    package let alignment: UInt64
}

/// `p_type`.
package struct SegmentType: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// `PT_LOAD`.
    package static let load = SegmentType(rawValue: 1)
    /// `PT_DYNAMIC`.
    package static let dynamic = SegmentType(rawValue: 2)
    /// `PT_INTERP`: the path of the dynamic linker.
    package static let interpreter = SegmentType(rawValue: 3)
    /// `PT_NOTE`.
    package static let note = SegmentType(rawValue: 4)
    /// `PT_TLS`.
    package static let threadLocal = SegmentType(rawValue: 7)
    /// `PT_GNU_EH_FRAME`.
    package static let unwindIndex = SegmentType(rawValue: 0x6474_e550)
}

/// `p_flags`.
package struct SegmentFlags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let execute = SegmentFlags(rawValue: 1)
    package static let write = SegmentFlags(rawValue: 2)
    package static let read = SegmentFlags(rawValue: 4)
}
