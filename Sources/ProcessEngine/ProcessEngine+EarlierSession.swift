import LinuxProcess
import MachineCode

extension ProcessEngine {
    /// Two sessions in one process would undo each other's patches: a second one is refused. What a controller
    /// that was killed has left is taken out first; its code stays mapped, as a thread may be inside.
    func replaceEarlierSession(in process: inout StoppedProcess) throws(EngineError) {
        let map: MemoryMap
        do throws(ProcessError) {
            map = try MemoryMap(pid: processID)
        } catch {
            throw .target(pid: processID, doing: "look at its memory", because: "\(error)")
        }
        let holder = SessionClaim.holder(of: processID, map)
        if case .process(let controller) = holder { throw tracedBy(controller) }
        var gone: Int32?
        var abandoned: [UInt64] = []
        for head in ForeignCode.heads(in: map, process.memory) {
            if holder == .unknown, head.names { throw tracedBy(head.controller) }
            if head.controller != 0 {
                gone = head.controller
                abandoned.append(head.base)
            }
        }
        guard let gone else { return }
        // Calls may be inside the code that was left: their frames must go on being found by unwinders.
        let finders = functions.unwinders().hooks
        let patches = ForeignCode.patches(in: processID, process.memory).filter { patch in
            !finders.contains { $0.address &- 8 <= patch.address && patch.address < $0.address &+ 8 }
        }
        do throws(ProcessError) {
            let places = patches.compactMap(\.betweenJumps)
            try StackScan.redirect(Dictionary(places.map { ($0.patched, $0.original) }) { $1 }, in: &process)
        } catch {
            throw .target(pid: processID, doing: "take out what was left in it", because: "\(error)")
        }
        for patch in patches { try memory.write(Array(patch.original), at: patch.address) }
        for base in abandoned { try memory.write(CodeRegion.nobody, at: base + CodeRegion.controllerOffset) }
        queue.warn("an earlier fsession (process \(gone)) was killed; what it had attached here was taken out")
    }

    private func tracedBy(_ controller: Int32) -> EngineError {
        .request("process \(processID) is traced by another fsession (process \(controller)); end that one first")
    }
}
