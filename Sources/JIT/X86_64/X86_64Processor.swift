import MachineCode

extension X86_64 {
    package typealias Compiler = X86_64Compiler

    /// What the processor that this process runs on can do.
    package static var processorFeatures: ProcessorFeatures { X86_64Processor.hasBMI2 ? .bmi2 : [] }
}

extension ProcessorFeatures {
    /// BMI2: `shlx` and its kin.
    package static let bmi2 = ProcessorFeatures(rawValue: 1)
}

package enum X86_64Processor {
    /// BMI2, so `shlx` and its kin exist (leaf 7 of `cpuid`, bit 8 of ebx). A process on the same machine has it too.
    package static let hasBMI2: Bool = {
        #if arch(x86_64)
        var assembler = X86_64Assembler()
        let done = assembler.makeLabel()
        assembler.push(.rbx)
        assembler.alu(.xor, .rax, .rax, .dword)
        assembler.cpuid()
        assembler.alu(.cmp, .rax, immediate: 7, .dword)
        assembler.mov(.rax, immediate: 0, keepsFlags: true)
        assembler.jcc(.below, done, .short)
        assembler.mov(.rax, immediate: 7)
        assembler.alu(.xor, .rcx, .rcx, .dword)
        assembler.cpuid()
        assembler.mov(.rax, .rbx, .dword)
        assembler.bind(done)
        assembler.pop(.rbx)
        assembler.ret()
        guard let code = try? assembler.finish(at: 0), let memory = try? ExecutableMemory(code) else {
            return false
        }
        return memory.call() & 1 << 8 != 0
        #else
        return false
        #endif
    }()
}
