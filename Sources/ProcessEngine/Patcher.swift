import LinuxProcess
import Search
import Trampoline

/// What lets functions' entries lead to their images: worked out before the target is stopped.
struct Patcher: Sendable {
    /// A function that was not patched before, by its index.
    private struct New {
        var index: Int
        var function: TracedFunction
    }

    private var new: [New] = []
    /// Where nobody may go on once the new ones are patched.
    private let interiors: RangeIndex
    /// Each owned by the index of its change.
    private let patches: CodePatches

    init(_ changes: [PreparedBatch.Change]) {
        var patches: [CodePatches.Patch] = []
        patches.reserveCapacity(changes.count)
        for (index, change) in changes.enumerated() {
            guard let jump = change.function.jump else { continue }
            if change.before == nil { new.append(New(index: index, function: change.function)) }
            patches.append(
                .init(address: change.function.displaced.patch.address, owner: index, expected: change.expected, new: jump))
        }
        interiors = RangeIndex(new.map { $0.function.displaced.patch.interior })
        self.patches = CodePatches(patches)
    }

    /// Lets the entries lead to the images, and threads that stand in the first instructions of a function go on in the moved ones.
    /// - Returns: the functions that could not be patched now, by their index.
    func apply(to process: inout StoppedProcess) throws(EngineError) -> [(index: Int, reason: String)] {
        var busy: [Int: String] = [:]
        var moves: [(thread: Int, to: UInt64)] = []
        if !new.isEmpty {
            let isComplete = StackScan.words(of: &process) { thread, isInstructionPointer, word in
                guard let index = interiors.index(of: word) else { return }
                let new = new[index]
                if isInstructionPointer, let moved = new.function.displaced.patch.placeWhenPatched(word) {
                    moves.append((thread, moved))
                } else {
                    busy[new.index] = "a thread was interrupted in its first instructions; try again"
                }
            }
            guard isComplete else {
                throw .target(
                    pid: process.pid, doing: "patch its functions",
                    because: "its threads' stacks are too large to be looked through while they are stopped")
            }
        }
        let patches = busy.isEmpty ? self.patches : CodePatches(self.patches.patches.filter { busy[$0.owner] == nil })
        do throws(ProcessError) {
            // A thread goes on in the moved entry whether or not its function is patched in the end: it is the same code.
            for move in moves {
                var registers = try process.threads[move.thread].registers()
                registers.instructionPointer = move.to
                try process.threads[move.thread].setRegisters(registers)
            }
        } catch {
            throw .target(pid: process.pid, doing: "move a thread", because: "\(error)")
        }
        do throws(ProcessError) {
            for refusal in try patches.apply(to: process.memory) { busy[refusal.patch.owner] = "its code has changed meanwhile" }
        } catch {
            throw .target(pid: process.pid, doing: "patch its functions", because: "\(error)")
        }
        return busy.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}
