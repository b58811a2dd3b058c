import BPF
import JIT
import Testing

@Suite("every instruction, as RFC 9669 defines it")
struct InstructionTests {
    /// Runs a case on a copy of its memory and returns r0 and the memory.
    private func run(
        _ test: InstructionCase, _ body: (ProgramStructure, MemoryRegion) throws -> UInt64
    ) throws -> (UInt64, [UInt8]) {
        let structure = try ProgramStructure(try Assembler.assemble(test.program))
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(8, test.memory.count), alignment: 8)
        defer { memory.deallocate() }
        memory.copyBytes(from: test.memory)
        let used = UnsafeMutableRawBufferPointer(rebasing: memory[..<test.memory.count])
        let result = try body(structure, MemoryRegion(used))
        return (result, [UInt8](used))
    }

    @Test("the interpreter", arguments: InstructionCases.all)
    func interpreter(test: InstructionCase) throws {
        let (result, memory) = try run(test) { structure, region in
            try Interpreter(structure).run(
                context: region.address, second: UInt64(region.byteCount), memory: [region])
        }
        #expect(result == test.result)
        if let after = test.memoryAfter { #expect(memory == after) }
    }

    #if arch(x86_64)
    @Test("the JIT, with BMI2 and without", arguments: InstructionCases.all)
    func compiled(test: InstructionCase) throws {
        for hasBMI2 in X86_64Processor.hasBMI2 ? [false, true] : [false] {
            let (result, memory) = try run(test) { structure, region in
                let memory = try ExecutableMemory(byteCount: structure.codeSizeLimit) { address in
                    try X86_64Compiler.compile(
                        structure, context: CompileContext(address: address, features: hasBMI2 ? .bmi2 : [])
                    ).code
                }
                return memory.call(region.address, UInt64(region.byteCount))
            }
            #expect(result == test.result)
            if let after = test.memoryAfter { #expect(memory == after) }
        }
    }
    #endif
}
