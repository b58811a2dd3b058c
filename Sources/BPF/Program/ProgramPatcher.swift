/// Replaces instructions of a program by others of any number and mends what refers across them: jumps, calls of
/// subprograms, function references, and through ``position(of:)`` the tables of subprograms and source lines.
///
/// Slots are always numbered as in the program before any replacement.
package struct ProgramPatcher: Sendable {
    private var original: [Instruction]
    private var replacements: [Int: [Instruction]] = [:]

    package init(_ instructions: [Instruction]) { original = instructions }

    /// Puts `instructions` where the one at `slot` is: both slots of it, if it is a wide load. Jumps to `slot` go
    /// to the first of them, or where there are none to what follows. Distances inside `instructions` are left
    /// alone, so they may jump among themselves and to just behind themselves.
    package mutating func replace(at slot: Int, with instructions: [Instruction]) {
        guard original.indices.contains(slot) else { return }
        replacements[slot] = instructions
    }

    /// The branch at `slot` always jumps to where it may jump.
    package mutating func makeUnconditional(at slot: Int) {
        guard original.indices.contains(slot), let distance = original[slot].distance,
            let short = Int16(exactly: distance)
        else { return }
        original[slot] = .jump(short)
    }

    package struct Patched: Sendable {
        package let instructions: [Instruction]
        fileprivate let positions: [Int]

        /// Where the instruction that was at `slot` is now, or what took its place. The end maps to the end.
        package func position(of slot: Int) -> Int { positions[min(max(slot, 0), positions.count - 1)] }
    }

    package enum PatchError: Error, Hashable, Sendable, CustomStringConvertible {
        case tooFar(slot: Int)
        case badTarget(slot: Int)

        package var description: String {
            switch self {
            case .tooFar(let slot): "instruction \(slot): its jump cannot reach across the instructions put in"
            case .badTarget(let slot): "instruction \(slot): jumps outside the program"
            }
        }
    }

    /// The program with all replacements made.
    package func finish() throws(PatchError) -> Patched {
        var result: [Instruction] = []
        result.reserveCapacity(original.count + replacements.count * 4)
        var positions: [Int] = []
        positions.reserveCapacity(original.count + 1)
        // Original slots that stay, at their new positions.
        var kept: [(slot: Int, position: Int)] = []
        var slot = 0
        while slot < original.count {
            let isWide = original[slot].opcode == .wideLoad && slot + 1 < original.count
            positions.append(result.count)
            if let replacement = replacements[slot] {
                result += replacement
                if isWide { positions.append(result.count) }
            } else {
                kept.append((slot, result.count))
                result.append(original[slot])
                if isWide {
                    positions.append(result.count)
                    result.append(original[slot + 1])
                }
            }
            slot += isWide ? 2 : 1
        }
        positions.append(result.count)

        for (slot, position) in kept {
            guard let distance = original[slot].distance else { continue }
            let target = slot + 1 + distance
            guard positions.indices.contains(target) else { throw .badTarget(slot: slot) }
            guard result[position].setDistance(positions[target] - position - 1) else { throw .tooFar(slot: slot) }
        }
        return Patched(instructions: result, positions: positions)
    }
}
