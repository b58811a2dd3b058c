import BPF
import TestSupport
import Testing

/// Compiles C for BPF as a user would, with the headers of libbpf.
func compileBPF(_ source: String, _ options: [String] = ["-O2", "-g"]) throws -> [UInt8] {
    let text = """
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        #include <bpf/bpf_tracing.h>
        \(source)
        char _license[] SEC("license") = "GPL";
        """
    let folder = try Folder()
    _ = try Compiler.bpf(try folder.file("a.c", text), options, to: "\(folder.path)/a.o")
    return try folder.bytes("a.o")
}

/// What reading an object complains about.
func complaint(_ bytes: [UInt8]) -> String {
    do throws(ObjectError) {
        _ = try Object(bytes: bytes, name: "x.o")
        return "nothing"
    } catch {
        return error.description
    }
}

extension Object {
    func program(_ name: String) throws -> ObjectProgram {
        try #require(programs.first { $0.name == name })
    }

    func mapIndex(_ name: String) throws -> Int32 {
        Int32(try #require(maps.firstIndex { $0.name == name }))
    }

    func externIndex(_ name: String) throws -> Int32 {
        Int32(try #require(externs.firstIndex { $0.name == name }))
    }
}

extension ObjectProgram {
    /// The program's operations with their slots.
    var operations: [(slot: Int, operation: BPF.Operation)] {
        instructions.indices.compactMap { slot in
            let next = slot + 1 < instructions.count ? instructions[slot + 1] : nil
            return (try? instructions[slot].operation(followedBy: next)).map { (slot, $0) }
        }
    }

    /// The slots that calls of subprograms and callbacks lead to.
    var targets: Set<Int> {
        Set(
            operations.compactMap { slot, operation in
                switch operation {
                case .call(.subprogram(let distance)), .loadImmediate(.function, _, let distance, _): slot + 1 + Int(distance)
                default: nil
                }
            })
    }

    /// Wide loads of one kind, as pairs of their two immediates.
    func loads(_ kind: WideImmediate) -> [[Int32]] {
        operations.compactMap { _, operation in
            if case .loadImmediate(kind, _, let first, let second) = operation { [first, second] } else { nil }
        }
    }

    /// Indices of the extern functions that it calls.
    var externalCalls: [Int32] {
        operations.compactMap { if case .call(.external(let index)) = $0.operation { index } else { nil } }
    }
}
