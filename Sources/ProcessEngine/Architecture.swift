import ELF
import Engine
import JIT
import Trampoline

/// The architecture that this controller and its targets run on.
#if arch(x86_64)
typealias Architecture = X86_64Trampoline
typealias Compiler = X86_64Compiler

extension X86_64Trampoline {
    static var machine: Machine { .x86_64 }

    /// Before anything is done to a process.
    static func checkSupported() throws(EngineError) {}
}
#elseif arch(arm64)
typealias Architecture = ARM64Trampoline
typealias Compiler = ARM64Compiler

extension ARM64Trampoline {
    static var machine: Machine { .arm64 }

    /// Before anything is done to a process.
    static func checkSupported() throws(EngineError) {
        throw .request("\(refusal); the kernel engine works (targets that begin with 'kernel:')")
    }
}
#else
#error("sessions in processes need a trampoline and a compiler for this architecture")
#endif
