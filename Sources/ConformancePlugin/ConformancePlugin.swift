import BPF
import Glibc
import JIT

/// `bpf-conformance-plugin [MEMORY] [--interpret | --jit] [--elf]`, the plugin protocol of the bpf_conformance
/// suite: memory in base 16 as an argument, the program in base 16 on standard input, r0 in base 16 on standard
/// output. The program gets the memory's address in r1 and its length in r2.
@main
struct ConformancePlugin {
    static func main() {
        do {
            let options = try Options(CommandLine.arguments.dropFirst())
            guard let input = bytes(base16: standardInput()) else {
                throw PluginError("standard input is not a program in base 16")
            }
            let instructions = try options.isELF ? programOfELF(input) : program(ofBytes: input)
            let result = try run(instructions, options)
            print(String(result, radix: 16))
        } catch {
            let line = Array("bpf-conformance-plugin: \(error)\n".utf8)
            _ = write(STDERR_FILENO, line, line.count)
            exit(1)
        }
    }

    struct Options {
        var memory: [UInt8] = []
        var usesJIT = false
        var isELF = false

        init(_ arguments: some Sequence<String>) throws(PluginError) {
            var hasMemory = false
            for argument in arguments {
                switch argument {
                case "--interpret": usesJIT = false
                case "--jit": usesJIT = true
                case "--elf": isELF = true
                default:
                    guard !argument.hasPrefix("--"), !hasMemory, let bytes = bytes(base16: argument.utf8) else {
                        throw PluginError("unexpected argument '\(argument)'; usage: [MEMORY] [--interpret | --jit] [--elf]")
                    }
                    memory = bytes
                    hasMemory = true
                }
            }
        }
    }

    private static func program(ofBytes bytes: [UInt8]) throws(PluginError) -> [Instruction] {
        guard let instructions = Instruction.program(bytes: bytes) else {
            throw PluginError("the program has \(bytes.count) bytes, which is not a multiple of 8")
        }
        return instructions
    }

    private static func run(_ instructions: [Instruction], _ options: Options) throws -> UInt64 {
        let structure = try ProgramStructure(instructions)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: options.memory.count, alignment: 16)
        defer { memory.deallocate() }
        memory.copyBytes(from: options.memory)
        let region = MemoryRegion(memory)
        let address = options.memory.isEmpty ? 0 : region.address
        if options.usesJIT {
            return try runCompiled(structure, context: address, second: UInt64(options.memory.count))
        }
        var interpreter = Interpreter(structure)
        interpreter.instructionLimit = 1_000_000_000
        return try interpreter.run(context: address, second: UInt64(options.memory.count), memory: [region]) {
            call throws(InterpreterError) in
            switch Helper(rawValue: call.id) {
            case .ktimeGetNs: monotonicNanoseconds()
            default: throw .unknownHelper(call.id)
            }
        }
    }

    private static func standardInput() -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }
}

struct PluginError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// `bpf_ktime_get_ns`
func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
