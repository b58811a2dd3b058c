import CLinux

/// What takes a thread back to where it was if fsession is killed while the thread makes a system call for it.
///
/// The thread calls at a `syscall; ret` of the C library, with its stack pointer at a signal frame that holds all
/// its registers, below which nothing lives. Normally it is stopped behind the `syscall` and gets its registers
/// back from us. If nobody is there to do so, it goes on by itself: `ret` takes it to the C library's
/// `__restore_rt`, as at the end of a signal handler, and rt_sigreturn gives it all that it had, its signal mask
/// included. A system call that it was waiting in ends as if a signal had come.
///
///     lowest page of the main thread's stack │ room for signals │ frame │ vector registers │ … │ main's stack pointer
struct ReturnFrame {
    /// `syscall; ret`
    let call: UInt64
    /// `__restore_rt`
    let restorer: UInt64
    /// Where the frame is to be.
    let address: UInt64

    /// Bytes below the frame: a signal may come before the thread is back.
    private static let room: UInt64 = 0x4000
    /// The main thread must be so far from the end of its stack: it may go on first.
    private static let distance: UInt64 = 0x1_0000
    /// Larger code is not searched, nor more than so many files of that name.
    private static let largestModule: UInt64 = 1 << 23
    private static let mostLibraries = 8

    /// Nil where something that it takes is not there: the main thread has ended, runs on another stack or has
    /// little left of its own, or no C library is known.
    init?(_ process: borrowing StoppedProcess, _ map: MemoryMap) {
        guard let patterns = Registers.returnPatterns,
            let main = process.threads.first(where: { $0.id == process.pid }), let registers = try? main.registers(),
            let stack = map.region(at: registers.stackPointer), stack.path == "[stack]",
            registers.stackPointer - stack.range.lowerBound >= Self.distance
        else { return nil }
        let code = map.regions.filter {
            $0.permissions.contains(.execute) && $0.inode != 0
                && $0.range.upperBound - $0.range.lowerBound <= Self.largestModule
        }
        // The program itself comes first in the map: it may have the library inside.
        for region in code.filter({ Self.isCLibrary($0.path) }).prefix(Self.mostLibraries) + code.prefix(1) {
            let start = region.range.lowerBound
            guard let bytes = try? process.memory.read(at: start, count: region.range.count) else { continue }
            let call = clinux_find(bytes, bytes.count, patterns.callAndReturn, patterns.callAndReturn.count)
            let restorer = clinux_find(bytes, bytes.count, patterns.restorer, patterns.restorer.count)
            guard call >= 0, restorer >= 0 else { continue }
            self.call = start + UInt64(call)
            self.restorer = start + UInt64(restorer)
            address = stack.range.lowerBound + Self.room
            return
        }
        return nil
    }

    private static func isCLibrary(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        return name.hasPrefix("libc.so") || name.hasPrefix("libc-") || name.hasPrefix("ld-musl")
    }

    /// Writes the frame for one thread, as its registers and its signal mask are now.
    func write(
        _ tracee: Tracee, _ registers: Registers, signalMask: UInt64, to memory: borrowing ProcessMemory
    ) throws(ProcessError) {
        let bytes = registers.returnFrame(
            at: address, restorer: restorer, signalMask: signalMask, vectors: tracee.vectorRegisters())
        try memory.write(bytes, at: address)
    }
}
