import BPF
import PlainText

/// The log, in the kernel's format.
struct VerifierLog: Sendable {
    enum Level: Sendable {
        case off
        /// The path that is being walked only.
        case path
        case all
    }

    struct Position: Sendable {
        fileprivate var count = 0
    }

    private let level: Level
    private let input: VerifierInput
    private let disassembler: Disassembler
    private(set) var lines: [String] = []
    private var lastLine: SourceLine?
    /// Lines that were left out so that the log stays of a size that can be read.
    private var leftOut = 0
    private static let lineLimit = 200_000

    init(level: Level, input: VerifierInput) {
        self.level = level
        self.input = input
        let maps = input.maps.map(\.name)
        let externs = input.externs.map(\.name)
        disassembler = Disassembler(
            mapName: { maps.indices.contains(Int($0)) ? maps[Int($0)] : nil },
            externName: { externs.indices.contains(Int($0)) ? externs[Int($0)] : nil })
    }

    var isOn: Bool { level != .off }
    var position: Position { Position(count: lines.count) }

    /// What was logged since belongs to another path.
    mutating func returnTo(_ position: Position) {
        if level == .path, position.count < lines.count { lines.removeSubrange(position.count...) }
    }

    var text: String {
        var text = lines.joined(separator: "\n")
        if leftOut > 0 { text += "\n… \(leftOut) lines left out" }
        return text
    }

    mutating func note(_ text: @autoclosure () -> String) {
        guard isOn else { return }
        add(text())
    }

    private mutating func add(_ line: String) {
        if lines.count < Self.lineLimit { lines.append(line) } else { leftOut += 1 }
    }

    mutating func instruction(_ slot: Int, _ operation: Operation) {
        if let source = input.line(at: slot), source.line != lastLine?.line || source.file != lastLine?.file {
            lastLine = source
            add("; \(source.code) @ \(source.place)")
        }
        let opcode = input.instructions[slot].opcode.rawValue
        let digits = String(opcode, radix: 16)
        add("\(slot): (\(digits.utf8.count < 2 ? "0" : "")\(digits)) \(disassembler.text(operation))")
    }

    /// Behind the instruction, what has changed.
    mutating func changes(from before: PathSnapshot, to after: PathSnapshot, _ operation: Operation) {
        guard let last = lines.indices.last, before.depth == after.depth else {
            if before.depth != after.depth { add("frame\(after.depth): \(registers(after))") }
            return
        }
        var parts: [String] = []
        for index in 0..<10 where !before.registers[index].isSame(as: after.registers[index]) {
            if after.registers[index].kind == .uninitialized { continue }
            parts.append("R\(index)=\(text(after.registers[index]))")
        }
        for index in after.stack.indices where index >= before.stack.count || before.stack[index] != after.stack[index] {
            parts.append("fp-\((index + 1) * 8)=\(text(after.stack[index]))")
        }
        guard !parts.isEmpty else { return }
        let padding = String(repeating: " ", count: max(1, 40 - lines[last].utf8.count))
        lines[last] += "\(padding); \(parts.joined(separator: " "))"
    }

    mutating func path(from slot: Int, to state: PathSnapshot) {
        guard isOn else { return }
        lastLine = nil
        add("")
        add("from \(slot) to \(state.slot): \(registers(state))")
    }

    /// All that is known.
    func registers(_ state: PathSnapshot) -> String {
        var parts: [String] = []
        for (index, register) in state.registers.enumerated() where register.kind != .uninitialized {
            parts.append("R\(index)=\(text(register))")
        }
        for (index, slot) in state.stack.enumerated() where slot.bytes != 0 {
            parts.append("fp-\((index + 1) * 8)=\(text(slot))")
        }
        for reference in state.references { parts.append("refs=\(reference.id)") }
        return parts.joined(separator: " ")
    }

    // MARK: - Values

    /// The kernel's name of a kind of pointer.
    func kindName(_ register: RegisterState) -> String {
        let name =
            switch register.kind {
            case .uninitialized: "?"
            case .scalar: "scalar"
            case .context: "ctx"
            case .frame: "fp"
            case .map: "map_ptr"
            case .mapValue: "map_value"
            case .mapKey: "map_key"
            case .memory: register.isRecord ? "ringbuf_mem" : register.isReadOnly ? "rdonly_mem" : "mem"
            case .function: "func"
            }
        return register.isNullable ? name + "_or_null" : name
    }

    func text(_ bits: KnownBits) -> String {
        bits.isConstant ? "\(hexadecimal(bits.value))" : "(\(hexadecimal(bits.value)); \(hexadecimal(bits.mask)))"
    }

    private func hexadecimal(_ number: UInt64) -> String { "0x\(String(number, radix: 16))" }

    func text(_ register: RegisterState) -> String {
        switch register.kind {
        case .uninitialized: return "?"
        case .scalar:
            if let constant = register.value.constant {
                let signed = Int64(bitPattern: constant)
                return signed.magnitude < 1 << 32 ? "\(signed)" : hexadecimal(constant)
            }
            var parts = bounds(register.value)
            if register.id != 0 {
                parts.insert("id=\(register.id)\(register.delta == 0 ? "" : register.delta > 0 ? "+\(register.delta)" : "\(register.delta)")", at: 0)
            }
            return "scalar(\(parts.joined(separator: ",")))"
        case .frame:
            let frame = register.frame == 0 ? "" : "[\(register.frame)]"
            if let offset = register.fixedOffset { return "fp\(frame)\(offset)" }
            return "fp\(frame)(\(bounds(register.value).joined(separator: ",")))"
        default:
            var parts: [String] = []
            if register.id != 0 { parts.append("id=\(register.id)") }
            if register.reference != 0 { parts.append("ref_obj_id=\(register.reference)") }
            switch register.kind {
            case .map, .mapValue, .mapKey:
                let index = Int(register.index)
                if input.maps.indices.contains(index) {
                    let map = input.maps[index]
                    parts.append("map=\(map.name),ks=\(map.keySize),vs=\(map.valueSize)")
                }
            case .memory: parts.append("sz=\(register.size)")
            default: break
            }
            if let offset = register.fixedOffset {
                if offset != 0 { parts.append("off=\(offset)") }
            } else {
                parts += bounds(register.value)
            }
            return "\(kindName(register))(\(parts.joined(separator: ",")))"
        }
    }

    private func bounds(_ value: Scalar) -> [String] {
        var parts: [String] = []
        if value.signedMinimum != .min { parts.append("smin=\(value.signedMinimum)") }
        if value.signedMaximum != .max { parts.append("smax=\(value.signedMaximum)") }
        if value.minimum != 0 { parts.append("umin=\(value.minimum)") }
        if value.maximum != .max { parts.append("umax=\(value.maximum)") }
        if value.signedMinimum32 != .min, Int64(value.signedMinimum32) != value.signedMinimum {
            parts.append("smin32=\(value.signedMinimum32)")
        }
        if value.signedMaximum32 != .max, Int64(value.signedMaximum32) != value.signedMaximum {
            parts.append("smax32=\(value.signedMaximum32)")
        }
        if value.minimum32 != 0, UInt64(value.minimum32) != value.minimum { parts.append("umin32=\(value.minimum32)") }
        if value.maximum32 != .max, UInt64(value.maximum32) != value.maximum {
            parts.append("umax32=\(value.maximum32)")
        }
        if value.bits != .unknown { parts.append("var_off=\(text(value.bits))") }
        return parts
    }

    func text(_ slot: StackSlot) -> String {
        if slot.isWholeSpill { return text(slot.register) }
        var text = ""
        for index in (0..<8).reversed() {
            switch slot.byte(index) {
            case StackSlot.empty, StackSlot.text: text += "?"
            case StackSlot.spilled, StackSlot.spilledHigh: text += "r"
            case StackSlot.zero: text += "0"
            default: text += "m"
            }
        }
        return text
    }
}

extension SourceLine {
    /// The text without its indentation. What an object says of its source may hold anything; in the log it is one line.
    var code: String { String(text.drop { $0 == " " || $0 == "\t" }).escapingControls() }

    var place: String { "\(file.escapingControls()):\(line)" }
}
