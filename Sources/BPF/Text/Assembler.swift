/// Reads programs in the syntax of the kernel's log: what ``Disassembler`` writes, and a little more for people —
/// labels (`name:` alone on a line, named by `goto`, `call`, `subprog[name]`), comments from `;` or `//` to the
/// end of the line, `= 5 ll` for a wide load in decimal, and the `12: (b7)` that the log has before instructions.
///
/// As in the log, `r1 = 5` is a move and `r1 = 0x5` the wide load of two slots.
package enum Assembler {
    package static func assemble(_ text: String) throws(AssemblyError) -> [Instruction] {
        var builder = ProgramBuilder()
        var labels: [String: ProgramBuilder.Label] = [:]
        var uses: [(name: String, line: Int)] = []
        var lineOfSlot: [Int: Int] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            var parser = LineParser(line, number: number)
            parser.skipLogPrefix()
            if parser.isAtEnd { continue }
            let label = { (name: String) -> ProgramBuilder.Label in
                if let label = labels[name] { return label }
                let label = builder.makeLabel()
                labels[name] = label
                return label
            }
            if let name = parser.labelDefinition() {
                let label = label(name)
                guard !builder.isPlaced(label) else {
                    throw AssemblyError(line: number, message: "the label '\(name)' is there twice")
                }
                builder.place(label)
                if parser.isAtEnd { continue }
            }
            lineOfSlot[builder.instructions.count] = number
            switch try parser.statement() {
            case .slots(let slots): builder.append(slots)
            case .jump(let name, long: false):
                uses.append((name, number))
                builder.jump(to: label(name))
            case .jump(let name, long: true):
                uses.append((name, number))
                builder.jumpLong(to: label(name))
            case .mayGoto(let name):
                uses.append((name, number))
                builder.mayGoto(to: label(name))
            case .branch(let condition, let width, let left, let right, let name):
                uses.append((name, number))
                builder.branch(condition, width, left, right, to: label(name))
            case .call(let name):
                uses.append((name, number))
                builder.call(label(name))
            case .function(let register, let name):
                uses.append((name, number))
                builder.loadFunction(register, label(name))
            }
            try parser.expectEnd()
        }
        for (name, line) in uses {
            guard let label = labels[name], builder.isPlaced(label) else {
                throw AssemblyError(line: line, message: "there is no label '\(name)'")
            }
        }
        do {
            return try builder.finish()
        } catch {
            switch error {
            case .labelNotPlaced(let slot), .tooFar(let slot, _):
                throw AssemblyError(line: lineOfSlot[slot] ?? 0, message: "\(error)")
            }
        }
    }
}

package struct AssemblyError: Error, Hashable, Sendable, CustomStringConvertible {
    package let line: Int
    package let message: String

    package var description: String { "line \(line): \(message)" }
}
