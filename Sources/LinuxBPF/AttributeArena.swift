import Glibc

/// What the addresses in attributes are those of: it is there until the closure ends.
package struct AttributeArena {
    private var blocks: [UnsafeMutableRawPointer] = []

    private init() {}

    package static func with<Result>(_ body: (inout AttributeArena) -> Result) -> Result {
        var arena = AttributeArena()
        defer { for block in arena.blocks { free(block) } }
        return body(&arena)
    }

    /// Room for the kernel to write to, zeros at first; pages that it leaves alone cost nothing.
    package mutating func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
        guard let block = calloc(max(count, 1), 1) else { fatalError("there is no memory for \(count) bytes") }
        blocks.append(block)
        return UnsafeMutableRawBufferPointer(start: block, count: count)
    }

    /// The address of a copy; 0 where there is nothing.
    package mutating func address<Value: BitwiseCopyable>(of values: some Collection<Value>) -> UInt64 {
        guard !values.isEmpty else { return 0 }
        let room = room(values.count * MemoryLayout<Value>.stride)
        _ = room.initializeMemory(as: Value.self, from: values)
        return UInt64(room)
    }

    /// The address of a text with a zero behind it.
    package mutating func address(of text: String) -> UInt64 { address(of: Array(text.utf8) + [0]) }

    /// The address of an array of addresses of texts.
    package mutating func address(of texts: [String]) -> UInt64 {
        var starts: [Int] = []
        var bytes: [UInt8] = []
        for text in texts {
            starts.append(bytes.count)
            bytes += text.utf8
            bytes.append(0)
        }
        let base = address(of: bytes)
        return address(of: starts.map { base + UInt64($0) })
    }
}

extension UInt64 {
    /// An address as attributes hold it.
    package init(_ buffer: UnsafeMutableRawBufferPointer) { self = UInt64(UInt(bitPattern: buffer.baseAddress)) }
}

extension UnsafeMutableRawBufferPointer {
    /// The text that the kernel has put there.
    package var text: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}
