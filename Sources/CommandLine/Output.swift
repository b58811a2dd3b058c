import Glibc
import PlainText

/// Where fsession writes: stderr beside a launched command, stdout with -p, or a file. Colours only on a
/// terminal. Writes in blocks; whoever waits for more events flushes first.
final class Output {
    private let descriptor: Int32
    private let owned: Bool
    private var buffer: [UInt8] = []
    let isTerminal: Bool
    /// The reader of a pipe went away: there is nobody left to write for.
    private(set) var isBroken = false
    /// A write failed for another reason, a full disk for instance.
    private(set) var hasFailed = false

    init(path: String?, launches: Bool) throws {
        if let path {
            descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            owned = true
            guard descriptor >= 0 else {
                throw CommandFailure("cannot write to \(path): \(String(cString: strerror(errno)))")
            }
        } else {
            descriptor = launches ? STDERR_FILENO : STDOUT_FILENO
            owned = false
        }
        isTerminal = isatty(descriptor) == 1
    }

    deinit {
        flush()
        if owned { close(descriptor) }
    }

    func write(_ text: TerminalText) {
        buffer += text.text.utf8
        if buffer.count > 1 << 15 { flush() }
    }

    func line(_ text: TerminalText) {
        buffer += text.text.utf8
        write("\n")
    }

    /// A line of `--json`.
    func object(_ object: JSON) {
        buffer += object.text.utf8
        write("\n")
    }

    /// A remark of fsession itself, not of what it traces.
    func remark(_ text: String) { line(styled("fsession: \(text)", .faint)) }

    /// Writes what there is. After an error nothing more is written: who reads the rest must not take it for the whole.
    func flush() {
        defer { buffer.removeAll(keepingCapacity: true) }
        guard !isBroken, !buffer.isEmpty else { return }
        let error = Descriptor.write(buffer, to: descriptor)
        guard error != 0 else { return }
        isBroken = true
        if error == EPIPE { return }
        hasFailed = true
        Descriptor.complain("cannot write the output: \(String(cString: strerror(error)))")
    }

    /// The end of a command that does no more than write.
    /// - Throws: the status for output that was lost.
    func finish() throws(ExitWith) {
        flush()
        if hasFailed { throw ExitWith(1) }
    }

    enum Style: String {
        case bold = "1"
        case faint = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
    }

    func styled(_ text: String, _ style: Style) -> TerminalText {
        isTerminal ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : "\(text)"
    }
}
