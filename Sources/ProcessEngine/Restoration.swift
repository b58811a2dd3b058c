import LinuxProcess
import Trampoline

/// Functions that are to get their own bytes back, and what has to be written for that: worked out before the process is
/// stopped.
struct Restoration: Sendable {
    private let functions: [TracedFunction]
    /// Each owned by the index of its function.
    private let patches: CodePatches
    /// Where a thread goes on that is between the two jumps of an entry: it stands in what is padding again.
    private let padded: [UInt64: UInt64]

    init(of functions: [TracedFunction]) {
        self.functions = functions
        var padded: [UInt64: UInt64] = [:]
        var patches: [CodePatches.Patch] = []
        patches.reserveCapacity(functions.count)
        for (index, function) in functions.enumerated() {
            guard let jump = function.jump else { continue }
            let patch = function.patch
            if let place = patch.betweenJumps { padded[place.patched] = place.original }
            patches.append(.init(address: patch.address, owner: index, expected: jump, new: patch.original))
        }
        self.padded = padded
        self.patches = CodePatches(patches)
    }

    /// What it came to.
    struct Result {
        /// How many had a jump of ours.
        var restored = 0
        /// Those at which something else stands, which may have taken our jump along.
        var overpatched: [FunctionInfo] = []
    }

    /// Gives functions their own bytes back, where they still hold our jump, and moves threads out of the copies of their first
    /// instructions.
    /// - Parameter isOurs: whether an address lies in code of ours.
    @discardableResult
    func apply(to process: inout StoppedProcess, isOurs: (UInt64) -> Bool) throws(EngineError) -> Result {
        var result = Result()
        do throws(ProcessError) {
            try StackScan.redirect(padded, in: &process)
            // A child that was forked before a program came or went has the jumps of then.
            let others = try patches.apply(to: process.memory) { found, patch in
                functions[patch.owner].patch.image(of: found).map(isOurs) ?? false
            }
            result.restored = patches.patches.count - others.count
            let changed = others.filter { other in other.found.map { $0 != other.patch.new } ?? false }
            if !changed.isEmpty {
                let map = try MemoryMap(pid: process.pid)
                result.overpatched = changed.filter { isOfProcess($0.patch, functions[$0.patch.owner].info, map) }
                    .map { functions[$0.patch.owner].info }
            }
            for thread in process.threads {
                guard var registers = try? thread.registers(), isOurs(registers.instructionPointer) else { continue }
                for function in functions {
                    if let original = function.displaced.patch.placeWhenRestored(registers.instructionPointer) {
                        registers.instructionPointer = original
                        try thread.setRegisters(registers)
                        break
                    }
                }
            }
        } catch {
            throw .target(pid: process.pid, doing: "give its functions their bytes back", because: "\(error)")
        }
        return result
    }

    /// Whether a function is still where a patch is: it is no library that this process has unloaded, or a child never loaded.
    private func isOfProcess(_ patch: CodePatches.Patch, _ info: FunctionInfo, _ map: MemoryMap) -> Bool {
        guard let region = map.region(at: patch.address) else { return false }
        return region.permissions.contains(.execute) && (region.inode == 0 || region.path == info.modulePath)
    }
}
