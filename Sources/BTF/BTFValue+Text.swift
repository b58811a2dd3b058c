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
        case .string(let value): text.appendQuoted(value)
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
                text.appendEscaped(field.name)
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
            if let name { text.appendQuoted(name) } else { text += String(value) }
        case .string(let value): text.appendQuoted(value)
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
                text.appendQuoted(field.name)
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
}
