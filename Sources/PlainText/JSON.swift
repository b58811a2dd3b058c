/// A value as JSON on one line. What a terminal would obey is escaped in its strings as in all other text.
///
///     let line: JSON = ["type": "call", "pid": JSON(pid), "duration": duration.map { JSON($0) }]
package struct JSON: Sendable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    package private(set) var text: String

    package static let null = JSON(text: "null")

    /// - Parameter text: what is JSON already.
    package init(text: String) { self.text = text }

    package init(_ string: String) {
        text = ""
        text.reserveCapacity(string.utf8.count + 2)
        text.appendQuoted(string)
    }

    package init(_ number: some BinaryInteger) { text = String(number) }
    package init(_ flag: Bool) { text = flag ? "true" : "false" }

    package init(_ values: [JSON]) {
        text = "["
        for (index, value) in values.enumerated() {
            if index > 0 { text += ", " }
            text += value.text
        }
        text += "]"
    }

    package init(stringLiteral string: String) { self.init(string) }
    package init(arrayLiteral values: JSON...) { self.init(values) }

    /// Members without a value are left out.
    package init(dictionaryLiteral members: (String, JSON?)...) {
        text = "{"
        for case (let name, let value?) in members {
            if text.utf8.count > 1 { text += ", " }
            text += "\""
            text += name
            text += "\": "
            text += value.text
        }
        text += "}"
    }
}

extension String {
    /// Appends a string in quotes, with the escapes of JSON, which C has too, save for control characters.
    package mutating func appendQuoted(_ string: String) {
        self += "\""
        appendEscaped(string)
        self += "\""
    }

    package mutating func appendEscaped(_ string: String) {
        // Nearly all text is plain.
        if string.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }) {
            self += string
            return
        }
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": self += "\\\""
            case "\\": self += "\\\\"
            default:
                if scalar.isObeyed { appendEscape(of: scalar) } else { unicodeScalars.append(scalar) }
            }
        }
    }
}
