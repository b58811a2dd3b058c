import Glibc

/// The bytes of a whole file, never written: a private copy, or the file mapped read-only.
///
/// Every access from outside goes through `ByteSlice`, which checks its bounds.
// @unchecked: the memory is filled before `init` returns and never changes until `deinit`.
final class FileImage: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    let name: String
    private let isMapped: Bool

    /// Files up to this size are read instead of mapped, so that a compiler that rewrites an object while it
    /// is being read cannot take pages away (SIGBUS).
    private static let largestCopy = 4 << 20

    init(bytes: [UInt8], name: String) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
        copy.copyBytes(from: bytes)
        self.bytes = UnsafeRawBufferPointer(start: copy.baseAddress, count: bytes.count)
        self.name = name
        isMapped = false
    }

    /// Gives the pages of a mapped file back to the kernel, which reads them again when they are asked for.
    func dropPages() {
        guard isMapped, let start = bytes.baseAddress else { return }
        madvise(UnsafeMutableRawPointer(mutating: start), bytes.count, MADV_DONTNEED)
    }

    init(path: String) throws(ELFError) {
        // O_NONBLOCK: a FIFO must not make us wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .cannotRead(path: path, errno: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, errno: errno) }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw .cannotRead(path: path, errno: EISDIR) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notELF(name: path) }
        name = path
        let size = Int(status.st_size)
        if size > Self.largestCopy {
            guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
                throw .cannotRead(path: path, errno: errno)
            }
            bytes = UnsafeRawBufferPointer(start: start, count: size)
            isMapped = true
            return
        }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(size, 1), alignment: 16)
        var filled = 0
        while filled < size {
            let rest = UnsafeMutableRawBufferPointer(rebasing: copy[filled..<size])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(filled))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                let code = errno
                copy.deallocate()
                throw .cannotRead(path: path, errno: code)
            }
            if count == 0 { break }
            filled += count
        }
        bytes = UnsafeRawBufferPointer(start: copy.baseAddress, count: filled)
        isMapped = false
    }

    deinit {
        guard let start = bytes.baseAddress else { return }
        if isMapped {
            munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
        } else {
            UnsafeMutableRawPointer(mutating: start).deallocate()
        }
    }
}
