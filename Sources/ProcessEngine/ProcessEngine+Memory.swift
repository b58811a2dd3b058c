import MachineCode
import CLinux
import Glibc
import JIT
import LinuxProcess
import TargetRuntime
import Trampoline

extension ProcessEngine {
    static let firstRegionSize = 1 << 20
    /// The private pages, from `scratchPage` on:
    ///
    ///     0       the process's id as helpers cache it; wiped on fork; lends its bytes for names
    ///     4096    whether the process has set a system-call filter; a fork hands it on
    ///     8192    who owns which lane of the counters; wiped on fork
    static let privateSize = UInt64((8192 + MemoryLayout<fs_lane_owners>.size).roundedUp(to: 4096))
    private var laneOwners: UInt64 { scratchPage + 8192 }

    /// What every session puts into its target: a private page, shared state, the runtime's code.
    func prepareMemory(in process: inout StoppedProcess) throws(EngineError) {
        let injected = InjectedCalls(pid: processID)
        scratchPage = try injected.check("make pages of memory") { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_mmap, 0, ProcessEngine.privateSize, UInt64(PROT_READ | PROT_WRITE),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS), UInt64.max, 0)
        }
        // Its first page first lends its bytes as the name of the shared memory, then caches the process's id.
        try write(Array("fsession\0".utf8), at: scratchPage)
        let memory = try SessionMemory.make(in: &process, scratch: scratchPage)
        try write(Array(repeating: 0, count: 16), at: scratchPage)
        for (start, size) in [(scratchPage, UInt64(4096)), (laneOwners, ProcessEngine.privateSize - 8192)] {
            _ = try injected.check("prepare for fork") { () throws(ProcessError) in
                try process.systemCall(clinux_sys_madvise, start, size, 18 /* MADV_WIPEONFORK */)
            }
        }
        memory.state.pointee.thread_id_offset = threadIDOffset(in: &process)
        if threadBlocksNameThemselves(in: &process) {
            memory.state.pointee.lane_owners_address = laneOwners
        }
        if process.threads.contains(where: \.dispatchesSystemCalls) { try makeNoCalls(in: &process) }
        shared = memory
        sharedRegions.append(memory.region)
        read(TargetRing(memory.printRing, .prints(endsLine: false)))

        let code = Array(UnsafeRawBufferPointer(start: fs_runtime_start(), count: fs_runtime_size()))
        try addCodeRegion(near: functions.executableRange, size: ProcessEngine.firstRegionSize, in: &process)
        runtimeAddress = try install(
            CodeRecord(kind: .runtime, name: "runtime", code: code), near: functions.executableRange.lowerBound
        ).codeAddress
        let safeCopy = fs_runtime_function_offset("safe_copy")
        guard safeCopy >= 0 else { return }
        let thunk = Architecture.thunk(
            to: runtimeAddress + UInt64(safeCopy), fourthArgument: memory.stateAddress)
        safeCopyAddress = try install(
            CodeRecord(kind: .runtime, name: "safe_copy", code: thunk), near: functions.executableRange.lowerBound
        ).codeAddress
    }

    /// The runtime makes no system calls in a process that has them dispatched to itself, from the beginning on.
    private func makeNoCalls(in process: inout StoppedProcess) throws(EngineError) {
        let own = try InjectedCalls(pid: processID).check("ask for its id") { () throws(ProcessError) in
            try process.systemCall(clinux_sys_getpid)
        }
        try write(withUnsafeBytes(of: UInt32(truncatingIfNeeded: own).littleEndian, Array.init), at: scratchPage)
        try write([1, 0, 0, 0], at: scratchPage + 4096)
        queue.warn(FilterNotice.dispatchText)
    }

    /// What was made before something failed: nobody uses it yet.
    func giveMemoryBack(in process: inout StoppedProcess) {
        for region in codeRegions { _ = try? process.systemCall(clinux_sys_munmap, region.base, UInt64(region.size)) }
        for region in sharedRegions {
            _ = try? process.systemCall(clinux_sys_munmap, region.targetAddress, UInt64(region.size))
        }
        if scratchPage != 0 { _ = try? process.systemCall(clinux_sys_munmap, scratchPage, ProcessEngine.privateSize) }
        codeRegions = []
        sharedRegions = []
        shared = nil
        scratchPage = 0
    }

    /// How trampolines find the lane to count in; nil where threads have no thread block.
    var counterLanes: CallCounters.Lanes? {
        let slowPath = fs_runtime_function_offset("count")
        guard let shared, shared.state.pointee.lane_owners_address != 0, slowPath >= 0 else { return nil }
        return CallCounters.Lanes(
            owners: laneOwners, state: shared.stateAddress, slowPath: runtimeAddress + UInt64(slowPath))
    }

    func write(_ bytes: [UInt8], at address: UInt64) throws(EngineError) {
        do throws(ProcessError) {
            try memory.write(bytes, at: address)
        } catch {
            throw .target(pid: processID, doing: "write \(bytes.count) bytes", because: "\(error)")
        }
    }

    func read(_ count: Int, at address: UInt64) throws(EngineError) -> [UInt8] {
        do throws(ProcessError) {
            return try memory.read(at: address, count: count)
        } catch {
            throw .target(pid: processID, doing: "read \(count) bytes", because: "\(error)")
        }
    }

    /// Where in its thread block a thread keeps its id: looked up in the main thread's, whose id is known.
    /// 0 where it is not to be found (a static program before its start): the kernel is asked then.
    private func threadIDOffset(in process: inout StoppedProcess) -> Int32 {
        var offset: Int32?
        for thread in process.threads {
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
    private func threadBlocksNameThemselves(in process: inout StoppedProcess) -> Bool {
        Registers.threadBlockNamesItself && process.threads.allSatisfy { thread in
            guard let base = (try? thread.registers())?.threadBlock, let block = try? memory.read(at: base, count: 8)
            else { return false }
            return block == withUnsafeBytes(of: base.littleEndian) { Array($0) }
        }
    }

    // MARK: - Code

    /// Makes a code region that reaches all of `module` and the code that is there already.
    func addCodeRegion(
        near module: Range<UInt64>, size: Int, in process: inout StoppedProcess
    ) throws(EngineError) {
        let size = size.roundedUp(to: 4096)
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: processID)
        } catch {
            throw .target(pid: processID, doing: "find room for code", because: "\(error)")
        }
        guard let place = map.gap(near: module, size: UInt64(size), within: Architecture.reach) else {
            throw .target(
                pid: processID, doing: "find room for code",
                because: "there are no \(size >> 10) KiB of free address space within 2 GiB of its functions")
        }
        let injected = InjectedCalls(pid: processID)
        let base = try injected.check("make room for code") { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_mmap, place, UInt64(size), UInt64(PROT_READ | PROT_EXEC),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS | 0x100000 /* MAP_FIXED_NOREPLACE */), UInt64.max, 0)
        }
        guard base == place else {
            _ = try? process.systemCall(clinux_sys_munmap, base, UInt64(size))
            throw .target(
                pid: processID, doing: "make room for code", because: "the kernel did not give the address asked for")
        }
        let region = CodeRegion(base: base, size: size)
        try writeHead(of: region)
        codeRegions.append(region)
    }

    private func writeHead(of region: CodeRegion) throws(EngineError) {
        try write(
            region.head(controller: getpid(), startTime: ControllerIdentity.startTime), at: region.base)
    }

    /// Writes code into a region, soon: `flushCode` at the latest.
    func stageCode(_ bytes: [UInt8], at address: UInt64) throws(EngineError) {
        guard let index = codeRegions.firstIndex(where: { $0.range.contains(address) }) else {
            throw .target(pid: processID, doing: "place code", because: "no region holds its address")
        }
        if !codeRegions[index].canStage(at: address) { try flushCode() }
        codeRegions[index].stage(bytes, at: address)
    }

    /// Writes what is staged, and says in each region's head how much of it is used.
    func flushCode() throws(EngineError) {
        for index in codeRegions.indices {
            if let staged = codeRegions[index].takeStaged() { try write(staged.bytes, at: staged.address) }
        }
        try publishHeads()
    }

    /// Room for `count` bytes that reaches `address`; makes a region where there is none.
    func ensureRoom(_ count: Int, near module: Range<UInt64>) throws(EngineError) {
        let needed = count + 4096
        if codeRegions.contains(where: {
            $0.free >= needed && $0.reaches(module.lowerBound) && $0.reaches(module.upperBound)
        }) { return }
        try withStopped { engine, process throws(EngineError) in
            try engine.addCodeRegion(
                near: module, size: max(needed, ProcessEngine.firstRegionSize), in: &process)
        }
    }

    /// Takes `count` bytes that reach `address`.
    func allocateCode(_ count: Int, near address: UInt64) throws(EngineError) -> UInt64 {
        try allocateCode(count, near: address..<(address &+ 1))
    }

    /// Takes `count` bytes that reach all of `module`.
    func allocateCode(_ count: Int, near module: Range<UInt64>) throws(EngineError) -> UInt64 {
        for index in codeRegions.indices
        where codeRegions[index].reaches(module.lowerBound) && codeRegions[index].reaches(module.upperBound) {
            if let place = codeRegions[index].allocate(count) { return place }
        }
        throw .target(pid: processID, doing: "place code", because: "the room for it is used up")
    }

    /// Puts a record into a region that reaches `address`.
    func install(_ record: CodeRecord, near address: UInt64) throws(EngineError) -> (address: UInt64, codeAddress: UInt64) {
        let bytes = record.encoded
        let place = try allocateCode(bytes.count, near: address)
        try stageCode(bytes, at: place)
        try flushCode()
        return (place, place + UInt64(record.codeOffset))
    }

    /// Says in each region's head how much of it is used.
    func publishHeads() throws(EngineError) {
        for region in codeRegions { try writeHead(of: region) }
    }

    /// Whether `address` lies in code of ours.
    func isOurCode(_ address: UInt64) -> Bool {
        codeRegions.contains { $0.range.contains(address) }
    }
}

/// Who wrote a code region: a process id and its start time, so that a later fsession knows whether that
/// controller still lives.
enum ControllerIdentity {
    static let startTime: UInt64 = startTime(of: getpid()) ?? 0

    /// Field 22 of /proc/PID/stat.
    static func startTime(of pid: Int32) -> UInt64? {
        guard let text = try? WholeFile.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        return fields.count > 20 ? UInt64(fields[20]) : nil
    }
}
