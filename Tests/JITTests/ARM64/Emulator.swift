import BPF
import Foundation
import JIT
import MachineCode
import Synchronization
import TestSupport
import Testing

/// Runs programs that are compiled for arm64, on any machine: under qemu-user, thousands at a time.
struct Emulator {
    /// Processors to run on.
    enum Processor: String, CaseIterable, CustomTestStringConvertible {
        /// The newest; code is in guarded pages there (BTI).
        case newest = "max,pauth-impdef=on"
        /// Armv8.0, without LSE.
        case old = "cortex-a72"

        var hasLSE: Bool { self == .newest }
        var testDescription: String { self == .newest ? "the newest processor" : "a Cortex-A72" }
    }

    /// A program and what it runs on.
    struct Run {
        var program: ProgramStructure
        var memory: [UInt8] = []
        /// r1 is the memory's address and so much more.
        var offset: UInt64 = 0
        var second: UInt64 = 0
        var state: UInt64 = 0
        /// Relative to the memory's address: `CompileContext.clock`.
        var clock: CompileContext.Clock?
    }

    struct Outcome: Equatable {
        var result: UInt64
        var memory: [UInt8]
    }

    /// Helpers of the runner's, by `BPF_FUNC_*`.
    private static let helpers: [UInt32: Int] = [
        Helper.mapLookupElem.rawValue: 0, Helper.loop.rawValue: 1, Helper.ktimeGetNs.rawValue: 2,
    ]

    private static let imageAddress: UInt64 = 0x50_0000_0000
    private static let headerSize = 64
    private static let runSize = 56
    private static let page = 1 << 16

    /// The runner, compiled once; why there is none.
    private static let runner: Result<String, EmulatorError> = {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("runner.c").path
        let path = temporaryFile("runner")
        guard Compiler.find("qemu-aarch64-static") != nil else {
            return .failure(EmulatorError("there is no qemu-aarch64-static; 'make arm64-packages' installs it"))
        }
        do {
            try call(
                "clang",
                [
                    "--target=aarch64-linux-gnu", "-ffreestanding", "-fno-builtin", "-nostdlib", "-static", "-fuse-ld=lld", "-O1",
                    "-o", path, source,
                ])
            return .success(path)
        } catch {
            return .failure(EmulatorError("\(error)"))
        }
    }()

    /// Whether there is one; said once where there is none.
    static let isAvailable: Bool = {
        if case .failure(let error) = runner {
            print("*** arm64 programs are not run: \(error)")
            return false
        }
        return true
    }()

    /// Room for programs' memory, where it is nobody else's in this process, so that addresses are the same in both.
    let room: UInt64
    let processor: Processor

    init(_ processor: Processor) {
        self.processor = processor
        room = 0x51_0000_0000 + UInt64(Self.rooms.add(1, ordering: .relaxed).oldValue) << 20
    }

    private static let rooms = Atomic<Int>(0)

    /// Compiles and runs. `slots`: for each run, where in its memory a number stands that becomes the address of that run's
    /// program (a small one, of one byte); run 0's is for who needs none.
    func run(_ runs: [Run], slots: [[Int]] = []) throws -> [Outcome] {
        let runner = try Self.runner.get()
        var memories: [Int] = []
        var size = Self.headerSize + Self.runSize * runs.count
        for run in runs {
            memories.append(size)
            size += (run.memory.count + 7) / 8 * 8
        }
        size = (size + Self.page - 1) / Self.page * Self.page
        var image = [UInt8](repeating: 0, count: size)
        // The helpers, as near to the programs as the runtime is.
        var thunks: [UInt32: UInt64] = [:]
        for (id, index) in Self.helpers.sorted(by: { $0.key < $1.key }) {
            var assembler = ARM64Assembler()
            assembler.bti(.calls)
            assembler.mov(.x16, immediate: Self.imageAddress + 32 + UInt64(index * 8))
            assembler.ldr(.x16, .at(.x16))
            assembler.br(.x16)
            thunks[id] = Self.imageAddress + UInt64(image.count)
            image += try assembler.finish(at: Self.imageAddress + UInt64(image.count))
        }
        var starts: [UInt64] = []
        for run in runs {
            let address = Self.imageAddress + UInt64(image.count)
            var clock = run.clock
            if let relative = clock {
                clock = .init(
                    parameters: relative.parameters + room, index: relative.index + room,
                    filtered: relative.filtered.map { $0 + room })
            }
            let context = CompileContext(
                address: address, state: run.state, features: processor.hasLSE ? .lse : [], clock: clock, helperAddress: { thunks[$0] })
            let compiled = try ARM64Compiler.compile(run.program, context: context)
            #expect(compiled.code.count <= run.program.codeSizeLimit)
            starts.append(address)
            image += compiled.code
        }
        func put(_ value: UInt64, at offset: Int) {
            for byte in 0..<8 { image[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
        }
        for (index, value) in [Self.imageAddress, UInt64(image.count), room, UInt64(runs.count)].enumerated() {
            put(value, at: index * 8)
        }
        for (index, run) in runs.enumerated() {
            let words = [starts[index], room + run.offset, run.second, UInt64(memories[index]), UInt64(run.memory.count)]
            for (place, word) in words.enumerated() { put(word, at: Self.headerSize + Self.runSize * index + 8 * place) }
            var memory = run.memory
            for slot in slots.isEmpty ? [] : slots[index] {
                let word = UInt64(memory[slot])
                for byte in 0..<8 {
                    memory[slot + byte] = UInt8(truncatingIfNeeded: starts[Int(word)] >> UInt64(byte * 8))
                }
            }
            image.replaceSubrange(memories[index]..<memories[index] + memory.count, with: memory)
        }
        let path = temporaryFile("image")
        defer { unlink(path) }
        try Data(image).write(to: URL(fileURLWithPath: path))
        // A program that does not end fails its test.
        try call("timeout", ["120", "qemu-aarch64-static", "-cpu", processor.rawValue, runner, path])
        let after = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        func word(_ offset: Int) -> UInt64 {
            (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(after[offset + $1]) }
        }
        // Where pages can be guarded, they are.
        #expect(word(56) == (processor == .newest ? 1 : 0))
        return runs.indices.map { index in
            let record = Self.headerSize + Self.runSize * index
            #expect(word(record + 48) == 0, "registers that a function must keep have changed")
            return Outcome(
                result: word(record + 40),
                memory: [UInt8](after[memories[index]..<memories[index] + runs[index].memory.count]))
        }
    }
}

struct EmulatorError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

private func temporaryFile(_ name: String) -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent("fsession-arm64-\(name)-\(UUID().uuidString)").path
}

/// Runs a program to its end.
private func call(_ program: String, _ arguments: [String]) throws {
    let result = try runBlocking([program] + arguments)
    guard result.status == 0 else { throw EmulatorError("\(program) ended with \(result.status): \(result.errors)") }
}
