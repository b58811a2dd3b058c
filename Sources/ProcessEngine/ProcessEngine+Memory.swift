import Glibc
import LinuxProcess
import MachineCode
import TargetRuntime
import Trampoline

extension ProcessEngine {
    /// What every session puts into its target: a private page, shared state, the runtime's code.
    func prepareMemory(in process: inout StoppedProcess) throws(EngineError) {
        try memory.makePrivatePages(in: &process)
        let session = try SessionMemory.make(in: &process, scratch: memory.scratchPage)
        try memory.preparePrivatePages(in: &process)
        session.state.pointee.thread_id_offset = process.threadIDOffset()
        if process.threadBlocksNameThemselves() { session.state.pointee.lane_owners_address = memory.laneOwners }
        if process.threads.contains(where: \.dispatchesSystemCalls) {
            // They are dispatched to the process itself, from the beginning on.
            try memory.makeNoCalls(in: &process)
            queue.warn(FilterNotice.dispatchText)
        }
        shared = session
        memory.add(session.region)
        read(TargetRing(session.printRing, .prints(endsLine: false)))

        let code = Array(UnsafeRawBufferPointer(start: fs_runtime_start(), count: fs_runtime_size()))
        let near = functions.executableRange
        try memory.addCode(near: near, size: TargetMemory.firstRegionSize, in: &process)
        runtime = InstalledRuntime(
            address: try memory.install(CodeRecord(kind: .runtime, name: "runtime", code: code), near: near.lowerBound))
        guard let safeCopy = runtime.routine("safe_copy") else { return }
        let thunk = Architecture.thunk(to: safeCopy, fourthArgument: session.stateAddress)
        runtime.safeCopy = try memory.install(CodeRecord(kind: .runtime, name: "safe_copy", code: thunk), near: near.lowerBound)
    }

    /// What was made before something failed: nobody uses it yet.
    func giveMemoryBack(in process: inout StoppedProcess) {
        memory.giveBack(in: &process)
        shared = nil
    }

    /// How trampolines find the lane to count in; nil where threads have no thread block.
    var counterLanes: CallCounters.Lanes? {
        guard let shared, shared.state.pointee.lane_owners_address != 0, let slowPath = runtime.routine("count") else { return nil }
        return CallCounters.Lanes(owners: memory.laneOwners, state: shared.stateAddress, slowPath: slowPath)
    }

    /// Room for `count` bytes that reaches `address`; makes a region where there is none.
    func ensureRoom(_ count: Int, near module: Range<UInt64>) throws(EngineError) {
        let needed = count + 4096
        if memory.hasRoom(needed, near: module) { return }
        try withStopped { engine, process throws(EngineError) in
            try engine.memory.addCode(near: module, size: max(needed, TargetMemory.firstRegionSize), in: &process)
        }
    }

    /// Whether `address` lies in code of ours.
    func isOurCode(_ address: UInt64) -> Bool { memory.isCode(address) }
}
