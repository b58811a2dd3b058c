import BPF
import JIT

/// A small program in the kernel log's syntax and what RFC 9669 says that it returns. r1 holds the address of the
/// memory and r2 its length.
struct ConformanceCase: Sendable, CustomStringConvertible {
    let name: String
    let program: String
    var memory: [UInt8] = []
    let result: UInt64

    init(_ name: String, _ program: String, memory: [UInt8] = [], _ result: UInt64) {
        self.name = name
        self.program = program
        self.memory = memory
        self.result = result
    }

    var description: String { name }

    static let all = arithmetic + moves + byteOrder + memoryAccess + atomics + branches + control
}

/// What can run a case.
enum Engine: String, Sendable, CaseIterable {
    case interpreter
    #if arch(x86_64)
    case x86_64
    #endif

    /// r0 after the program ran on `memory`.
    func run(
        _ program: [Instruction], memory: UnsafeMutableRawBufferPointer, second: UInt64? = nil
    ) throws -> UInt64 {
        let region = MemoryRegion(memory)
        switch self {
        case .interpreter:
            return try Interpreter(program).run(
                context: region.address, second: second ?? UInt64(memory.count), memory: [region])
        #if arch(x86_64)
        case .x86_64:
            let code = try ExecutableMemory(ProgramStructure(program), compiler: X86_64Compiler.self)
            return code.call(region.address, second ?? UInt64(memory.count))
        #endif
        }
    }
}

/// Runs a case on a copy of its memory.
func runCase(_ conformanceCase: ConformanceCase, engine: Engine) throws -> UInt64 {
    let program = try Assembler.assemble(conformanceCase.program)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(8, conformanceCase.memory.count), alignment: 16)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    memory.copyBytes(from: conformanceCase.memory)
    return try engine.run(
        program, memory: UnsafeMutableRawBufferPointer(rebasing: memory[..<max(8, conformanceCase.memory.count)]),
        second: UInt64(conformanceCase.memory.count))
}
