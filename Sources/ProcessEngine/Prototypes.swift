import ELF
import LinuxProcess
import MachineCode
import PlainText
import Search
import Trampoline

/// The prototypes of a module's functions, as far as its debug information tells, and what follows from
/// them for a trampoline.
package struct Prototypes {
    /// A prototype and where its words are. One for each function at most: what links to it, shares it.
    package final class Convention: Sendable {
        let calling: CallingConvention
        /// What events need of it: the prototype is nil where there is no debug information, and the arguments are the
        /// six integer registers.
        let context: ContextWords
        /// Why the function's exit cannot be seen.
        let entryOnlyReason: String?

        package var prototype: FunctionPrototype? { context.prototype }
        /// For each parameter the words of the context that hold it, and whether they point to it.
        package var words: [(range: Range<Int>, isIndirect: Bool)] { context.words }

        init(
            calling: CallingConvention, prototype: FunctionPrototype? = nil,
            words: [(range: Range<Int>, isIndirect: Bool)] = [], returnPlace: CallLayout.Return = .unknown,
            entryOnlyReason: String? = nil
        ) {
            self.calling = calling
            context = ContextWords(prototype: prototype, words: words, returnPlace: returnPlace)
            self.entryOnlyReason = entryOnlyReason
        }

        package static let unknown = Convention(calling: .unknown)
    }

    /// More words of arguments than anybody looks at: large structures by value.
    private static let maximumWords = 64

    private let file: ELFFile
    private let place: DebugFile.Place?
    private var known: [UInt64: FunctionPrototype] = [:]
    private var conventions: [UInt64: Convention] = [:]
    /// What was asked for, each time in ascending order.
    private var asked: [[UInt64]] = []
    private var hasDebugInformation = true
    /// What the debug information has, and fsession does not read: a line each.
    private(set) var remarks: [String] = []

    /// - Parameter symbols: of `file`, which is at `place`; they know which file has the debug information, if there is any.
    init(_ file: ELFFile, at place: DebugFile.Place?, _ symbols: ModuleSymbols?) {
        self.file = symbols?.debugFile ?? file
        self.place = symbols?.debugFile == nil ? place : symbols?.debugPlace
    }

    /// Reads the prototypes of functions at these addresses of the file.
    mutating func read(_ addresses: some Sequence<UInt64>) {
        guard hasDebugInformation else { return }
        let new = addresses.filter { !wasAsked($0) }.sorted()
        guard !new.isEmpty else { return }
        do throws(DebugInfoError) {
            let information = try DebugInfo(file, at: place)
            hasDebugInformation = !information.isEmpty
            guard hasDebugInformation else { return }
            known.merge(information.prototypes(for: new)) { $1 }
            asked.append(new)
            remark(on: information)
        } catch {
            hasDebugInformation = false
            if case .unreadable = error { remarks.append("\(error)") }
        }
        file.dropPages()
    }

    private mutating func remark(on information: DebugInfo) {
        if let first = information.separateFiles.min() {
            let others = information.separateFiles.count - 1
            remarks.append(
                "the types are in \(first.escapingControls())\(others > 0 ? " and \(others) other files" : ""), which fsession does not read; "
                    + "without -gsplit-dwarf arguments have names and types")
        }
        if information.isIncomplete { remarks.append("its debug information contradicts itself; types are left out") }
        if file.isShortened { remarks.append("\(file.name.escapingControls()) was shortened while it was read; types may be missing") }
    }

    private func wasAsked(_ address: UInt64) -> Bool {
        asked.contains { list in
            let index = list.partitioningIndex { $0 >= address }
            return index < list.count && list[index] == address
        }
    }

    mutating func convention(at address: UInt64) -> Convention {
        if !hasDebugInformation { return .unknown }
        if !wasAsked(address) { read([address]) }
        guard let prototype = known[address] else { return .unknown }
        if let convention = conventions[address] { return convention }
        let convention = Self.convention(prototype)
        conventions[address] = convention
        return convention
    }

    private static func convention(_ prototype: FunctionPrototype) -> Convention {
        let layout = Architecture.CallingABI.classify(prototype)
        var locations: [ArgumentLocation] = []
        var words: [(range: Range<Int>, isIndirect: Bool)] = []
        for argument in layout.arguments {
            guard let argument, locations.count + argument.locations.count <= maximumWords else { break }
            let start = locations.count
            for location in argument.locations {
                switch location {
                case .integer(let number): locations.append(.register(number))
                case .vector(let number, lane: 0): locations.append(.vector(number))
                case .stack(let word): locations.append(.stack(word))
                case .vector, .padding: break
                }
            }
            words.append((start..<locations.count, argument.isIndirect))
        }
        let result: ReturnLocation =
            switch layout.returnValue {
            case .none: .none
            case .memory, .unknown: .register
            case .registers(let places):
                switch places.first {
                case .vector: .vector
                case .extended: .none
                default: .register
                }
            }
        var calling = CallingConvention(
            arguments: locations, returnValue: result,
            stackWords: layout.stackWords ?? CallingConvention.defaultStackWords,
            stackWordsAreKnown: layout.stackWords != nil)
        // Locations on the stack beyond what is copied have no meaning without a known count.
        if layout.stackWords == nil {
            calling.stackWords = max(
                CallingConvention.defaultStackWords,
                (locations.map { if case .stack(let word) = $0 { word + 1 } else { 0 } }.max() ?? 0))
        }
        return Convention(
            calling: calling, prototype: prototype, words: words, returnPlace: layout.returnValue,
            entryOnlyReason: prototype.noReturn
                ? "never returns, so there is no exit"
                : layout.stackAlignment > 16
                    ? "takes stack arguments that are aligned to \(layout.stackAlignment) bytes" : nil)
    }
}
