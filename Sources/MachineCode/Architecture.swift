/// The architectures that processes can be traced on. Each module adds its part of one to its type, in files named for it:
/// assembler and registers here, compilers in JIT, trampolines and the reading of code in Trampoline, the calling convention
/// and the registers of stopped threads in LinuxProcess.
package enum X86_64 {}
package enum ARM64 {}

/// The one that this controller and its targets run on.
#if arch(x86_64)
package typealias Architecture = X86_64
#elseif arch(arm64)
package typealias Architecture = ARM64
#else
#error("fsession knows x86-64 and arm64; another architecture needs what these have, see CONTRIBUTING.md")
#endif
