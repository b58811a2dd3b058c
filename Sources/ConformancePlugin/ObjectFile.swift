import BPF
import ELF

/// The slots of an ELF object as the suite makes them: one executable section, its program at the start. References
/// to maps (relocations) are refused: there are no maps here.
func program(ofELF bytes: [UInt8]) throws -> [Instruction] {
    let file = try ELFFile(bytes: bytes, name: "the program")
    guard file.machine == .bpf else { throw PluginError("the ELF file is for \(file.machine), not for BPF") }
    guard let section = file.sections.first(where: { $0.flags.contains(.execute) && $0.size > 0 }) else {
        throw PluginError("the ELF file has no section with a program")
    }
    guard
        !file.sections.contains(where: {
            ($0.type == .relocations || $0.type == .relocationsWithAddend) && $0.info == UInt32(section.index)
        })
    else { throw PluginError("the program refers to maps or symbols, which the plugin does not have") }
    let contents = try file.contents(of: section)
    guard let instructions = Instruction.program(bytes: contents.bytes) else {
        throw PluginError("the program has \(section.size) bytes, which is not a multiple of 8")
    }
    return instructions
}
