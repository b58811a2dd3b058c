extension ObjectProgram {
    /// The program with instructions replaced (slot → what comes in its place), and its subprograms and source
    /// lines where they are then.
    package func replacing(
        _ replacements: [Int: [Instruction]]
    ) throws(ProgramPatcher.PatchError) -> ObjectProgram {
        var patcher = ProgramPatcher(instructions)
        for (slot, slots) in replacements { patcher.replace(at: slot, with: slots) }
        let patched = try patcher.finish()
        var moved: [SourceLine] = []
        for var line in lines {
            line.slot = patched.position(of: line.slot)
            // Where an instruction was removed, what follows has the line that it had before.
            if moved.last?.slot == line.slot { moved.removeLast() }
            // A removed instruction at the very end leaves nothing for its line.
            if line.slot < patched.instructions.count { moved.append(line) }
        }
        return ObjectProgram(
            name: name, section: section, instructions: patched.instructions,
            subprograms: subprograms.map {
                Subprogram(
                    name: $0.name, start: patched.position(of: $0.start), isGlobal: $0.isGlobal, typeID: $0.typeID)
            },
            lines: moved, typeID: typeID,
            coreRelocations: coreRelocations.map {
                var relocation = $0
                relocation.slot = patched.position(of: relocation.slot)
                return relocation
            })
    }
}
