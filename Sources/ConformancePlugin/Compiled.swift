import BPF
import JIT

/// Runs a program as machine code of this machine. The suite's program has two arguments, which the code takes as
/// a C function of two does.
func runCompiled(_ structure: ProgramStructure, context: UInt64, second: UInt64) throws -> UInt64 {
    #if arch(x86_64)
        typealias Compiler = X86_64Compiler
    #elseif arch(arm64)
        typealias Compiler = ARM64Compiler
    #endif
    #if arch(x86_64) || arch(arm64)
        let time: @convention(c) () -> UInt64 = monotonicNanoseconds
        let timeAddress = UInt64(UInt(bitPattern: unsafeBitCast(time, to: UnsafeRawPointer.self)))
        let code = try ExecutableMemory(structure, compiler: Compiler.self) { id in
            id == Helper.ktimeGetNs.rawValue ? timeAddress : nil
        }
        return code.call(context, second)
    #else
        throw PluginError("--jit: there is no compiler for this machine; use --interpret")
    #endif
}
