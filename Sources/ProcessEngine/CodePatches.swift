import LinuxProcess

/// Bytes of a stopped process's code to be replaced, at many places.
///
/// They are read, compared and written in windows: a hundred thousand entries lie close together, and each
/// request to the kernel costs as much as a window of code.
struct CodePatches: Sendable {
    struct Patch: Sendable {
        var address: UInt64
        var expected: [UInt8]
        var new: [UInt8]
    }

    /// By ascending address.
    let patches: [Patch]

    init(_ patches: [Patch]) { self.patches = patches.sorted { $0.address < $1.address } }

    /// Bytes between two patches that are rather read and written than skipped.
    private static let largestGap: UInt64 = 4096
    private static let largestWindow: UInt64 = 1 << 20

    /// Replaces what is as expected.
    /// - Returns: the addresses of the patches where something else stood, or nothing could be read.
    func apply(to memory: borrowing ProcessMemory) throws(ProcessError) -> Set<UInt64> {
        var refused: Set<UInt64> = []
        var first = 0
        while first < patches.count {
            var last = first
            while last + 1 < patches.count, belongs(last + 1, toWindowFrom: first, after: last) { last += 1 }
            try apply(patches[first...last], to: memory, &refused)
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
        _ window: ArraySlice<Patch>, to memory: borrowing ProcessMemory, _ refused: inout Set<UInt64>
    ) throws(ProcessError) {
        guard let first = window.first, let last = window.last else { return }
        let start = first.address
        let end = window.reduce(start) { max($0, $1.address &+ UInt64($1.expected.count)) }
        guard var bytes = try? memory.readBulk(at: start, count: Int(end - start)) else {
            // Some of it is not there any more: a library that has gone.
            if window.count == 1 {
                refused.insert(last.address)
            } else {
                for index in window.indices { try apply(window[index...index], to: memory, &refused) }
            }
            return
        }
        var changed: Range<Int>?
        for patch in window {
            let offset = Int(patch.address - start)
            let range = offset..<(offset + patch.expected.count)
            guard patch.new.count == patch.expected.count, bytes[range].elementsEqual(patch.expected) else {
                refused.insert(patch.address)
                continue
            }
            bytes.replaceSubrange(range, with: patch.new)
            changed = (changed?.lowerBound ?? range.lowerBound)..<range.upperBound
        }
        if let changed { try memory.write(Array(bytes[changed]), at: start + UInt64(changed.lowerBound)) }
    }
}
