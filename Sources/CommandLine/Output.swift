import Foundation

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

    func write(_ text: String) {
        buffer += text.utf8
        if buffer.count > 1 << 15 { flush() }
    }

    func line(_ text: String) { write(text + "\n") }

    /// A remark of fsession itself, not of what it traces.
    func remark(_ text: String) { line(styled("fsession: \(text)", .faint)) }

    func flush() {
        var rest = buffer[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN {
                    // Somebody made the terminal or pipe non-blocking: wait for room.
                    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&entry, 1, 1000)
                    continue
                }
                if errno != EPIPE, !isBroken {
                    let text = "fsession: cannot write the output: \(String(cString: strerror(errno)))\n"
                    FileHandle.standardError.write(Data(text.utf8))
                    hasFailed = true
                }
                isBroken = true
                break
            }
            rest = rest.dropFirst(written)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    enum Style: String {
        case bold = "1"
        case faint = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
    }

    func styled(_ text: String, _ style: Style) -> String {
        isTerminal ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }
}
