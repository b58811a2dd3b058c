import BPF
import JIT
import MachineCode

/// Runs a program as machine code of this machine. The suite's program has two arguments, which the code takes as
/// a C function of two does.
func runCompiled(_ structure: ProgramStructure, context: UInt64, second: UInt64) throws -> UInt64 {
    let time: @convention(c) () -> UInt64 = monotonicNanoseconds
    let timeAddress = UInt64(UInt(bitPattern: unsafeBitCast(time, to: UnsafeRawPointer.self)))
    let code = try ExecutableMemory(structure, compiler: Architecture.Compiler.self) { id in
        id == Helper.ktimeGetNs.rawValue ? timeAddress : nil
    }
    return code.call(context, second)
}
