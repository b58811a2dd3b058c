import Foundation
import Synchronization
import Testing

/// arm64 code as clang's assembler writes it.
enum ARM64Text {
    /// The words of a text. What it refers to is written as a distance: `b .+8`, `adrp x0, #0x3000`.
    static func words(_ lines: String...) throws -> [UInt32] { try words(lines) }

    static func words(_ lines: [String]) throws -> [UInt32] {
        let bytes = try assemble(lines)
        return stride(from: 0, to: bytes.count, by: 4).map { offset in
            (0..<4).reversed().reduce(0) { $0 << 8 | UInt32(bytes[offset + $1]) }
        }
    }

    private static let known = Mutex<[[String]: [UInt8]]>([:])

    static func assemble(_ lines: [String]) throws -> [UInt8] {
        if let bytes = known.withLock({ $0[lines] }) { return bytes }
        let bytes = try assembleAnew(lines)
        known.withLock { $0[lines] = bytes }
        return bytes
    }

    private static func assembleAnew(_ lines: [String]) throws -> [UInt8] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-arm64-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = folder.appendingPathComponent("code.s")
        try Data((".arch armv9-a+tme+memtag\n" + lines.joined(separator: "\n") + "\n").utf8).write(to: source)
        let object = folder.appendingPathComponent("code.o").path
        let image = folder.appendingPathComponent("code").path
        try call("clang", "--target=aarch64-linux-gnu", "-c", "-o", object, source.path)
        try call("llvm-objcopy", "-O", "binary", "--only-section=.text", object, image)
        return [UInt8](try Data(contentsOf: URL(fileURLWithPath: image)))
    }

    /// Runs a program to its end.
    static func call(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(arguments.joined(separator: " ")): \(text.prefix(2000))")
    }

    static func bytes(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
    }
}
