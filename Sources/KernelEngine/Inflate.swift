/// Unpacks what gzip packed (RFC 1951 and 1952): the kernel's configuration comes that way.
struct Inflate {
    private let bytes: [UInt8]
    private var position: Int
    private var bits: UInt32 = 0
    private var bitCount = 0
    private var output: [UInt8] = []

    /// No configuration is larger; a damaged file must not fill the memory.
    private static let limit = 16 << 20

    private struct Damaged: Error {}

    /// The contents of a gzip file; nil if it is damaged.
    static func gzip(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count > 18, bytes[0] == 0x1f, bytes[1] == 0x8b, bytes[2] == 8 else { return nil }
        var start = 10
        let flags = bytes[3]
        if flags & 4 != 0 { start += 2 + Int(bytes[start]) + Int(bytes[start + 1]) << 8 }
        // The name and the comment end with a zero.
        for flag in [UInt8(8), 16] where flags & flag != 0 {
            guard start < bytes.count, let end = bytes[start...].firstIndex(of: 0) else { return nil }
            start = end + 1
        }
        if flags & 2 != 0 { start += 2 }
        guard start < bytes.count else { return nil }
        var inflate = Inflate(bytes, start)
        return try? inflate.run()
    }

    private init(_ bytes: [UInt8], _ position: Int) {
        self.bytes = bytes
        self.position = position
    }

    private mutating func take(_ count: Int) throws(Damaged) -> Int {
        while bitCount < count {
            guard position < bytes.count else { throw Damaged() }
            bits |= UInt32(bytes[position]) << UInt32(bitCount)
            position += 1
            bitCount += 8
        }
        let value = bits & (1 << UInt32(count) - 1)
        bits >>= UInt32(count)
        bitCount -= count
        return Int(value)
    }

    private mutating func run() throws(Damaged) -> [UInt8] {
        var isLast = false
        while !isLast {
            isLast = try take(1) == 1
            switch try take(2) {
            case 0: try stored()
            case 1: try packed(Self.fixedLengths, Self.fixedDistances)
            case 2:
                let (lengths, distances) = try tables()
                try packed(lengths, distances)
            default: throw Damaged()
            }
        }
        return output
    }

    private mutating func stored() throws(Damaged) {
        (bits, bitCount) = (0, 0)
        guard position + 4 <= bytes.count else { throw Damaged() }
        let count = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        position += 4
        guard position + count <= bytes.count, output.count + count <= Self.limit else { throw Damaged() }
        output += bytes[position..<position + count]
        position += count
    }

    /// A canonical Huffman code: how many codes there are of each length, and the symbols in the codes' order.
    private struct Code {
        var counts = [Int](repeating: 0, count: 16)
        var symbols: [Int] = []

        init(_ lengths: [Int]) {
            for length in lengths { counts[length] += 1 }
            counts[0] = 0
            for length in 1..<16 { symbols += lengths.indices.filter { lengths[$0] == length } }
        }
    }

    private static let fixedLengths = Code(
        Array(repeating: 8, count: 144) + Array(repeating: 9, count: 112) + Array(repeating: 7, count: 24)
            + Array(repeating: 8, count: 8))
    private static let fixedDistances = Code(Array(repeating: 5, count: 30))

    private mutating func symbol(_ code: Code) throws(Damaged) -> Int {
        var (value, first, index) = (0, 0, 0)
        for length in 1..<16 {
            value |= try take(1)
            let count = code.counts[length]
            if value - count < first { return code.symbols[index + value - first] }
            index += count
            first = (first + count) << 1
            value <<= 1
        }
        throw Damaged()
    }

    private static let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    private mutating func tables() throws(Damaged) -> (Code, Code) {
        let (lengthCount, distanceCount, codeCount) = (try take(5) + 257, try take(5) + 1, try take(4) + 4)
        var lengths = [Int](repeating: 0, count: 19)
        for place in Self.order.prefix(codeCount) { lengths[place] = try take(3) }
        let code = Code(lengths)
        var all: [Int] = []
        while all.count < lengthCount + distanceCount {
            switch try symbol(code) {
            case 16:
                guard let last = all.last else { throw Damaged() }
                all += Array(repeating: last, count: try take(2) + 3)
            case 17: all += Array(repeating: 0, count: try take(3) + 3)
            case 18: all += Array(repeating: 0, count: try take(7) + 11)
            case let length: all.append(length)
            }
        }
        guard all.count == lengthCount + distanceCount else { throw Damaged() }
        return (Code(Array(all[..<lengthCount])), Code(Array(all[lengthCount...])))
    }

    /// What a symbol from 257 on stands for: a length; the same for distances.
    private static let lengthBases = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
    ]
    private static let lengthBits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]

    private mutating func packed(_ lengths: Code, _ distances: Code) throws(Damaged) {
        while true {
            let symbol = try symbol(lengths)
            if symbol < 256 {
                guard output.count < Self.limit else { throw Damaged() }
                output.append(UInt8(symbol))
                continue
            }
            if symbol == 256 { return }
            guard symbol - 257 < Self.lengthBases.count else { throw Damaged() }
            let length = Self.lengthBases[symbol - 257] + (try take(Self.lengthBits[symbol - 257]))
            let place = try self.symbol(distances)
            guard place < 30 else { throw Damaged() }
            // Two distances for each number of bits, from the fifth on.
            let extra = max(0, place / 2 - 1)
            let base = place < 4 ? place + 1 : (2 + place % 2) << extra + 1
            let distance = base + (try take(extra))
            guard distance <= output.count, output.count + length <= Self.limit else { throw Damaged() }
            for _ in 0..<length { output.append(output[output.count - distance]) }
        }
    }
}
