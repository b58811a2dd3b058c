import Foundation
import Testing

/// Lays out code of arm64 and calls it under qemu-user, from a small program without a C library.
struct ARM64Caller {
    static let stackWords = 48

    struct Call {
        var code: UInt64
        /// How far below the end of a page the stack pointer is at the function's entry; a multiple of 16.
        var stackBelowPage: Int
        var words: [UInt64]
        /// x0…x15, d0…d7
        var x: [UInt64]
        var d: [UInt64]
    }

    struct Outcome {
        var x: [UInt64]
        var d: [UInt64]
        /// Not 0: what a function must keep has changed.
        var damage: UInt64
    }

    private static let address: UInt64 = 0x50_0000_0000
    private static let headerSize = 32
    private static let callSize = 99 * 8
    /// For the calls, then a stack; room for data; code.
    private static let stack = 1 << 16
    private static let stackSize = 1 << 14
    private static let data = stack + stackSize
    private static let code = 1 << 20

    private var bytes = [UInt8](repeating: 0, count: code)
    private var dataEnd = data

    /// Where the next code goes.
    var next: UInt64 { Self.address + UInt64(bytes.count) }

    /// Puts code somewhere.
    mutating func place(_ code: [UInt8], alignment: Int = 16) -> UInt64 {
        while bytes.count % alignment != 0 { bytes.append(0) }
        let address = next
        bytes += code
        while bytes.count % 16 != 0 { bytes.append(0) }
        return address
    }

    /// Memory that is 0.
    mutating func room(_ size: Int) -> UInt64 {
        defer { dataEnd += (size + 15) / 16 * 16 }
        precondition(dataEnd + size <= Self.code)
        return Self.address + UInt64(dataEnd)
    }

    mutating func write(_ new: [UInt8], at address: UInt64) {
        let offset = Int(address - Self.address)
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    private mutating func put(_ words: [UInt64], at offset: Int) {
        write(words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } }, at: Self.address + UInt64(offset))
    }

    func words(at address: UInt64, _ count: Int) -> [UInt64] {
        let offset = Int(address - Self.address)
        return (0..<count).map { word in
            (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(bytes[offset + 8 * word + $1]) }
        }
    }

    /// Makes the calls, one after the other; the memory is as they leave it.
    mutating func run(_ calls: [Call]) throws -> [Outcome] {
        let caller = try Self.caller.get()
        precondition(Self.headerSize + Self.callSize * calls.count <= Self.stack)
        while bytes.count % (1 << 16) != 0 { bytes.append(0) }
        put([Self.address, UInt64(bytes.count), UInt64(calls.count), 0], at: 0)
        for (index, call) in calls.enumerated() {
            let stack = Self.address + UInt64(Self.stack + Self.stackSize - 4096 - call.stackBelowPage)
            put(
                [call.code, stack] + call.words + call.x + call.d, at: Self.headerSize + Self.callSize * index)
        }
        let path = Self.temporaryFile("calls")
        defer { unlink(path) }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        // What does not end fails its test.
        try ARM64Text.call("timeout", "120", "qemu-aarch64-static", "-cpu", "max,pauth-impdef=on", caller, path)
        bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        #expect(words(at: Self.address + 24, 1) == [1], "pages are not guarded")
        return calls.indices.map { index in
            let all = words(at: Self.address + UInt64(Self.headerSize + Self.callSize * index), Self.callSize / 8)
            return Outcome(x: Array(all[74..<90]), d: Array(all[90..<98]), damage: all[98])
        }
    }

    /// The program that makes the calls, compiled once; why there is none.
    private static let caller: Result<String, any Error> = Result {
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("caller.c").path
        let path = temporaryFile("caller")
        try ARM64Text.call("qemu-aarch64-static", "--version")
        try ARM64Text.call(
            "clang", "--target=aarch64-linux-gnu", "-ffreestanding", "-fno-builtin", "-nostdlib", "-static", "-fuse-ld=lld", "-O1", "-o",
            path, source)
        return path
    }

    /// Whether there is one; said once where there is none.
    static let isAvailable: Bool = {
        if case .failure(let error) = caller {
            print("*** arm64 trampolines are not run: \(error); 'make arm64-packages' installs the emulator")
            return false
        }
        return true
    }()

    private static func temporaryFile(_ name: String) -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("fsession-arm64-\(name)-\(UUID().uuidString)").path
    }
}
