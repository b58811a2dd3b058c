import BPF

func runCompiled(_ structure: ProgramStructure, context: UInt64, second: UInt64) throws(PluginError) -> UInt64 {
    throw PluginError("--jit: this build has no compiler for this machine")
}
func programOfELF(_ bytes: [UInt8]) throws(PluginError) -> [Instruction] {
    throw PluginError("--elf is not available in this build")
}
