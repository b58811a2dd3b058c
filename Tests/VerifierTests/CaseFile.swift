import BPF
import BTF
import Verifier

/// A case of `Cases/`: a program, what it refers to, and what the verifier must say of it.
///
///     # one line that says what must hold
///     kind: fsession                           fentry, fexit, fmod_ret or fsession, which is the default
///     args: 2                                  words of a known prototype; without it none is known
///     map counts: hash key=4 value=8 entries=16
///     data .rodata: 01 02 03 04 frozen         a section of variables
///     extern variable environ                  or: extern weak function name
///     subprog global use(ctx, mem 16, nonnull 16, int): int
///     leaks: allowed                           pointers may be stored and compared
///     verdict: reject                          or accept
///     message: R2 !read_ok                     for reject: words of the log
///     ---
///     r1 = &map counts                         assembly as `Assembler` takes it; besides:
///     r2 = &mapvalue .rodata + 0               a variable
///     r3 = &func name                          a function to call back
///     r4 = &ksym environ                       the address of an extern variable
///     call kfunc name                          a kfunc; those of sessions without the word
///     may_goto label
struct CaseFile: Sendable {
    enum Expectation: Hashable, Sendable {
        case accept
        case reject(message: String)
    }

    /// Group and file name without its suffix.
    let name: String
    let title: String
    let expectation: Expectation
    let input: VerifierInput
    let options: VerifierOptions

    init(name: String, text: String) throws(CaseError) {
        do throws(CaseError) {
            var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
            guard let first = lines.popFirst(), first.hasPrefix("# ") else {
                throw CaseError("the first line is not '# ' and what must hold")
            }
            guard let end = lines.firstIndex(of: "---") else { throw CaseError("there is no line '---'") }
            var head = CaseHead()
            for line in lines[..<end] { try head.read(line) }
            self.name = name
            title = String(first.dropFirst(2))
            expectation = try head.expectation()
            options = head.options
            var assembly = CaseAssembly(maps: head.maps, externs: head.externs)
            let instructions = try assembly.assemble(lines[lines.index(after: end)...])
            let types = CaseTypes(head.globals)
            var subprograms: [ObjectProgram.Subprogram] = []
            for (function, typeID) in zip(head.globals, types.functionIDs) {
                subprograms.append(
                    ObjectProgram.Subprogram(
                        name: function.name, start: try assembly.start(of: function.name), isGlobal: true,
                        typeID: BTF.TypeID(rawValue: typeID)))
            }
            let btf: BTF?
            do { btf = head.globals.isEmpty ? nil : try BTF(bytes: types.bytes) } catch { throw CaseError("\(error)") }
            input = VerifierInput(
                name: name, kind: head.kind, instructions: instructions,
                subprograms: subprograms.sorted { $0.start < $1.start }, maps: head.maps, externs: assembly.externs,
                btf: btf, context: head.context)
        } catch {
            throw CaseError("\(name).case: \(error.message)")
        }
    }
}

struct CaseError: Error, Hashable, CustomStringConvertible {
    let message: String
    init(_ message: String) { self.message = message }
    var description: String { message }
}

/// The lines above `---`.
private struct CaseHead {
    var kind = ProgramKind.session
    var context = ContextShape.unknown
    var maps: [MapDefinition] = []
    var externs = SessionKfunc.externs
    var globals: [GlobalFunction] = []
    var options = VerifierOptions()
    private var verdict: Substring?
    private var message: Substring?

    mutating func read(_ line: Substring) throws(CaseError) {
        let words = line.split(separator: " ")
        guard let colon = line.firstIndex(of: ":") ?? (words.first == "extern" ? line.endIndex : nil), !words.isEmpty else {
            throw CaseError("'\(line)' is no line of a head")
        }
        let key = line[..<colon]
        let value = colon < line.endIndex ? line[line.index(after: colon)...].drop { $0 == " " } : ""
        switch key {
        case "kind":
            guard let kind = ProgramKind(rawValue: String(value)) else { throw CaseError("there is no kind '\(value)'") }
            self.kind = kind
        case "args":
            guard let count = Int(value) else { throw CaseError("'\(value)' is no number of words") }
            context = .words(count)
        case "leaks":
            guard value == "allowed" else { throw CaseError("leaks are 'allowed' or not named") }
            options.allowsPointerLeaks = true
        case "verdict": verdict = value
        case "message": message = value
        default:
            switch words[0] {
            case "map": try map(key.dropFirst(4), value)
            case "data": try data(key.dropFirst(5), value)
            case "extern":
                let isFunction = words.dropFirst().dropLast() == ["weak", "function"]
                guard let name = words.last, isFunction || words.dropFirst().dropLast() == ["variable"] else {
                    throw CaseError("'\(line)': extern variable NAME or extern weak function NAME")
                }
                externs.append(Extern(name: String(name), isFunction: isFunction, isWeak: true, typeID: nil))
            case "subprog": globals.append(try GlobalFunction(line))
            default: throw CaseError("'\(key)' is nothing that a head holds")
            }
        }
    }

    func expectation() throws(CaseError) -> CaseFile.Expectation {
        switch (verdict, message) {
        case ("accept", _): return .accept
        case ("reject", let message?) where !message.isEmpty: return .reject(message: String(message))
        case ("reject", _): throw CaseError("a refusal has a message")
        default: throw CaseError("the verdict is 'accept' or 'reject'")
        }
    }

    /// `map counts: hash key=4 value=8 entries=16`
    private mutating func map(_ name: Substring, _ description: Substring) throws(CaseError) {
        let words = description.split(separator: " ")
        guard let type = MapType.allCases.first(where: { $0.kernelName == words.first ?? "" }) else {
            throw CaseError("'\(description)' begins with no type of a map")
        }
        var numbers: [Substring: UInt32] = [:]
        for word in words.dropFirst() {
            let parts = word.split(separator: "=")
            guard parts.count == 2, ["key", "value", "entries"].contains(parts[0]), let number = UInt32(parts[1]) else {
                throw CaseError("'\(word)' is no size of a map")
            }
            numbers[parts[0]] = number
        }
        maps.append(
            MapDefinition(
                name: String(name), type: type, keySize: numbers["key", default: 0], valueSize: numbers["value", default: 0],
                maxEntries: numbers["entries", default: 0]))
    }

    /// `data .rodata: 01 02 03 04 frozen`
    private mutating func data(_ name: Substring, _ description: Substring) throws(CaseError) {
        var words = description.split(separator: " ")
        let isFrozen = words.last == "frozen"
        if isFrozen { words.removeLast() }
        var contents: [UInt8] = []
        for word in words {
            guard let byte = UInt8(word, radix: 16) else { throw CaseError("'\(word)' is no byte") }
            contents.append(byte)
        }
        let section: MapDefinition.DataSection = isFrozen ? .rodata : name == ".bss" ? .bss : .data
        maps.append(
            MapDefinition(
                name: String(name), type: .array, keySize: 4, valueSize: UInt32(contents.count), maxEntries: 1,
                section: section, initialContents: contents))
    }
}
