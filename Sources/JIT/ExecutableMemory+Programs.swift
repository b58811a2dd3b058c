import BPF
import MachineCode

extension ExecutableMemory {
    /// Compiles a program for this process. `call` then runs it; its helpers see `state` as their sixth argument.
    package init(
        _ structure: ProgramStructure, compiler: (some ProgramCompiler).Type, state: UInt64 = 0,
        helperAddress: @escaping (UInt32) -> UInt64? = { _ in nil }
    ) throws {
        try self.init(byteCount: structure.codeSizeLimit) { address in
            let context = CompileContext(
                address: address, state: state, features: Architecture.processorFeatures,
                helperAddress: helperAddress)
            return try compiler.compile(structure, context: context).code
        }
    }
}

extension ProgramStructure {
    /// No compiler makes more bytes of code than this.
    package var codeSizeLimit: Int {
        instructions.count * 256 + subprograms.count * 128
    }
}
