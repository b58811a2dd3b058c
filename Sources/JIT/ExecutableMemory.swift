import Glibc

/// Code in this process: written once, then executable and no longer writable.
package struct ExecutableMemory: ~Copyable {
    private let start: UnsafeMutableRawPointer
    private let size: Int

    /// A system call that failed.
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package let call: String
        package let code: Int32

        package var description: String {
            "no executable memory: \(call) failed with error \(code); "
                + "a security policy may forbid programs to make code"
        }
    }

    /// Reserves `byteCount` bytes, calls `fill` with their address to get the code, and makes it executable.
    /// The code must not be longer than `byteCount`.
    package init(byteCount: Int, fill: (UInt64) throws -> [UInt8]) throws {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let size = max(1, (byteCount + page - 1) / page) * page
        guard let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            start != MAP_FAILED
        else { throw Failure(call: "mmap", code: errno) }
        do {
            let code = try fill(UInt64(UInt(bitPattern: start)))
            precondition(code.count <= size, "the code is longer than announced")
            code.withUnsafeBytes { bytes in
                if let source = bytes.baseAddress { start.copyMemory(from: source, byteCount: bytes.count) }
            }
            guard mprotect(start, size, PROT_READ | PROT_EXEC) == 0 else {
                throw Failure(call: "mprotect", code: errno)
            }
        } catch {
            munmap(start, size)
            throw error
        }
        self.start = start
        self.size = size
    }

    /// Position-independent code.
    package init(_ code: [UInt8]) throws {
        try self.init(byteCount: code.count) { _ in code }
    }

    deinit {
        munmap(start, size)
    }

    /// Where the code is.
    package var address: UInt64 { UInt64(UInt(bitPattern: start)) }

    /// Calls the code at `offset` as a C function of two u64. The caller knows that there is one.
    package borrowing func call(offset: Int = 0, _ first: UInt64 = 0, _ second: UInt64 = 0) -> UInt64 {
        precondition(offset >= 0 && offset < size)
        typealias Function = @convention(c) (UInt64, UInt64) -> UInt64
        return unsafeBitCast(start + offset, to: Function.self)(first, second)
    }
}
