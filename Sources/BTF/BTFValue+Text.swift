import PlainText

extension BTFValue: CustomStringConvertible {
    /// As a C initialiser: `{.count = 3, .name = "abc", .lat = [1, 2]}`.
    package var description: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .integer(let value): text += String(value)
        case .unsigned(let value): text += String(value)
        case .wide(let value): text += "0x" + String(value, radix: 16)
        case .boolean(let value): text += value ? "true" : "false"
        case .floating(let value): text += String(describing: value)
        case .pointer(let value): text += "0x" + String(value, radix: 16)
        case .enumerator(let name, let value): text += name?.escapingControls() ?? String(value)
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += ", " }
                value.write(to: &text)
            }
            text += "]"
        case .structure(let fields):
            text += "{"
            for (index, field) in fields.enumerated() {
                text += index > 0 ? ", ." : "."
                Self.escape(field.name, to: &text)
                text += " = "
                field.value.write(to: &text)
            }
            text += "}"
        case .bytes(let bytes): text += Self.hex(bytes)
        case .omitted: text += "…"
        }
    }

    /// As JSON. Addresses, and numbers beyond 64 bits, are strings in hexadecimal, because readers of JSON round
    /// them; what was left out, and NaN, is null.
    package var json: String {
        var text = ""
        writeJSON(to: &text)
        return text
    }

    private func writeJSON(to text: inout String) {
        switch self {
        case .integer, .unsigned, .boolean: write(to: &text)
        case .floating(let value): text += value.isFinite ? String(describing: value) : "null"
        case .wide, .pointer, .bytes:
            text += "\""
            write(to: &text)
            text += "\""
        case .enumerator(let name, let value):
            if let name { Self.quote(name, to: &text) } else { text += String(value) }
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.writeJSON(to: &text)
            }
            text += "]"
        case .structure(let fields):
            text += "{"
            for (index, field) in fields.enumerated() {
                if index > 0 { text += "," }
                Self.quote(field.name, to: &text)
                text += ":"
                field.value.writeJSON(to: &text)
            }
            text += "}"
        case .omitted: text += "null"
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        var text = "0x"
        // Little-endian, so the last byte comes first.
        for byte in bytes.reversed() {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    private static func quote(_ string: String, to text: inout String) {
        text += "\""
        escape(string, to: &text)
        text += "\""
    }

    /// The escapes of JSON, which C has too, save for control characters.
    private static func escape(_ string: String, to text: inout String) {
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            default:
                if scalar.isObeyed { text.appendEscape(of: scalar) } else { text.unicodeScalars.append(scalar) }
            }
        }
    }
}
