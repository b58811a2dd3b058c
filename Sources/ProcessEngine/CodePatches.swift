import LinuxProcess
import Trampoline

/// Bytes of a stopped process's code to be replaced, at many places.
///
/// They are read, compared and written in windows: a hundred thousand entries lie close together, and each
/// request to the kernel costs as much as a window of code.
struct CodePatches: Sendable {
    struct Patch: Sendable {
        var address: UInt64
        /// What it is a patch of, for whom it is refused.
        var owner = 0
        var expected: ShortBytes
        var new: ShortBytes
    }

    /// A patch that was not made.
    struct Refusal {
        var patch: Patch
        /// What stood there; nil if it could not be read.
        var found: ShortBytes?
    }

    /// By ascending address.
    let patches: [Patch]

    init(_ patches: [Patch]) { self.patches = patches.sorted { $0.address < $1.address } }

    /// Bytes between two patches that are rather read and written than skipped.
    private static let largestGap: UInt64 = 4096
    private static let largestWindow: UInt64 = 1 << 20

    /// Replaces what is as expected.
    /// - Parameter accepts: whether what stands there, though it is not what was expected, is to be replaced all the same.
    /// - Returns: the patches where something else stood, or nothing could be read.
    func apply(
        to memory: borrowing ProcessMemory, accepts: (ShortBytes, Patch) -> Bool = { _, _ in false }
    ) throws(ProcessError) -> [Refusal] {
        var refused: [Refusal] = []
        var first = 0
        while first < patches.count {
            var last = first
            while last + 1 < patches.count, belongs(last + 1, toWindowFrom: first, after: last) { last += 1 }
            try apply(patches[first...last], to: memory, accepts, &refused)
            first = last + 1
        }
        return refused
    }

    private func belongs(_ next: Int, toWindowFrom first: Int, after last: Int) -> Bool {
        let end = patches[last].address &+ UInt64(patches[last].expected.count)
        return patches[next].address < end &+ Self.largestGap
            && patches[next].address < patches[first].address &+ Self.largestWindow
    }

    private func apply(
        _ window: ArraySlice<Patch>, to memory: borrowing ProcessMemory, _ accepts: (ShortBytes, Patch) -> Bool,
        _ refused: inout [Refusal]
    ) throws(ProcessError) {
        guard let first = window.first, let last = window.last else { return }
        let start = first.address
        let end = window.reduce(start) { max($0, $1.address &+ UInt64($1.expected.count)) }
        guard var bytes = try? memory.readBulk(at: start, count: Int(end - start)) else {
            // Some of it is not there any more: a library that has gone.
            if window.count == 1 {
                refused.append(.init(patch: last))
            } else {
                for index in window.indices { try apply(window[index...index], to: memory, accepts, &refused) }
            }
            return
        }
        var changed: Range<Int>?
        bytes.withUnsafeMutableBytes { bytes in
            for patch in window {
                let offset = Int(patch.address - start)
                let range = offset..<(offset + patch.expected.count)
                if !patch.expected.isEqual(to: bytes, at: offset) || patch.new.count != patch.expected.count {
                    let found = ShortBytes(bytes[range])
                    guard patch.new.count == patch.expected.count, accepts(found, patch) else {
                        refused.append(.init(patch: patch, found: found))
                        continue
                    }
                }
                patch.new.copy(to: bytes, at: offset)
                changed = (changed?.lowerBound ?? range.lowerBound)..<range.upperBound
            }
        }
        if let changed { try memory.write(Array(bytes[changed]), at: start + UInt64(changed.lowerBound)) }
    }
}
