import BPF
import CLinux
import Glibc
import JIT
import LinuxProcess
import Synchronization
import TargetRuntime

/// The shared memory that every session has: `struct fs_state` and the ring of `bpf_trace_printk`.
struct SessionMemory: Sendable {
    let region: SharedRegion
    let printRing: LoadedMap

    /// Address of `struct fs_state` in the target: the sixth argument of every helper.
    var stateAddress: UInt64 { region.address(at: 0) }

    var state: UnsafeMutablePointer<fs_state> {
        region.pointer(at: 0, count: MemoryLayout<fs_state>.size).assumingMemoryBound(to: fs_state.self)
    }

    static let magic: UInt64 = 0x4574_6174_5353_4546
    private static let printRingBytes: UInt32 = 1 << 20

    static func make(
        in process: inout StoppedProcess, scratch: UInt64
    ) throws(EngineError) -> SessionMemory {
        let definition = MapDefinition(
            name: "bpf_trace_printk", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: printRingBytes)
        var layout = SharedLayout()
        _ = layout.placePlain([MemoryLayout<fs_state>.size])
        let ring = layout.placeRing(head: Int(FS_RING_DATA_OFFSET), data: Int(printRingBytes))
        let region = try SharedRegion.make(in: &process, layout: layout, scratch: scratch, for: .session)
        let map = try LoadedMap.make(definition, in: region, at: ring)
        let memory = SessionMemory(region: region, printRing: map)
        memory.fillState(scratch: scratch, printRing: ring)
        return memory
    }

    private func fillState(scratch: UInt64, printRing: Int) {
        Clock.settle()
        let state = state
        state.pointee.magic = SessionMemory.magic
        state.pointee.process_id_address = scratch
        state.pointee.filtered_address = scratch + 4096
        state.pointee.clock_is_tsc = Clock.isSteady ? 1 : 0
        let clock = Clock.parameters()
        state.pointee.clock = (clock, clock)
        let boot = Clock.read(CLOCK_BOOTTIME)
        state.pointee.boottime_delta_ns = Int64(bitPattern: boot &- Clock.monotonic())
        // The kernel's jiffies start at -300 s; HZ is 250 on Debian, and nothing tells a process otherwise.
        state.pointee.nanoseconds_per_jiffy = 4_000_000
        state.pointee.jiffies_at_boot = UInt64(UInt32(bitPattern: -300 * 250))
        state.pointee.print_ring_offset = Int64(printRing)
        withUnsafeMutableBytes(of: &state.pointee.random) { bytes in
            var generator = SystemRandomNumberGenerator()
            for index in bytes.indices { bytes[index] = UInt8.random(in: .min ... .max, using: &generator) }
        }
    }

    /// What programs read the time by themselves with; nil where the kernel is asked.
    var inlineClock: CompileContext.Clock? {
        guard Clock.isSteady, let clock = MemoryLayout<fs_state>.offset(of: \.clock),
            let index = MemoryLayout<fs_state>.offset(of: \.clock_index)
        else { return nil }
        return CompileContext.Clock(
            parameters: stateAddress + UInt64(clock), index: stateAddress + UInt64(index),
            filtered: state.pointee.filtered_address)
    }

    /// Writes the conversion of the time stamp counter anew: the longer the session, the more exact.
    func refreshClock() {
        guard Clock.isSteady else { return }
        let state = state
        let current = state.pointee.clock_index & 1
        let previous = current == 0 ? state.pointee.clock.0 : state.pointee.clock.1
        // Once the two readings are a minute apart there is nothing to gain.
        guard previous.base_ns &- Clock.start.nanoseconds < 60_000_000_000 else { return }
        let clock = Clock.parameters(continuing: previous)
        if current == 0 { state.pointee.clock.1 = clock } else { state.pointee.clock.0 = clock }
        region.pointer(at: 0, count: MemoryLayout<fs_state>.size)
            .advanced(by: MemoryLayout<fs_state>.offset(of: \.clock_index) ?? 0)
            .withMemoryRebound(to: UInt32.self, capacity: 1) { fs_atomic_store_u32($0, 1 - current) }
    }
}

extension LoadedMap {
    /// Makes a map in zeroed shared memory.
    static func make(
        _ definition: MapDefinition, in region: SharedRegion, at offset: Int
    ) throws(EngineError) -> LoadedMap {
        var specification = definition.specification
        let size = try definition.memorySize()
        let error = fs_map_init(region.pointer(at: offset, count: size), &specification)
        if error != 0 {
            throw .map(name: definition.name, because: String(cString: strerror(-error)))
        }
        return LoadedMap(definition: definition, region: region, offset: offset, size: size)
    }
}

extension MapDefinition {
    /// Bytes of address space the map takes.
    /// - Throws: `EngineError.map` for a type or size that a process cannot have.
    func memorySize() throws(EngineError) -> Int {
        if isPinned {
            throw .map(name: name, because: "maps are pinned by the kernel only; leave __uint(pinning, …) out for a process")
        }
        var specification = specification
        var why: UnsafePointer<CChar>?
        let size = fs_map_size(&specification, &why)
        guard size > 0 else {
            throw .map(
                name: name,
                because: "\(type.kernelName): \(why.map { String(cString: $0) } ?? "unsupported"); docs/helpers.md lists the map types of a process")
        }
        guard size <= 16 << 30 else {
            throw .map(name: name, because: "it takes \(size >> 20) MiB; use fewer or smaller entries")
        }
        return size
    }
}

/// Which processes hold a session's shared memory: the target, and children that it forked.
enum MappedProcesses {
    static func all(_ identity: FileIdentity) -> [Int32] {
        ProcessList.findProcesses(mappingDevice: identity.device, inode: identity.inode)
    }

    static func holds(_ pid: Int32, _ identity: FileIdentity) -> Bool {
        guard let map = try? MemoryMap(pid: pid) else { return false }
        return map.regions.contains { identity.isFile(of: $0) }
    }
}
