import Foundation

extension [UInt8] {
    /// A copy with a few damaged bytes, integers set to awkward values, or the end cut off.
    package func mutated(using generator: inout SeededGenerator) -> [UInt8] {
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
package func residentMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }),
        let size = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
    else { throw Trouble("/proc/self/status tells no RssAnon") }
    return size * 1024
}
