/// What text of others must not do to those who read it: names of symbols, parameters, files and processes, and strings
/// that programs print, may hold anything, and come out on a terminal and in lines that others take apart.
extension Unicode.Scalar {
    /// Whether a terminal or a reader of lines obeys it rather than showing it: the controls C0 and C1, DEL, the separators
    /// of lines and paragraphs, and what changes the direction of writing.
    package var isObeyed: Bool {
        switch value {
        case 0..<0x20, 0x7f..<0xa0: true
        case 0x061c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}

extension String {
    /// The text with escapes in the place of all that is obeyed: `\n`, `\t`, `\r`, else `\u001b`, as JSON and C have them. So
    /// what was valid JSON still is.
    /// - Parameter keepingLines: newlines and tabs stay: the text has lines of its own.
    package func escapingControls(keepingLines: Bool = false) -> String {
        // Nearly all text is plain.
        let isPlain = utf8.allSatisfy { ($0 >= 0x20 && $0 < 0x7f) || (keepingLines && ($0 == 0x0a || $0 == 0x09)) }
        if isPlain { return self }
        var result = ""
        result.reserveCapacity(utf8.count + 16)
        for scalar in unicodeScalars {
            if !scalar.isObeyed || (keepingLines && (scalar == "\n" || scalar == "\t")) {
                result.unicodeScalars.append(scalar)
            } else {
                result.appendEscape(of: scalar)
            }
        }
        return result
    }

    /// Appends the escape of a scalar that is obeyed; none of them needs more than four digits.
    package mutating func appendEscape(of scalar: Unicode.Scalar) {
        switch scalar {
        case "\n": self += "\\n"
        case "\r": self += "\\r"
        case "\t": self += "\\t"
        default:
            let digits = String(scalar.value, radix: 16)
            self += "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        }
    }
}
