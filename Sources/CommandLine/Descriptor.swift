import Glibc

/// The one way out: write(2), whose error is kept. Nothing here can end fsession, which may have code in a process;
/// Foundation's `FileHandle` does, where a descriptor is closed or a disk full.
enum Descriptor {
    /// Writes all of `bytes`; 0, or the error that stopped it.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written > 0 {
                    rest = rest.dropFirst(written)
                    continue
                }
                switch written == 0 ? EIO : errno {
                case EINTR: continue
                case EAGAIN:
                    // Somebody made the terminal or pipe non-blocking: wait for room.
                    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&entry, 1, 1000)
                case let error: return error
                }
            }
            return 0
        }
    }

    /// Writes to stderr. Where that cannot be written there is nobody to be told.
    static func complain(_ text: TerminalText) {
        _ = write(Array("fsession: \(text.text)\n".utf8), to: STDERR_FILENO)
    }
}
