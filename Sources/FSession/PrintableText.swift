import PlainText

/// Text of others, to be shown.
///
/// Names of functions, parameters, files and processes are what their makers gave them, escape sequences of terminals
/// included, and so is what programs print. In the properties of this library they are as they are; show them like this:
///
/// ```swift
/// print(PrintableText.line(call.function.displayName))
/// ```
public enum PrintableText {
    /// The text as one line: controls (C0, C1, DEL, separators of lines, directions of writing) become escapes such as
    /// `\n` and `\u001b`, which JSON's strings have, too.
    public static func line(_ text: String) -> String { text.escapingControls() }

    /// The same, but newlines and tabs stay.
    public static func lines(_ text: String) -> String { text.escapingControls(keepingLines: true) }
}
