import CLinux
import Glibc
import LinuxProcess
import MachineCode
import TargetRuntime
import Trampoline

/// What lies in the target, and the way to it: regions of code, shared regions, private pages. Its own code and data are written and
/// read through `/proc/PID/mem`.
struct TargetMemory: ~Copyable {
    /// All that is at the process's addresses.
    let process: ProcessMemory
    private var code: [CodeRegion] = []
    private var shared: [SharedRegion] = []
    /// Private pages, from here on; 0: there are none.
    ///
    ///     0       the process's id as helpers cache it; wiped on fork; lends its bytes for names
    ///     4096    whether the process has set a system-call filter; a fork hands it on
    ///     8192    who owns which lane of the counters; wiped on fork
    private(set) var scratchPage: UInt64 = 0

    static let firstRegionSize = 1 << 20
    private static let privateSize = UInt64((8192 + MemoryLayout<fs_lane_owners>.size).roundedUp(to: 4096))
    var laneOwners: UInt64 { scratchPage + 8192 }
    private var pid: Int32 { process.pid }

    init(_ process: consuming ProcessMemory) { self.process = process }

    func write(_ bytes: [UInt8], at address: UInt64) throws(EngineError) {
        do throws(ProcessError) {
            try process.write(bytes, at: address)
        } catch {
            throw .target(pid: pid, doing: "write \(bytes.count) bytes", because: "\(error)")
        }
    }

    func read(_ count: Int, at address: UInt64) throws(EngineError) -> [UInt8] {
        do throws(ProcessError) {
            return try process.read(at: address, count: count)
        } catch {
            throw .target(pid: pid, doing: "read \(count) bytes", because: "\(error)")
        }
    }

    // MARK: - Private pages

    /// Makes the private pages. The first one lends its bytes as a name until `preparePrivatePages`.
    mutating func makePrivatePages(in process: inout StoppedProcess) throws(EngineError) {
        scratchPage = try InjectedCalls(pid: pid).check("make pages of memory") { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_mmap, 0, Self.privateSize, UInt64(PROT_READ | PROT_WRITE),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS), UInt64.max, 0)
        }
        try write(Array("fsession\0".utf8), at: scratchPage)
    }

    /// Makes them what helpers expect, also after a fork.
    func preparePrivatePages(in process: inout StoppedProcess) throws(EngineError) {
        try write(Array(repeating: 0, count: 16), at: scratchPage)
        for (start, size) in [(scratchPage, UInt64(4096)), (laneOwners, Self.privateSize - 8192)] {
            _ = try InjectedCalls(pid: pid).check("prepare for fork") { () throws(ProcessError) in
                try process.systemCall(clinux_sys_madvise, start, size, 18 /* MADV_WIPEONFORK */)
            }
        }
    }

    /// The runtime makes no system calls from now on.
    func makeNoCalls(in process: inout StoppedProcess) throws(EngineError) {
        let own = try InjectedCalls(pid: pid).check("ask for its id") { () throws(ProcessError) in
            try process.systemCall(clinux_sys_getpid)
        }
        try write(withUnsafeBytes(of: UInt32(truncatingIfNeeded: own).littleEndian, Array.init), at: scratchPage)
        try write([1, 0, 0, 0], at: scratchPage + 4096)
    }

    // MARK: - Shared regions

    /// Takes up a region that the target has mapped. The first one tells which processes hold our memory.
    mutating func add(_ region: SharedRegion) { shared.append(region) }

    // MARK: - Code

    /// Where the regions of code are, in ascending order.
    var codeRanges: [Range<UInt64>] { code.map(\.range).sorted { $0.lowerBound < $1.lowerBound } }

    /// Whether `address` lies in code of ours.
    func isCode(_ address: UInt64) -> Bool { code.contains { $0.range.contains(address) } }

    /// Makes a code region that reaches all of `module` and the code that is there already.
    mutating func addCode(near module: Range<UInt64>, size: Int, in process: inout StoppedProcess) throws(EngineError) {
        let size = size.roundedUp(to: 4096)
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: pid)
        } catch {
            throw .target(pid: pid, doing: "find room for code", because: "\(error)")
        }
        guard let place = map.gap(near: module, size: UInt64(size), within: Architecture.reach) else {
            throw .target(
                pid: pid, doing: "find room for code",
                because: "there are no \(size >> 10) KiB of free address space within 2 GiB of its functions")
        }
        let base = try InjectedCalls(pid: pid).check("make room for code") { () throws(ProcessError) in
            try process.systemCall(
                clinux_sys_mmap, place, UInt64(size), UInt64(PROT_READ | PROT_EXEC),
                UInt64(MAP_PRIVATE | MAP_ANONYMOUS | 0x100000 /* MAP_FIXED_NOREPLACE */), UInt64.max, 0)
        }
        guard base == place else {
            _ = try? process.systemCall(clinux_sys_munmap, base, UInt64(size))
            throw .target(pid: pid, doing: "make room for code", because: "the kernel did not give the address asked for")
        }
        let region = CodeRegion(base: base, size: size)
        try writeHead(of: region)
        code.append(region)
    }

    /// Whether a region has room for `count` bytes that reach all of `module`.
    func hasRoom(_ count: Int, near module: Range<UInt64>) -> Bool {
        code.contains { $0.free >= count && $0.reaches(module.lowerBound) && $0.reaches(module.upperBound) }
    }

    /// Takes `count` bytes that reach all of `module`.
    mutating func allocate(_ count: Int, near module: Range<UInt64>) throws(EngineError) -> UInt64 {
        for index in code.indices where code[index].reaches(module.lowerBound) && code[index].reaches(module.upperBound) {
            if let place = code[index].allocate(count) { return place }
        }
        throw .target(pid: pid, doing: "place code", because: "the room for it is used up")
    }

    /// Takes `count` bytes that reach `address`.
    mutating func allocate(_ count: Int, near address: UInt64) throws(EngineError) -> UInt64 {
        try allocate(count, near: address..<(address &+ 1))
    }

    /// Writes code into a region, soon: `flush` at the latest.
    mutating func stage(_ bytes: [UInt8], at address: UInt64) throws(EngineError) {
        guard let index = code.firstIndex(where: { $0.range.contains(address) }) else {
            throw .target(pid: pid, doing: "place code", because: "no region holds its address")
        }
        if !code[index].canStage(at: address) { try flush() }
        code[index].stage(bytes, at: address)
    }

    /// Writes what is staged, and says in each region's head how much of it is used.
    mutating func flush() throws(EngineError) {
        for index in code.indices {
            if let staged = code[index].takeStaged() { try write(staged.bytes, at: staged.address) }
        }
        for region in code { try writeHead(of: region) }
    }

    /// Puts a record into a region that reaches `address`; gives where its code is.
    mutating func install(_ record: CodeRecord, near address: UInt64) throws(EngineError) -> UInt64 {
        let bytes = record.encoded
        let place = try allocate(bytes.count, near: address)
        try stage(bytes, at: place)
        try flush()
        return place + UInt64(record.codeOffset)
    }

    private func writeHead(of region: CodeRegion) throws(EngineError) {
        try write(region.head(controller: getpid(), startTime: ControllerIdentity.startTime), at: region.base)
    }

    // MARK: - At the end

    /// What a process has of it: a child that was forked before a region was made has something else at its place, or nothing.
    struct Part {
        fileprivate var code: [CodeRegion]
        fileprivate var shared: [SharedRegion]
        /// Whether it is all.
        var isWhole: Bool
        /// Whether code is missing altogether, though there is some.
        var hasNoCode: Bool
        var isEmpty: Bool { code.isEmpty && shared.isEmpty }
    }

    func part(in process: borrowing StoppedProcess, _ map: MemoryMap) -> Part {
        var code: [CodeRegion] = []
        for region in self.code where isOurs(region, in: process.memory) { code.append(region) }
        let shared = self.shared.filter { region in
            map.region(at: region.targetAddress).map { region.identity.isFile(of: $0) } ?? false
        }
        return Part(
            code: code, shared: shared, isWhole: code.count == self.code.count && shared.count == self.shared.count,
            hasNoCode: code.isEmpty && !self.code.isEmpty)
    }

    private func isOurs(_ region: CodeRegion, in memory: borrowing ProcessMemory) -> Bool {
        let head = region.head(controller: getpid(), startTime: ControllerIdentity.startTime)
        // Magic, version, controller, start time.
        return (try? memory.read(at: region.base, count: 24)) == Array(head.prefix(24))
    }

    /// Code that has to stay is nobody's from now on: nothing jumps to it, and a later session need not mind it.
    func disown(in pid: Int32) {
        guard let memory = try? ProcessMemory(pid: pid) else { return }
        for region in code where isOurs(region, in: memory) {
            try? memory.write(CodeRegion.nobody, at: region.base + CodeRegion.controllerOffset)
        }
    }

    /// Unmaps what a process has of it.
    func unmap(_ part: Part, in process: inout StoppedProcess) {
        for region in part.code { _ = try? process.systemCall(clinux_sys_munmap, region.base, UInt64(region.size)) }
        if scratchPage != 0, shared.isEmpty || part.shared.contains(where: { $0 === shared[0] }) {
            _ = try? process.systemCall(clinux_sys_munmap, scratchPage, Self.privateSize)
        }
        // The first region last: it is what tells that the process still holds our memory.
        for region in part.shared.reversed() {
            _ = try? process.systemCall(clinux_sys_munmap, region.targetAddress, UInt64(region.size))
        }
    }

    /// Gives all of it back: nobody uses it yet.
    mutating func giveBack(in process: inout StoppedProcess) {
        unmap(Part(code: code, shared: shared, isWhole: true, hasNoCode: false), in: &process)
        code = []
        shared = []
        scratchPage = 0
    }
}

/// The runtime's code in the target.
struct InstalledRuntime: Sendable {
    let address: UInt64
    /// The routine that copies stack words without faulting.
    var safeCopy: UInt64?

    /// Where a routine is; nil if there is none of that name.
    func routine(_ name: String) -> UInt64? { place(fs_runtime_function_offset(name)) }

    func helper(_ id: UInt32) -> UInt64? { place(fs_runtime_helper_offset(id)) }

    private func place(_ offset: some BinaryInteger) -> UInt64? { offset < 0 ? nil : address + UInt64(offset) }
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
