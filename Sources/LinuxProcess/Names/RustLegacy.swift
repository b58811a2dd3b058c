/// Rust's old mangling: a C++ nested name whose last part is a hash ("17h" and 16 hexadecimal digits).
enum RustLegacy {
    static func demangle(_ name: String) -> String? {
        var rest = Array(name.utf8)[...]
        rest = rest.starts(with: "__ZN".utf8) ? rest.dropFirst(4) : rest.dropFirst(3)
        var parts: [ArraySlice<UInt8>] = []
        while let first = rest.first, first != UInt8(ascii: "E") {
            var length = 0
            guard first >= UInt8(ascii: "1"), first <= UInt8(ascii: "9") else { return nil }
            while let digit = rest.first, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") {
                length = length * 10 + Int(digit - UInt8(ascii: "0"))
                guard length <= rest.count else { return nil }
                rest.removeFirst()
            }
            guard length <= rest.count else { return nil }
            parts.append(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        // Behind the E there may be ".llvm.123" and the like.
        guard rest.first == UInt8(ascii: "E"), rest.count == 1 || rest.dropFirst().first == UInt8(ascii: "."),
            parts.count >= 2, let hash = parts.popLast(), isHash(hash)
        else { return nil }
        var result: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if index > 0 { result += "::".utf8 }
            guard append(part, to: &result) else { return nil }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func isHash(_ part: ArraySlice<UInt8>) -> Bool {
        part.count == 17 && part.first == UInt8(ascii: "h")
            && part.dropFirst().allSatisfy {
                $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") || $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "f")
            }
    }

    private static let escapes: [String: String] = [
        "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ",",
    ]

    /// Undoes "$LT$", "$u7b$", ".." for "::", and the underscore before a leading "$".
    private static func append(_ part: ArraySlice<UInt8>, to result: inout [UInt8]) -> Bool {
        var rest = part
        if rest.starts(with: "_$".utf8) { rest.removeFirst() }
        while let first = rest.first {
            if first == UInt8(ascii: ".") {
                let isPath = rest.dropFirst().first == UInt8(ascii: ".")
                result += isPath ? "::".utf8 : ".".utf8
                rest = rest.dropFirst(isPath ? 2 : 1)
            } else if first == UInt8(ascii: "$") {
                guard let end = rest.dropFirst().firstIndex(of: first) else { return false }
                let escape = String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self)
                if let text = escapes[escape] {
                    result += text.utf8
                } else if escape.hasPrefix("u"), let code = UInt32(escape.dropFirst(), radix: 16),
                    let scalar = Unicode.Scalar(code), code >= 32
                {
                    result += String(Character(scalar)).utf8
                } else {
                    return false
                }
                rest = rest[(end + 1)...]
            } else {
                result.append(first)
                rest.removeFirst()
            }
        }
        return true
    }
}
