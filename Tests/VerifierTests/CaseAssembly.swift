import BPF

/// The program text of a case: the assembler's syntax, with names for what is outside the program.
struct CaseAssembly {
    let maps: [MapDefinition]
    /// What the program refers to: those of the head, then what it calls.
    private(set) var externs: [Extern]
    private var text = ""

    init(maps: [MapDefinition], externs: [Extern]) {
        self.maps = maps
        self.externs = externs
    }

    mutating func assemble(_ lines: ArraySlice<Substring>) throws(CaseError) -> [Instruction] {
        for line in lines { text += try translate(line) + "\n" }
        return try instructions(of: text).map { instruction in
            instruction.immediate == Self.mayGotoMark && instruction.opcode == Self.mayGotoStandIn
                ? Instruction(opcode: Opcode(rawValue: 0xe5), offset: instruction.offset) : instruction
        }
    }

    /// The slot of a label, told by a call to it.
    func start(of label: String) throws(CaseError) -> Int {
        let probe = try instructions(of: text + "call \(label)\n")
        guard let call = probe.last, let distance = call.distance else { throw CaseError("'\(label)' starts nowhere") }
        return probe.count + distance
    }

    private func instructions(of text: String) throws(CaseError) -> [Instruction] {
        do { return try Assembler.assemble(text) } catch { throw CaseError("\(error)") }
    }

    /// `may_goto` (`BPF_JCOND`) is no instruction that programs outside the verifier may hold yet: a comparison
    /// that nobody writes stands for it until the distances are known.
    private static let mayGotoMark: Int32 = 0x6d61_7967
    private static let mayGotoStandIn = Instruction.branch(.equal, .bits64, .r0, .immediate(mayGotoMark), 0).opcode

    private mutating func translate(_ line: Substring) throws(CaseError) -> String {
        let words = line.split(separator: " ")
        if words.count >= 4, words[1] == "=", words[2].hasPrefix("&") {
            let register = words[0]
            switch words[2] {
            case "&map": return "\(register) = map[idx:\(try map(words[3]))]"
            case "&mapvalue":
                guard words.count == 6, words[4] == "+" else { throw CaseError("'\(line)': &mapvalue NAME + OFFSET") }
                return "\(register) = map[idx:\(try map(words[3]))]+\(words[5])"
            case "&func": return "\(register) = subprog[\(words[3])]"
            case "&ksym":
                guard let index = externs.firstIndex(where: { $0.name == words[3] }) else {
                    throw CaseError("'\(line)': the head names no extern variable '\(words[3])'")
                }
                return "\(register) = ksym[\(index)]"
            default: throw CaseError("'\(line)': & is for map, mapvalue, func and ksym")
            }
        }
        if words.first == "may_goto", words.count == 2 { return "if r0 == \(Self.mayGotoMark) goto \(words[1])" }
        guard words.first == "call", let name = words.dropFirst().last else { return String(line) }
        let known = externs.firstIndex { $0.name == name }
        if words.count == 3, words[1] == "kfunc", known == nil {
            externs.append(Extern(name: String(name), isFunction: true, isWeak: false, typeID: nil))
            return "call kernel-function#\(externs.count - 1)"
        }
        return known.map { "call kernel-function#\($0)" } ?? String(line)
    }

    private func map(_ name: Substring) throws(CaseError) -> Int {
        guard let index = maps.firstIndex(where: { $0.name == name }) else { throw CaseError("there is no map '\(name)'") }
        return index
    }
}
