import BTF
import ELF
import PlainText

/// A BPF object as clang makes it, linked: each program with the subprograms that it uses, and all references
/// to maps, variables and functions replaced by indices into the lists here.
package struct Object: Sendable {
    /// What the object is called in errors: its path.
    package let name: String
    package let programs: [ObjectProgram]
    /// The maps of `.maps`, then one for each section of variables.
    package internal(set) var maps: [MapDefinition]
    package let externs: [Extern]
    /// The contents of the section "license", e.g. "GPL".
    package let license: String
    package let btf: BTF?

    /// An object that is written in Swift rather than read from a file.
    package init(name: String, programs: [ObjectProgram], externs: [Extern], license: String) {
        self.name = name
        self.programs = programs
        self.externs = externs
        self.license = license
        maps = []
        btf = nil
    }

    /// Reads an object that is in memory already.
    package init(bytes: [UInt8], name: String = "the object") throws(ObjectError) {
        let file: ELFFile
        do { file = try ELFFile(bytes: bytes, name: name) } catch { throw .elf(error) }
        try self.init(file: file)
    }

    /// Reads an object file.
    package init(path: String) throws(ObjectError) {
        let file: ELFFile
        do { file = try ELFFile(path: path) } catch { throw .elf(error) }
        try self.init(file: file)
    }

    private init(file: ELFFile) throws(ObjectError) {
        let input = try ObjectInput(file: file)
        let maps = try MapReader(input: input).maps()
        var linker = try ObjectLinker(input: input, maps: maps)
        programs = try linker.programs()
        externs = linker.externs
        name = input.name
        license = input.license
        btf = input.btf
        self.maps = maps.definitions
        try checkNames()
    }

    /// Names stand in logs and listings, whose lines they must not break. The kernel takes none such either.
    private func checkNames() throws(ObjectError) {
        let names = programs.flatMap { [$0.name, $0.section.name] + $0.subprograms.map(\.name) } + maps.map(\.name) + externs.map(\.name)
        if let odd = names.first(where: { $0.unicodeScalars.contains(where: \.isObeyed) }) {
            throw .malformed(name: name, what: "the name '\(odd)' holds a control character")
        }
    }
}

/// A program of an object: what runs at one end, or both ends, of a function.
package struct ObjectProgram: Sendable {
    /// Name of its C function.
    package let name: String
    package let section: ProgramSection
    /// The program, then its subprograms. The source registers of wide loads and calls say what an immediate
    /// means: a map's index, an extern's index, a distance to a subprogram (`BPF_PSEUDO_*`).
    package let instructions: [Instruction]
    /// In ascending order; the program itself is not among them.
    package let subprograms: [Subprogram]
    /// In ascending order, at most one for a slot; a line goes up to the next one. Empty without `-g`.
    package let lines: [SourceLine]
    /// The type of the C function in the object's BTF.
    package let typeID: BTF.TypeID?
    /// Instructions that depend on the kernel's types.
    package let coreRelocations: [CORERelocation]

    /// The numbers of the maps that its instructions name, sections of global variables left out.
    package var mapIndices: Set<Int> {
        Set(
            instructions.filter { $0.opcode == .wideLoad && WideImmediate(rawValue: $0.source.rawValue) == .map }
                .map { Int($0.immediate) })
    }

    /// A program that is written in Swift rather than read from a file.
    package init(name: String, section: ProgramSection, instructions: [Instruction]) {
        self.init(
            name: name, section: section, instructions: instructions, subprograms: [], lines: [], typeID: nil)
    }

    package init(
        name: String, section: ProgramSection, instructions: [Instruction], subprograms: [Subprogram],
        lines: [SourceLine], typeID: BTF.TypeID?, coreRelocations: [CORERelocation] = []
    ) {
        self.name = name
        self.section = section
        self.instructions = instructions
        self.subprograms = subprograms
        self.lines = lines
        self.typeID = typeID
        self.coreRelocations = coreRelocations
    }

    /// A function that the program calls or passes on as a callback.
    package struct Subprogram: Hashable, Sendable {
        package let name: String
        /// Its first slot.
        package let start: Int
        /// Whether it can be seen outside its file: the kernel verifies such a function by itself.
        package let isGlobal: Bool
        package let typeID: BTF.TypeID?

        package init(name: String, start: Int, isGlobal: Bool, typeID: BTF.TypeID?) {
            self.name = name
            self.start = start
            self.isGlobal = isGlobal
            self.typeID = typeID
        }
    }
}

/// Where instructions come from (`struct bpf_line_info`).
package struct SourceLine: Hashable, Sendable {
    /// The first slot.
    package var slot: Int
    package let file: String
    package let line: Int
    package let column: Int
    /// The line itself.
    package let text: String

    package init(slot: Int, file: String, line: Int, column: Int, text: String) {
        self.slot = slot
        self.file = file
        self.line = line
        self.column = column
        self.text = text
    }
}

/// A variable or function that the program expects outside (`extern … __ksym`). A program may also take the
/// address of a function, to ask whether a weak one was found: a wide load then has the function's index.
package struct Extern: Hashable, Sendable {
    package let name: String
    package let isFunction: Bool
    /// A weak one that is not found has the address 0.
    package let isWeak: Bool
    /// The `FUNC` of a function, the type of a variable.
    package let typeID: BTF.TypeID?
    /// `__kconfig`: what the running kernel was configured with, or a fact about it.
    package let isConfiguration: Bool

    package init(name: String, isFunction: Bool, isWeak: Bool, typeID: BTF.TypeID?, isConfiguration: Bool = false) {
        self.name = name
        self.isFunction = isFunction
        self.isWeak = isWeak
        self.typeID = typeID
        self.isConfiguration = isConfiguration
    }
}
