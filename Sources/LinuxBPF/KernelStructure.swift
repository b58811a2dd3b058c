/// A structure that the kernel reads or writes, as it is in memory. What is generated gives each member its place.
package protocol KernelStructure: Sendable {
    /// `sizeof` in the kernel that it was made from; others have more or less at the end.
    static var size: Int { get }
    /// So many of them.
    var bytes: [UInt8] { get set }
    /// All zeros.
    init()
}

extension KernelStructure {
    package init(_ fill: (inout Self) -> Void) {
        self.init()
        fill(&self)
    }

    /// What somebody else has filled, more of it or less.
    package init(bytes: [UInt8]) {
        self.init()
        self.bytes.replaceSubrange(0..<Swift.min(bytes.count, Self.size), with: bytes.prefix(Self.size))
    }

    /// How many bytes say something. Older kernels know less of a structure, and refuse what they do not know unless it is zero.
    package var usedSize: Int {
        let used = (bytes.lastIndex { $0 != 0 } ?? -1) + 1
        return Swift.min((used + 7) / 8 * 8, Self.size)
    }

    /// For the kernel to read and write: all of it, however much says something.
    package mutating func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeMutableBytes(body)
    }

    subscript<Value: FixedWidthInteger & BitwiseCopyable>(place: Int) -> Value {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: Value.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: place, as: Value.self) } }
    }

    /// Some bits of the 64 that a bit field is in.
    subscript(bits start: Int, count: Int) -> UInt64 {
        get { (self[start / 64 * 8] as UInt64) >> UInt64(start % 64) & ((1 << UInt64(count)) - 1) }
        set {
            let mask: UInt64 = ((1 << UInt64(count)) - 1) << UInt64(start % 64)
            let word: UInt64 = self[start / 64 * 8]
            self[start / 64 * 8] = word & ~mask | newValue << UInt64(start % 64) & mask
        }
    }

    /// A name as the kernel takes it: characters that it allows, and a zero behind them.
    subscript(name place: Int, room: Int) -> String {
        get { String(decoding: bytes[place..<place + room].prefix { $0 != 0 }, as: UTF8.self) }
        set {
            let characters = newValue.utf8.prefix(room - 1).map { byte -> UInt8 in
                let isAllowed = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 || byte == 46
                return isAllowed ? byte : 95
            }
            bytes.replaceSubrange(place..<place + room, with: characters + Array(repeating: 0, count: room - characters.count))
        }
    }
}

/// An enumeration of the kernel's, whose enumerators have their names in C without what all begin with.
package protocol KernelEnumeration: Sendable {
    static var prefix: String { get }
}

extension KernelEnumeration {
    /// The name in C: `BPF_TRACE_FSESSION`.
    package var constant: String {
        "\(self)".reduce(into: Self.prefix) { name, character in
            if character.isUppercase { name += "_" }
            name += character.uppercased()
        }
    }
}
