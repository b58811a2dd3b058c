/// What a variable is to be set to; its type says what becomes of it.
package enum BTFInput: Sendable {
    case integer(isNegative: Bool, magnitude: UInt128)
    case boolean(Bool)
    case nanoseconds(Int128)
    /// The name of an enumerator, or what an array of `char` holds.
    case text(String)
    /// The elements of an array.
    case list([BTFInput])
    /// As it lies in memory.
    case bytes([UInt8])
    /// As somebody wrote it on a command line: read as the type wants it.
    case written(String)
}

/// Why a value cannot be one of a type: the second half of a sentence.
package struct BTFInputError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }

    package static let damaged = BTFInputError("its type and its section do not agree on its size")
}

extension BTF {
    /// The bytes of a value of that type, which has a size that fits in memory.
    package func bytes(of input: BTFInput, as id: TypeID) throws(BTFInputError) -> [UInt8] {
        guard let resolved = resolve(id), let size = size(of: resolved).flatMap({ Int(exactly: $0) }) else {
            throw BTFInputError("its type has no size")
        }
        if case .bytes(let bytes) = input {
            guard bytes.count == size else { throw BTFInputError("it has \(size) bytes, not \(bytes.count)") }
            return bytes
        }
        switch self[resolved].kind {
        case .integer(let integer) where integer.isBoolean:
            return [try Self.boolean(input) ? 1 : 0] + [UInt8](repeating: 0, count: max(size, 1) - 1)
        case .integer(let integer) where (1...16).contains(size) && integer.bitOffset == 0 && Int(integer.bits) == size * 8:
            return try IntegerRange(size: size, isSigned: integer.isSigned).bytes(of: input)
        case .enumeration(_, let isSigned, let values) where (1...8).contains(size):
            return try enumerator(input, values, IntegerRange(size: size, isSigned: isSigned))
        case .array(let element, _, let count):
            return try array(input, of: element, count: Int(count))
        default:
            throw BTFInputError("only its bytes as a whole can be set: it is not a number, an enumerator, text or an array of those")
        }
    }

    private static func boolean(_ input: BTFInput) throws(BTFInputError) -> Bool {
        switch input {
        case .boolean(let value): return value
        case .integer(_, 0), .written("0"), .written("false"): return false
        case .integer(false, 1), .written("1"), .written("true"): return true
        default: throw BTFInputError("\(input) is neither true nor false")
        }
    }

    private func enumerator(
        _ input: BTFInput, _ values: [BTFEnumerator], _ range: IntegerRange
    ) throws(BTFInputError) -> [UInt8] {
        switch input {
        case .text(let name), .written(let name):
            if let value = values.first(where: { $0.name == name })?.value {
                return range.bytes(UInt128(truncatingIfNeeded: value))
            }
            if case .written = input, WrittenNumber.integer(name) != nil { break }
            let names = values.prefix(12).map(\.name).joined(separator: ", ")
            throw BTFInputError("there is no enumerator '\(name)'; there are \(names)\(values.count > 12 ? " and others" : "")")
        default: break
        }
        return try range.bytes(of: input)
    }

    private func array(_ input: BTFInput, of element: TypeID, count: Int) throws(BTFInputError) -> [UInt8] {
        var isText = false
        if let id = resolve(element), case .integer(let integer) = self[id].kind { isText = integer.isCharacter && integer.size == 1 }
        let elements: [BTFInput]
        switch input {
        case .text(let text) where isText, .written(let text) where isText:
            let bytes = Array(text.utf8)
            guard bytes.count < count, !bytes.contains(0) else {
                throw BTFInputError("it has room for \(max(count, 1) - 1) bytes and the NUL behind them, and the text has \(bytes.count)")
            }
            return bytes + [UInt8](repeating: 0, count: count - bytes.count)
        case .list(let list): elements = list
        case .written(let text):
            elements = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
                .written(String(part.drop { $0 == " " }))
            }
        default: throw BTFInputError("it is an array, and \(input) is not a list of elements")
        }
        guard elements.count == count else { throw BTFInputError("it has \(count) elements, not \(elements.count)") }
        var bytes: [UInt8] = []
        for value in elements { bytes += try self.bytes(of: value, as: element) }
        return bytes
    }
}

/// The numbers that an integer type holds.
private struct IntegerRange {
    let size: Int
    let isSigned: Bool

    private var most: UInt128 { UInt128.max >> UInt128(128 - size * 8 + (isSigned ? 1 : 0)) }

    func bytes(of input: BTFInput) throws(BTFInputError) -> [UInt8] {
        guard let (isNegative, magnitude) = try number(input), magnitude <= (isNegative ? (isSigned ? most + 1 : 0) : most) else {
            throw BTFInputError("\(input) is not a number from \(isSigned ? "-\(most + 1)" : "0") to \(most)")
        }
        return bytes(isNegative ? 0 &- magnitude : magnitude)
    }

    /// The lowest bytes, as many as the type has.
    func bytes(_ bits: UInt128) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: bits >> UInt128($0 * 8)) } }

    private func number(_ input: BTFInput) throws(BTFInputError) -> (isNegative: Bool, magnitude: UInt128)? {
        switch input {
        case .integer(let isNegative, let magnitude): return (isNegative, magnitude)
        case .nanoseconds(let nanoseconds):
            try checkDuration()
            return (nanoseconds < 0, nanoseconds.magnitude)
        case .written(let text):
            if let number = WrittenNumber.integer(text) { return number }
            guard let nanoseconds = WrittenNumber.nanoseconds(text) else { return nil }
            try checkDuration()
            return (false, nanoseconds)
        default: return nil
        }
    }

    /// What counts something else than nanoseconds is rarely so wide.
    private func checkDuration() throws(BTFInputError) {
        guard size == 8 else { throw BTFInputError("times are given to variables of 64 bits, which count nanoseconds; it has \(size * 8)") }
    }
}

/// Numbers as people write them.
private enum WrittenNumber {
    /// `42`, `-1`, `0xff`, `0b101`, `5_000_000`.
    static func integer(_ text: String) -> (isNegative: Bool, magnitude: UInt128)? {
        let isNegative = text.hasPrefix("-")
        let digits = text.dropFirst(isNegative ? 1 : 0).lowercased().filter { $0 != "_" }
        guard digits.first?.isNumber == true else { return nil }
        let radix = digits.hasPrefix("0x") ? 16 : digits.hasPrefix("0b") ? 2 : 10
        return UInt128(radix == 10 ? digits : String(digits.dropFirst(2)), radix: radix).map { (isNegative, $0) }
    }

    private static let units: [Substring: UInt128] = [
        "ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000,
    ]

    /// `5ms`, `1.5s`: no fraction of a nanosecond.
    static func nanoseconds(_ text: String) -> UInt128? {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let unit = units[text[number.endIndex...]], let whole = parts.first.flatMap({ UInt64($0) }) else { return nil }
        var nanoseconds = UInt128(whole) * unit
        if parts.count == 2 {
            guard parts[1].count <= 18, let digits = UInt64(parts[1]) else { return nil }
            let (quotient, rest) = (UInt128(digits) * unit).quotientAndRemainder(
                dividingBy: (0..<parts[1].count).reduce(1) { power, _ in power * 10 })
            guard rest == 0 else { return nil }
            nanoseconds += quotient
        }
        return nanoseconds
    }
}

extension BTFInput: CustomStringConvertible {
    /// As it stands in an error.
    package var description: String {
        switch self {
        case .integer(let isNegative, let magnitude): "\(isNegative && magnitude != 0 ? "-" : "")\(magnitude)"
        case .boolean(let value): "\(value)"
        case .nanoseconds(let nanoseconds): "\(nanoseconds) ns"
        case .text(let text), .written(let text): "'\(text)'"
        case .list(let list): "a list of \(list.count)"
        case .bytes(let bytes): "\(bytes.count) bytes"
        }
    }
}
