import CLinux
import Glibc

/// An open file descriptor, closed at the end of its life.
package struct FileDescriptor: ~Copyable, Sendable {
    package let rawValue: Int32

    /// Takes over an open descriptor.
    package init(owning rawValue: Int32) { self.rawValue = rawValue }

    /// open(2), close-on-exec.
    package init(opening path: String, flags: Int32 = O_RDONLY) throws(ProcessError) {
        let descriptor = clinux_open(path, flags)
        guard descriptor >= 0 else { throw .file(operation: "open", path: path, error: -descriptor) }
        rawValue = descriptor
    }

    /// Gives the descriptor away without closing it.
    package consuming func release() -> Int32 {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    deinit { _ = close(rawValue) }
}

/// Reads whole files, those of /proc too.
package enum WholeFile {
    /// All bytes of a file.
    package static func bytes(_ path: String) throws(ProcessError) -> [UInt8] {
        var buffer: UnsafeMutablePointer<UInt8>?
        let count = clinux_read_file(path, &buffer)
        guard count >= 0 else { throw .file(operation: "read", path: path, error: Int32(-count)) }
        defer { free(buffer) }
        return Array(UnsafeBufferPointer(start: buffer, count: count))
    }

    /// A file as text; bytes that are not UTF-8 are replaced.
    package static func text(_ path: String) throws(ProcessError) -> String {
        String(decoding: try bytes(path), as: UTF8.self)
    }

    /// readlink(2).
    package static func link(_ path: String) throws(ProcessError) -> String {
        var buffer = [UInt8](repeating: 0, count: 4097)
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { readlink(path, $0, text.count - 1) } ?? -1
            }
        }
        guard count >= 0 else { throw .file(operation: "read the link", path: path, error: errno) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
