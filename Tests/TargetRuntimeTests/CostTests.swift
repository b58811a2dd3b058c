import Foundation
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["FSESSION_BENCH"] != nil)) struct CostTests {
    @Test("what a helper costs, in nanoseconds, stays below a microsecond unless it asks the kernel")
    func costs() throws {
        let session = try Session()
        let ring = try session.ring(1 << 24)
        let hash = try session.map(FS_MAP_HASH, key: 8, value: 8, entries: 10_000)
        let perThread = try session.map(FS_MAP_PERCPU_ARRAY, value: 8, entries: 1)
        let array = try session.map(FS_MAP_ARRAY, value: 8, entries: 1)
        let costs = test_costs(ring.pointer, hash.pointer, perThread.pointer, array.pointer, session.state)
        let lines = [
            ("ringbuf_output, 32 bytes", costs.ring_output), ("ringbuf_reserve + submit, 32 bytes", costs.ring_reserve_submit),
            ("hash lookup, 1000 elements", costs.hash_lookup), ("hash update in place", costs.hash_update),
            ("per-CPU array lookup", costs.percpu_lookup), ("array lookup", costs.array_lookup),
            ("ktime_get_ns", costs.clock), ("get_current_pid_tgid", costs.pid_tgid),
        ]
        for (name, cost) in lines {
            print("\(name): \(String(format: "%.1f", cost)) ns")
            #expect(cost > 0 && cost < 1000)
        }
        print("probe_read_user, 8 bytes: \(String(format: "%.1f", costs.probe_read)) ns")
    }
}
