/// Rust's mangling since RFC 2603 ("_R…"). Paths, generic arguments, types and constants; hashes of crates are
/// left out. Depth and length are limited, so that back references in hostile names end.
struct RustV0 {
    private let bytes: [UInt8]
    private var position = 0
    private var output: [UInt8] = []
    private var depth = 0
    private var boundLifetimes = 0
    /// Of back references: each costs work without moving on in the name.
    private var steps = 0

    private static let deepest = 200
    private static let longest = 1 << 14
    private static let mostSteps = 1 << 16

    private struct Malformed: Error {}

    static func demangle(_ name: String) -> String? {
        var bytes = Array(name.utf8)
        bytes.removeFirst(name.hasPrefix("__R") ? 3 : 2)
        // ".llvm.123" and other suffixes of the compiler.
        if let dot = bytes.firstIndex(of: UInt8(ascii: ".")) { bytes = Array(bytes[..<dot]) }
        guard let first = bytes.first, first >= UInt8(ascii: "A"), first <= UInt8(ascii: "Z"),
            bytes.allSatisfy({ $0 < 0x80 })
        else { return nil }
        var parser = RustV0(bytes: bytes)
        do {
            try parser.path(inValue: true)
            // The crate in which a generic function was instantiated.
            if parser.position < bytes.count {
                let end = parser.output.count
                try parser.path(inValue: false)
                parser.output.removeSubrange(end...)
            }
        } catch { return nil }
        guard parser.position == bytes.count else { return nil }
        return String(decoding: parser.output, as: UTF8.self)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Reading

    private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func next() throws -> UInt8 {
        guard position < bytes.count else { throw Malformed() }
        position += 1
        return bytes[position - 1]
    }

    private mutating func take(_ character: Character) -> Bool {
        guard let byte = peek(), byte == character.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func write(_ text: String) throws {
        guard output.count + text.utf8.count <= Self.longest else { throw Malformed() }
        output += text.utf8
    }

    private mutating func enter() throws {
        depth += 1
        steps += 1
        guard depth <= Self.deepest, steps <= Self.mostSteps else { throw Malformed() }
    }

    /// Digits and letters up to "_": "_" is 0, "0_" is 1.
    private mutating func base62() throws -> UInt64 {
        if take("_") { return 0 }
        var value: UInt64 = 0
        while true {
            let byte = try next()
            let digit: UInt64
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt64(byte - UInt8(ascii: "a")) + 10
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = UInt64(byte - UInt8(ascii: "A")) + 36
            case UInt8(ascii: "_"):
                guard value < .max else { throw Malformed() }
                return value + 1
            default: throw Malformed()
            }
            let (product, overflow) = value.multipliedReportingOverflow(by: 62)
            let (sum, carry) = product.addingReportingOverflow(digit)
            guard !overflow, !carry else { throw Malformed() }
            value = sum
        }
    }

    /// A number behind a tag: 0 without the tag.
    private mutating func optional(_ tag: Character) throws -> UInt64 {
        guard take(tag) else { return 0 }
        let value = try base62()
        guard value < .max else { throw Malformed() }
        return value + 1
    }

    private mutating func backReference(_ body: (inout RustV0) throws -> Void) throws {
        let tag = position - 1
        let target = try base62()
        guard target < UInt64(tag) else { throw Malformed() }
        try enter()
        let back = position
        position = Int(target)
        try body(&self)
        position = back
        depth -= 1
    }

    private mutating func identifier() throws -> (disambiguator: UInt64, name: String) {
        let disambiguator = try optional("s")
        return (disambiguator, try undisambiguated())
    }

    private mutating func undisambiguated() throws -> String {
        let isPunycode = take("u")
        var length = 0
        guard let first = peek(), first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") else { throw Malformed() }
        if first == UInt8(ascii: "0") {
            position += 1
        } else {
            while let digit = peek(), digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") {
                length = length * 10 + Int(digit - UInt8(ascii: "0"))
                guard length <= bytes.count else { throw Malformed() }
                position += 1
            }
        }
        _ = take("_")
        guard length <= bytes.count - position else { throw Malformed() }
        let name = bytes[position..<position + length]
        position += length
        if isPunycode {
            guard let text = Punycode.decode(name) else { throw Malformed() }
            return text
        }
        return String(decoding: name, as: UTF8.self)
    }

    // MARK: Paths

    private mutating func path(inValue: Bool) throws {
        try enter()
        defer { depth -= 1 }
        switch try next() {
        case UInt8(ascii: "C"): try write(try identifier().name)
        case UInt8(ascii: "M"):
            try implementationPath()
            try write("<")
            try type()
            try write(">")
        case UInt8(ascii: "X"):
            try implementationPath()
            try typeAsTrait()
        case UInt8(ascii: "Y"): try typeAsTrait()
        case UInt8(ascii: "N"):
            let space = try next()
            try path(inValue: inValue)
            let (disambiguator, name) = try identifier()
            switch space {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                let kind =
                    space == UInt8(ascii: "C")
                    ? "closure"
                    : space == UInt8(ascii: "S")
                        ? "shim"
                        : String(UnicodeScalar(space))
                try write("::{\(kind)\(name.isEmpty ? "" : ":" + name)#\(disambiguator)}")
            case UInt8(ascii: "a")...UInt8(ascii: "z"):
                if !name.isEmpty { try write("::" + name) }
            default: throw Malformed()
            }
        case UInt8(ascii: "I"):
            try path(inValue: inValue)
            // A type's generic arguments follow it directly, a function's behind "::".
            try write(inValue ? "::<" : "<")
            try list { try $0.genericArgument() }
            try write(">")
        case UInt8(ascii: "B"): try backReference { try $0.path(inValue: inValue) }
        default: throw Malformed()
        }
    }

    /// Where an impl stands: it is not part of the name.
    private mutating func implementationPath() throws {
        _ = try optional("s")
        let end = output.count
        try path(inValue: false)
        output.removeSubrange(end...)
    }

    private mutating func typeAsTrait() throws {
        try write("<")
        try type()
        try write(" as ")
        try path(inValue: false)
        try write(">")
    }

    /// Elements up to "E", with commas between them; returns their number.
    @discardableResult
    private mutating func list(_ element: (inout RustV0) throws -> Void) throws -> Int {
        var count = 0
        while !take("E") {
            if count > 0 { try write(", ") }
            try element(&self)
            count += 1
        }
        return count
    }

    private mutating func genericArgument() throws {
        if take("L") {
            try lifetime(try base62())
        } else if take("K") {
            try constant()
        } else {
            try type()
        }
    }

    private mutating func lifetime(_ index: UInt64) throws {
        if index == 0 { return try write("'_") }
        guard index <= UInt64(boundLifetimes) else { throw Malformed() }
        let number = boundLifetimes - Int(index)
        try write(number < 26 ? "'" + String(UnicodeScalar(UInt8(ascii: "a") + UInt8(number))) : "'_\(number)")
    }

    /// "for<'a> " before a function pointer or dyn type; the lifetimes end with `body`.
    private mutating func binder(_ body: (inout RustV0) throws -> Void) throws {
        let count = try optional("G")
        guard count <= 64 else { throw Malformed() }
        let before = boundLifetimes
        if count > 0 {
            try write("for<")
            for index in 0..<count {
                if index > 0 { try write(", ") }
                boundLifetimes += 1
                try lifetime(1)
            }
            try write("> ")
        }
        try body(&self)
        boundLifetimes = before
    }

    // MARK: Types

    private static let basicTypes: [UInt8: String] = [
        UInt8(ascii: "a"): "i8", UInt8(ascii: "b"): "bool", UInt8(ascii: "c"): "char", UInt8(ascii: "d"): "f64",
        UInt8(ascii: "e"): "str", UInt8(ascii: "f"): "f32", UInt8(ascii: "h"): "u8", UInt8(ascii: "i"): "isize",
        UInt8(ascii: "j"): "usize", UInt8(ascii: "l"): "i32", UInt8(ascii: "m"): "u32", UInt8(ascii: "n"): "i128",
        UInt8(ascii: "o"): "u128", UInt8(ascii: "p"): "_", UInt8(ascii: "s"): "i16", UInt8(ascii: "t"): "u16",
        UInt8(ascii: "u"): "()", UInt8(ascii: "v"): "...", UInt8(ascii: "x"): "i64", UInt8(ascii: "y"): "u64",
        UInt8(ascii: "z"): "!",
    ]

    private mutating func type() throws {
        try enter()
        defer { depth -= 1 }
        let tag = try next()
        if let name = Self.basicTypes[tag] { return try write(name) }
        switch tag {
        case UInt8(ascii: "A"):
            try write("[")
            try type()
            try write("; ")
            try constant()
            try write("]")
        case UInt8(ascii: "S"):
            try write("[")
            try type()
            try write("]")
        case UInt8(ascii: "T"):
            try write("(")
            if try list({ try $0.type() }) == 1 { try write(",") }
            try write(")")
        case UInt8(ascii: "R"), UInt8(ascii: "Q"):
            try write("&")
            if take("L") {
                let index = try base62()
                if index != 0 {
                    try lifetime(index)
                    try write(" ")
                }
            }
            if tag == UInt8(ascii: "Q") { try write("mut ") }
            try type()
        case UInt8(ascii: "P"):
            try write("*const ")
            try type()
        case UInt8(ascii: "O"):
            try write("*mut ")
            try type()
        case UInt8(ascii: "F"): try binder { try $0.functionType() }
        case UInt8(ascii: "D"):
            try write("dyn ")
            try binder { try $0.dynamicBounds() }
            guard take("L") else { throw Malformed() }
            let index = try base62()
            if index != 0 {
                try write(" + ")
                try lifetime(index)
            }
        case UInt8(ascii: "B"): try backReference { try $0.type() }
        default:
            position -= 1
            try path(inValue: false)
        }
    }

    private mutating func functionType() throws {
        if take("U") { try write("unsafe ") }
        if take("K") {
            let abi = take("C") ? "C" : try undisambiguated().split(separator: "_", omittingEmptySubsequences: false).joined(separator: "-")
            try write("extern \"\(abi)\" ")
        }
        try write("fn(")
        try list { try $0.type() }
        try write(")")
        if take("u") { return }
        try write(" -> ")
        try type()
    }

    private mutating func dynamicBounds() throws {
        var isFirst = true
        while !take("E") {
            if !isFirst { try write(" + ") }
            isFirst = false
            try dynamicTrait()
        }
    }

    /// A trait whose generic arguments are still open, for the associated types that follow.
    private mutating func dynamicTrait() throws {
        var isOpen = try openPath()
        while take("p") {
            try write(isOpen ? ", " : "<")
            isOpen = true
            try write(try undisambiguated() + " = ")
            try type()
        }
        if isOpen { try write(">") }
    }

    private mutating func openPath() throws -> Bool {
        try enter()
        defer { depth -= 1 }
        if take("B") {
            var isOpen = false
            try backReference { isOpen = try $0.openPath() }
            return isOpen
        }
        if take("I") {
            try path(inValue: false)
            try write("<")
            try list { try $0.genericArgument() }
            return true
        }
        try path(inValue: false)
        return false
    }

    // MARK: Constants

    private mutating func hexadecimalDigits() throws -> ArraySlice<UInt8> {
        let start = position
        while let byte = peek(), byte != UInt8(ascii: "_") {
            guard byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") || byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "f")
            else { throw Malformed() }
            position += 1
        }
        guard take("_") else { throw Malformed() }
        return bytes[start..<position - 1]
    }

    private mutating func constant() throws {
        try enter()
        defer { depth -= 1 }
        let tag = try next()
        switch tag {
        case UInt8(ascii: "p"): try write("_")
        case UInt8(ascii: "B"): try backReference { try $0.constant() }
        case UInt8(ascii: "h"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "y"), UInt8(ascii: "o"), UInt8(ascii: "j"):
            try number()
        case UInt8(ascii: "a"), UInt8(ascii: "s"), UInt8(ascii: "l"), UInt8(ascii: "x"), UInt8(ascii: "n"), UInt8(ascii: "i"):
            if take("n") { try write("-") }
            try number()
        case UInt8(ascii: "b"):
            let digits = try hexadecimalDigits()
            guard digits.count == 1, let digit = digits.first, digit <= UInt8(ascii: "1") else { throw Malformed() }
            try write(digit == UInt8(ascii: "1") ? "true" : "false")
        case UInt8(ascii: "c"):
            guard let code = UInt32(String(decoding: try hexadecimalDigits(), as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            else { throw Malformed() }
            try write("'\(scalar.escaped(asASCII: false))'")
        default: throw Malformed()
        }
    }

    private mutating func number() throws {
        let digits = String(decoding: try hexadecimalDigits(), as: UTF8.self)
        if digits.isEmpty { return try write("0") }
        try write(UInt64(digits, radix: 16).map { String($0) } ?? "0x" + digits)
    }
}

/// RFC 3492 with "_" for "-", as Rust writes identifiers that are not ASCII.
enum Punycode {
    static func decode(_ text: ArraySlice<UInt8>) -> String? {
        var scalars: [UInt32] = []
        var rest = text
        if let last = text.lastIndex(of: UInt8(ascii: "_")) {
            scalars = text[..<last].map { UInt32($0) }
            rest = text[(last + 1)...]
        }
        var code: UInt64 = 128
        var index: UInt64 = 0
        var bias: UInt64 = 72
        var isFirst = true
        while !rest.isEmpty {
            let before = index
            var weight: UInt64 = 1
            var k: UInt64 = 36
            while true {
                guard let byte = rest.popFirst() else { return nil }
                let digit: UInt64
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt64(byte - UInt8(ascii: "a"))
                case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0")) + 26
                default: return nil
                }
                index += digit * weight
                let threshold = k <= bias ? 1 : min(26, k - bias)
                if digit < threshold { break }
                weight *= 36 - threshold
                guard weight < 1 << 40, index < 1 << 40 else { return nil }
                k += 36
            }
            let count = UInt64(scalars.count) + 1
            var delta = isFirst ? (index - before) / 700 : (index - before) / 2
            isFirst = false
            delta += delta / count
            k = 0
            while delta > 455 {
                delta /= 35
                k += 36
            }
            bias = k + 36 * delta / (delta + 38)
            code += index / count
            index %= count
            guard code <= 0x10ffff else { return nil }
            scalars.insert(UInt32(code), at: Int(index))
            index += 1
        }
        var result = ""
        for value in scalars {
            guard let scalar = Unicode.Scalar(value) else { return nil }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}
