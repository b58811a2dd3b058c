import CLinux
import Glibc
import Synchronization

/// The bytes of a whole file: a private copy, or the file mapped.
///
/// Every access from outside goes through `ByteSlice`, which checks its bounds. Small files are copied, so that a compiler
/// that rewrites one while it is read changes nothing. A file that is mapped may be shortened meanwhile: what is gone
/// reads as zeros, and `isShortened` tells. One that somebody else than root and this user may write is copied, too: a
/// program that reads a file while its owner changes it under the program's eyes is easily led astray.
// @unchecked: the memory is filled before `init` returns; afterwards only `DebugInfo` writes to it, and undoes that.
final class FileImage: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    let name: String
    /// Whether nobody but root and this user can change what is read.
    let isSteady: Bool
    /// What tells of lost pages of a mapped file.
    private let watch: OpaquePointer?

    private static let largestCopy = 4 << 20
    /// Copies of other users' files, all together: above, they are mapped all the same, and `isSteady` says no.
    private static let mostCopied = 1 << 30
    private static let copied = Atomic<Int>(0)

    init(bytes: [UInt8], name: String) {
        // malloc ends the program where there is no memory, as the array did that is copied.
        let copy = UnsafeMutableRawBufferPointer(start: malloc(max(bytes.count, 1)), count: bytes.count)
        copy.copyBytes(from: bytes)
        self.bytes = UnsafeRawBufferPointer(copy)
        self.name = name
        isSteady = true
        watch = nil
        Self.copied.add(bytes.count, ordering: .relaxed)
    }

    convenience init(path: String) throws(ELFError) {
        let descriptor = clinux_open_regular(path)
        guard descriptor >= 0 else {
            throw descriptor == -ENOTSUP ? .notELF(name: path) : .cannotRead(path: path, errno: -descriptor)
        }
        defer { close(descriptor) }
        try self.init(descriptor: descriptor, name: path)
    }

    /// - Parameter descriptor: of a regular file, open for reading; it stays the caller's.
    init(descriptor: Int32, name: String) throws(ELFError) {
        self.name = name
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: name, errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notELF(name: name) }
        let size = Int(status.st_size)
        let isOurs = Self.isOurs(descriptor, status)
        let total = Self.copied.add(size, ordering: .relaxed).newValue
        if size <= Self.largestCopy || !isOurs, total <= Self.mostCopied {
            do throws(ELFError) {
                bytes = try Self.copy(descriptor, size: size, name: name)
            } catch {
                Self.copied.subtract(size, ordering: .relaxed)
                throw error
            }
            Self.copied.subtract(size - bytes.count, ordering: .relaxed)
            watch = nil
            isSteady = true
            return
        }
        Self.copied.subtract(size, ordering: .relaxed)
        // Writable, but private: libelf writes into what it reads where a section is compressed.
        let start = size == 0 ? nil : mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0)
        guard let start, start != MAP_FAILED else { throw .cannotRead(path: name, errno: errno) }
        guard let watch = clinux_watch_mapping(start, size) else {
            munmap(start, size)
            throw .cannotRead(path: name, errno: ENOMEM)
        }
        self.watch = watch
        bytes = UnsafeRawBufferPointer(start: start, count: size)
        isSteady = isOurs
    }

    /// Whether a page of a mapped file was gone when it was read.
    var isShortened: Bool { watch.map { clinux_watch_lost_pages($0) != 0 } ?? false }

    /// Gives the pages of a mapped file back to the kernel, which reads them again when they are asked for.
    func dropPages() {
        guard watch != nil, let start = bytes.baseAddress else { return }
        madvise(UnsafeMutableRawPointer(mutating: start), bytes.count, MADV_DONTNEED)
    }

    private static func isOurs(_ descriptor: Int32, _ status: stat) -> Bool {
        guard status.st_uid == 0 || status.st_uid == geteuid(), status.st_mode & S_IWOTH == 0 else { return false }
        // FUSE: whoever serves the file system says whose the files are. hugetlbfs: its pages cannot be replaced.
        let system = clinux_file_system(descriptor)
        return system > 0 && system != 0x6573_5546 && system != 0x9584_58f6
    }

    private static func copy(_ descriptor: Int32, size: Int, name: String) throws(ELFError) -> UnsafeRawBufferPointer {
        guard let memory = malloc(max(size, 1)) else { throw .cannotRead(path: name, errno: ENOMEM) }
        var filled = 0
        while filled < size {
            let count = pread(descriptor, memory + filled, size - filled, off_t(filled))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                let code = errno
                free(memory)
                throw .cannotRead(path: name, errno: code)
            }
            if count == 0 { break }
            filled += count
        }
        return UnsafeRawBufferPointer(start: memory, count: filled)
    }

    deinit {
        guard let start = bytes.baseAddress else { return }
        let memory = UnsafeMutableRawPointer(mutating: start)
        if let watch {
            clinux_watch_end(watch)
            munmap(memory, bytes.count)
        } else {
            Self.copied.subtract(bytes.count, ordering: .relaxed)
            free(memory)
        }
    }
}
