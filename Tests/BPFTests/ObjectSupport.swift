import BPF
import Foundation
import Testing

/// Compiles C for BPF as a user would, with the headers of libbpf.
func compileBPF(_ source: String, _ options: [String] = ["-O2", "-g"]) throws -> [UInt8] {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = """
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        #include <bpf/bpf_tracing.h>
        \(source)
        char license[] SEC("license") = "GPL";
        """
    try text.write(to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
        ["clang", "-target", "bpf", "-I/usr/include/\(multiarch)-linux-gnu"] + options + ["-c", "a.c", "-o", "a.o"]
    process.currentDirectoryURL = folder
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "clang could not compile the test's source")
    return try [UInt8](Data(contentsOf: folder.appendingPathComponent("a.o")))
}

private var multiarch: String {
    #if arch(arm64)
        "aarch64"
    #else
        "x86_64"
    #endif
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
        Set(operations.compactMap { slot, operation in
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
