import Foundation
import Testing

/// Runs a tool and gives its standard output; a failure is the test's failure.
func run(_ tool: String, _ arguments: String..., in folder: URL? = nil) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [tool] + arguments
    process.currentDirectoryURL = folder
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(tool) \(arguments.joined(separator: " "))")
    return String(decoding: data, as: UTF8.self)
}

/// A folder that goes away with the test.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

/// A generator that gives the same numbers in every run, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

extension [UInt8] {
    /// A copy with a few damaged bytes, integers set to awkward values, or the end cut off.
    func mutated(using generator: inout SeededGenerator) -> [UInt8] {
        var copy = self
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !copy.isEmpty {
            // Half of the damage goes where the headers are.
            let bound = Bool.random(using: &generator) ? copy.count : Swift.min(copy.count, 128)
            let at = Int.random(in: 0..<bound, using: &generator)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                copy[at] = UInt8.random(in: 0...255, using: &generator)
            case 4..<6:
                copy[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 6..<9:
                let value = ([0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000_0000_0000, .max] as [UInt64])
                    .randomElement(using: &generator)!
                let size = [1, 2, 4, 8].randomElement(using: &generator)!
                for byte in 0..<size where at + byte < copy.count {
                    copy[at + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
                }
            default:
                copy.removeLast(Int.random(in: 0..<copy.count, using: &generator))
            }
        }
        return copy
    }
}

/// Anonymous memory of this process, in bytes.
func residentMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
    return try #require(Int(line.split(separator: " ").dropFirst().first ?? "")) * 1024
}
