import FSession

/// What may be written: what is interpolated into it is harmless by then, so that no name of a traced program can break a
/// line or command the terminal.
///
///     output.line("map \(map.name)")
struct TerminalText: ExpressibleByStringInterpolation {
    fileprivate(set) var text: String

    init(stringLiteral text: String) { self.text = text }
    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) {
            text.reserveCapacity(literalCapacity + 16 * interpolationCount)
        }

        mutating func appendLiteral(_ literal: String) { text += literal }

        /// Text of others, as one line.
        mutating func appendInterpolation(_ line: String) { text += PrintableText.line(line) }

        /// Text of others that has lines of its own.
        mutating func appendInterpolation(lines: String) { text += PrintableText.lines(lines) }

        mutating func appendInterpolation(_ number: some BinaryInteger) { text += String(number) }

        mutating func appendInterpolation(_ harmless: TerminalText) { text += harmless.text }
    }

    static func += (text: inout TerminalText, more: TerminalText) { text.text += more.text }
}
