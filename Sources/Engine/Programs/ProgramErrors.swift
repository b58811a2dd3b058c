import BPF

extension ProgramBuilder {
    /// The instructions of the program `name`.
    package func finish(_ name: String) throws(EngineError) -> [Instruction] {
        do throws(BuildError) { return try finish() } catch { throw .program(name: name, because: "\(error)") }
    }
}

extension ObjectProgram {
    /// The program with instructions replaced, by slot, and all that refers to them.
    package func with(_ replacements: [Int: [Instruction]]) throws(EngineError) -> ObjectProgram {
        do throws(ProgramPatcher.PatchError) {
            return try replacing(replacements)
        } catch {
            throw .program(name: name, because: "\(error)")
        }
    }
}
