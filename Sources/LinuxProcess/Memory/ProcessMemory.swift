import CLinux
import Glibc

/// The memory of a process, through /proc/PID/mem. It belongs to the program that ran when it was opened:
/// after an exec, reads and writes fail instead of reaching the new program.
package struct ProcessMemory: ~Copyable, Sendable {
    package let pid: pid_t
    private let descriptor: FileDescriptor

    package init(pid: pid_t) throws(ProcessError) {
        self.pid = pid
        do { descriptor = try FileDescriptor(opening: "/proc/\(pid)/mem", flags: O_RDWR) } catch {
            switch error {
            case .file(_, _, ENOENT), .file(_, _, ESRCH): throw .noSuchProcess(pid: pid)
            case .file(_, _, EACCES), .file(_, _, EPERM):
                throw .notPermitted(pid: pid, detail: permissionDetail(pid))
            default: throw error
            }
        }
    }

    /// Reads into a buffer, all of it.
    package borrowing func read(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ProcessError) {
        let count = readAvailable(at: address, into: buffer)
        guard count == buffer.count else { throw readFailure(at: address &+ UInt64(count), count: buffer.count - count) }
    }

    /// Reads as far as there is memory; returns the number of bytes.
    package borrowing func readAvailable(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var done = 0
        while done < buffer.count {
            guard let offset = off_t(exactly: address.addingReportingOverflow(UInt64(done)).partialValue) else { break }
            let got = pread(descriptor.rawValue, buffer.baseAddress?.advanced(by: done), buffer.count - done, offset)
            if got < 0 && errno == EINTR { continue }
            if got <= 0 { break }
            done += got
        }
        return done
    }

    /// Reads `count` bytes.
    package borrowing func read(at address: UInt64, count: Int) throws(ProcessError) -> [UInt8] {
        guard count > 0 else { return [] }
        var bytes: [UInt8] = []
        // Grows with what is there, so that a hostile length costs nothing.
        let step = 1 << 20
        while bytes.count < count {
            let wanted = min(step, count - bytes.count)
            let position = address &+ UInt64(bytes.count)
            var got = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, initialized in
                got = readAvailable(at: position, into: UnsafeMutableRawBufferPointer(buffer))
                initialized = got
            }
            bytes += chunk
            guard got == wanted else { throw readFailure(at: position &+ UInt64(got), count: wanted - got) }
        }
        return bytes
    }

    /// Why there is nothing to read at an address. Of a process that has ended or executes another program nothing is left:
    /// the kernel reads zero bytes then, and fails where only that address is not mapped.
    private borrowing func readFailure(at address: UInt64, count: Int) -> ProcessError {
        var byte: UInt8 = 0
        if pread(descriptor.rawValue, &byte, 1, off_t(truncatingIfNeeded: address & UInt64(Int64.max))) == 0 {
            return .memoryGone(pid: pid)
        }
        return .memoryRead(pid: pid, address: address, count: count, error: EFAULT)
    }

    /// Reads an integer, or another plain value.
    package borrowing func load<T: BitwiseCopyable>(_ type: T.Type, at address: UInt64) throws(ProcessError) -> T {
        let bytes = try read(at: address, count: MemoryLayout<T>.size)
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: T.self) }
    }

    /// Reads a string up to its NUL or `limit` bytes.
    package borrowing func string(at address: UInt64, limit: Int) throws(ProcessError) -> String {
        var bytes = [UInt8](repeating: 0, count: max(0, limit))
        let count = bytes.withUnsafeMutableBytes { readAvailable(at: address, into: $0) }
        guard count > 0 || limit <= 0 else { throw readFailure(at: address, count: limit) }
        return String(decoding: bytes[..<count].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Reads much at once with process_vm_readv, which moves no page twice; falls back to /proc/PID/mem
    /// for pages without read permission.
    package borrowing func readBulk(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ProcessError) {
        let got = clinux_process_read(pid, address, buffer.baseAddress, buffer.count)
        let done = max(0, Int(got))
        guard done < buffer.count else { return }
        try read(at: address &+ UInt64(done), into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
    }

    /// Reads `count` bytes at once; the count must come from the memory map, as all of it is made room for first.
    package borrowing func readBulk(at address: UInt64, count: Int) throws(ProcessError) -> [UInt8] {
        var failure: ProcessError?
        let bytes = [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, initialized in
            do throws(ProcessError) {
                try readBulk(at: address, into: UnsafeMutableRawBufferPointer(buffer))
                initialized = max(0, count)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes, through read-only pages too: a private page is copied first, as a debugger's breakpoint is.
    package borrowing func write(_ bytes: [UInt8], at address: UInt64) throws(ProcessError) {
        var done = 0
        while done < bytes.count {
            guard let offset = off_t(exactly: address.addingReportingOverflow(UInt64(done)).partialValue) else {
                throw .memoryWrite(pid: pid, address: address, count: bytes.count, error: EFAULT)
            }
            let put = bytes.withUnsafeBytes {
                pwrite(descriptor.rawValue, $0.baseAddress?.advanced(by: done), bytes.count - done, offset)
            }
            if put < 0 && errno == EINTR { continue }
            if put == 0 { throw .memoryGone(pid: pid) }
            guard put > 0 else {
                throw .memoryWrite(
                    pid: pid, address: address + UInt64(done), count: bytes.count - done,
                    error: errno != EIO ? errno : EFAULT)
            }
            done += put
        }
    }

    /// Writes an integer, or another plain value.
    package borrowing func store<T: BitwiseCopyable>(_ value: T, at address: UInt64) throws(ProcessError) {
        try write(withUnsafeBytes(of: value) { Array($0) }, at: address)
    }
}

/// What stands in the way of tracing a process, and what helps.
func permissionDetail(_ pid: pid_t) -> String {
    let user = geteuid()
    if let status = try? ProcessStatus(pid), status.user != user, user != 0 {
        return "it belongs to user \(status.user) and you are user \(user); run fsession as that user or as root"
    }
    if let scope = try? WholeFile.text("/proc/sys/kernel/yama/ptrace_scope"), let digit = scope.first, digit != "0",
        user != 0
    {
        return "kernel.yama.ptrace_scope is \(digit); launch the command with fsession, run as root, "
            + "or set kernel.yama.ptrace_scope=0"
    }
    return "the kernel refuses it (the process has privileges that you do not have, or a container's limits apply); "
        + "run fsession as root"
}
