import Engine
import LinuxProcess

extension Session.Call {
    private var context: ContextWords { linked.context }

    /// Whether the function's prototype is known, so that arguments and result are shown by their types.
    public var argumentsAreTyped: Bool { context.prototype != nil }

    /// The arguments as text: `name=value` where debug information names them, else the first three words.
    public var renderedArguments: [String] {
        guard let prototype = context.prototype else { return (0..<min(3, argumentCount)).map { Self.word(traced.arguments[$0]) } }
        return prototype.parameters.indices.map { index in
            let parameter = prototype.parameters[index]
            let value =
                if index < context.words.count {
                    text(of: context.words[index], type: parameter.type)
                } else {
                    "?"
                }
            return parameter.name.map { "\($0)=\(value)" } ?? value
        }
    }

    /// The return value as text; empty for a function that returns nothing, nil where the exit is not seen.
    public var renderedReturnValue: String? {
        guard let returnValue else { return nil }
        guard let prototype = context.prototype else { return Self.word(returnValue) }
        guard let type = prototype.returnType else { return "" }
        switch context.returnPlace {
        case .memory:
            // What is returned is where the caller wanted it.
            return "*0x\(String(returnValue, radix: 16))"
        case .registers(let places) where places.isX87:
            // Nobody reads the floating-point unit's own stack.
            return "…"
        case .registers(let places) where places.count > 1:
            return "{0x\(String(returnValue, radix: 16)), …}"
        default:
            return Self.text(returnValue, type)
        }
    }

    private func text(of place: (range: Range<Int>, isIndirect: Bool), type: ValueType) -> String {
        guard let first = place.range.first, first < argumentCount else { return "…" }
        if place.isIndirect { return "*0x\(String(traced.arguments[first], radix: 16))" }
        if place.range.count == 1 { return Self.text(traced.arguments[first], type) }
        let known = place.range.filter { $0 < argumentCount }.map { traced.arguments[$0] }
        if known.count == 2, place.range.count == 2, let number = Self.number(known[0], known[1], type) { return number }
        let words = known.map { "0x\(String($0, radix: 16))" }
        return "{\(words.joined(separator: ", "))\(words.count < place.range.count ? ", …" : "")}"
    }

    /// A number of two words, the low one first; nil for what is no number.
    private static func number(_ low: UInt64, _ high: UInt64, _ type: ValueType) -> String? {
        switch type.kind {
        case .signed where type.byteCount == 16: String(Int128(Int64(bitPattern: high)) << 64 | Int128(low))
        case .unsigned where type.byteCount == 16: String(UInt128(high) << 64 | UInt128(low))
        case .longDouble: "\(ExtendedFloat.value(significand: low, signAndExponent: UInt16(truncatingIfNeeded: high)))"
        default: nil
        }
    }

    private static func text(_ word: UInt64, _ type: ValueType) -> String {
        let bits = UInt64(max(1, min(type.byteCount, 8)) * 8)
        let value = bits == 64 ? word : word & (1 << bits - 1)
        switch type.kind {
        case .signed:
            return String(Int64(bitPattern: value << (64 - bits)) >> Int64(64 - bits))
        case .unsigned:
            return String(value)
        case .boolean:
            return value & 0xff == 0 ? "false" : "true"
        case .character:
            let byte = UInt8(truncatingIfNeeded: value)
            return (0x20..<0x7f).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : String(Int8(bitPattern: byte))
        case .float:
            return type.byteCount == 4
                ? "\(Float(bitPattern: UInt32(truncatingIfNeeded: value)))" : "\(Double(bitPattern: value))"
        case .enumeration(let names):
            let signed = Int64(bitPattern: value << (64 - bits)) >> Int64(64 - bits)
            return names.first { $0.value == signed || $0.value == Int64(bitPattern: value) }?.name ?? String(signed)
        case .pointer:
            return value == 0 ? "NULL" : "0x\(String(value, radix: 16))"
        default:
            return "0x\(String(value, radix: 16))"
        }
    }

    /// A word of unknown type: small numbers as such, all else as an address. A negative `int` fills only half
    /// of its register.
    private static func word(_ word: UInt64) -> String {
        let signed = Int64(bitPattern: word)
        if signed > -65_536, signed < 10_000_000 { return String(signed) }
        if word > 0xffff_0000, word <= 0xffff_ffff { return String(Int32(truncatingIfNeeded: word)) }
        return "0x\(String(word, radix: 16))"
    }
}

extension [CallLayout.ReturnLocation] {
    fileprivate var isX87: Bool {
        contains { place in
            if case .extended = place { true } else { false }
        }
    }
}

/// The 80-bit format: 64 bits with the leading 1, an exponent of 15, a sign.
enum ExtendedFloat {
    static func value(significand: UInt64, signAndExponent: UInt16) -> Double {
        let exponent = Int(signAndExponent & 0x7fff)
        let isNegative = signAndExponent & 0x8000 != 0
        if exponent == 0x7fff { return significand << 1 != 0 ? .nan : isNegative ? -.infinity : .infinity }
        let value = Double(sign: .plus, exponent: max(exponent, 1) - 16383 - 63, significand: Double(significand))
        return isNegative ? -value : value
    }
}
