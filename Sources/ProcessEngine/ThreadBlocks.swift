import LinuxProcess

/// What the runtime is told of threads' own blocks of memory.
extension StoppedProcess {
    /// Where in its thread block a thread keeps its id: looked up in the main thread's, whose id is known.
    /// 0 where it is not to be found (a static program before its start): the kernel is asked then.
    func threadIDOffset() -> Int32 {
        var offset: Int32?
        for thread in threads {
            guard let base = (try? thread.registers())?.threadBlock, let block = try? memory.read(at: base, count: 0x400)
            else { continue }
            let wanted = withUnsafeBytes(of: UInt32(bitPattern: thread.id).littleEndian) { Array($0) }
            let found: [Int] = stride(from: 0, to: block.count - 4, by: 4).filter { block[$0...].starts(with: wanted) }
            // glibc: pthread.tid; where a word looks the same by chance, the threads must agree on one.
            guard let first = found.first else { return 0 }
            if let offset, !found.contains(Int(offset)) { return 0 }
            offset = offset ?? Int32(first)
        }
        return offset ?? 0
    }

    /// Whether each thread has a thread block with its own address at its start, where the ABI has it so. A static program
    /// has none before its start.
    func threadBlocksNameThemselves() -> Bool {
        guard Registers.threadBlockNamesItself else { return false }
        for thread in threads {
            guard let base = (try? thread.registers())?.threadBlock, let block = try? memory.read(at: base, count: 8),
                block == withUnsafeBytes(of: base.littleEndian, Array.init)
            else { return false }
        }
        return true
    }
}
