import BTF
import ELF
import Search

/// Makes whole programs of the functions of an object, as libbpf does: behind each program the subprograms that
/// it reaches, with calls and callbacks set to where these went.
struct ObjectLinker {
    private let input: ObjectInput
    private let maps: ObjectMaps
    private var sections: [Int: CodeSection] = [:]
    private(set) var externs: [Extern] = []
    private var externIndices: [String: Int] = [:]
    private var knownExterns: [String: (section: String, type: BTF.TypeID)] = [:]
    /// Slots still allowed in all programs together; an object that calls much from many places grows quadratically.
    private var budget = 2_000_000

    /// A function in a section of code.
    private struct Function {
        let name: String
        let section: Int
        /// Slots in the section.
        let range: Range<Int>
        let isGlobal: Bool
    }

    private struct CodeSection {
        let name: String
        /// nil in `.text`: subprograms only.
        let target: ProgramSection?
        let slots: [Instruction]
        let relocations: [Int: Relocation]
        /// In ascending order, not overlapping.
        let functions: [Function]
        let lines: [BTFExtension.LineInfo]
        let types: [Int: BTF.TypeID]
        /// In ascending order.
        let coreRelocations: [BTFExtension.CoreRelocation]
    }

    init(input: ObjectInput, maps: ObjectMaps) throws(ObjectError) {
        self.input = input
        self.maps = maps
        findExterns()
        var functions: [Int: [Symbol]] = [:]
        for symbol in input.symbols where symbol.type == .function && symbol.isDefined {
            functions[symbol.sectionIndex, default: []].append(symbol)
        }
        for section in input.file.sections
        where section.flags.contains([.alloc, .execute]) && section.type == .bits && section.size > 0 {
            sections[section.index] = try codeSection(section, functions[section.index] ?? [])
        }
    }

    mutating func programs() throws(ObjectError) -> [ObjectProgram] {
        var programs: [ObjectProgram] = []
        for index in sections.keys.sorted() {
            guard let section = sections[index], let target = section.target else { continue }
            for function in section.functions {
                guard function.isGlobal else {
                    throw .unsupported(
                        name: input.name, what: "\(function.name) in section \(section.name) is static; a program must not be")
                }
                programs.append(try link(function, target))
            }
        }
        guard !programs.isEmpty else {
            throw .unsupported(
                name: input.name, what: "it has no program; a program is a function with SEC(\"fsession/FUNCTION\") before it")
        }
        let names = Set(programs.map(\.name))
        for map in maps.definitions {
            for (slot, name) in map.programSlots where !names.contains(name) {
                throw .unsupported(name: input.name, what: "map \(map.name)[\(slot)] holds \(name), which is no program")
            }
        }
        return programs
    }

    // MARK: Reading

    private func codeSection(_ section: Section, _ symbols: [Symbol]) throws(ObjectError) -> CodeSection {
        let isText = section.name == ".text" || section.name.hasPrefix(".text.")
        let target = isText ? nil : ProgramSection(name: section.name)
        guard isText || target != nil else {
            throw .unsupported(
                name: input.name,
                what:
                    "unknown section \"\(section.name)\"; a program's section begins with fsession, fentry, fexit, fmod_ret, kprobe, uprobe, tracepoint, raw_tp, tp_btf, lsm, iter or perf_event"
            )
        }
        if let target, target.kind.isAtFunctions, target.function.isEmpty, target.module != nil || section.name.contains("/") {
            throw .unsupported(
                name: input.name, what: "section \"\(section.name)\" names no function; \(target.kind.rawValue)/MODULE:FUNCTION does")
        }
        guard let slots = Instruction.program(bytes: try input.contents(of: section).bytes) else {
            throw .malformed(name: input.name, what: "section \(section.name) is no multiple of 8 bytes")
        }
        var functions: [Function] = []
        let symbols = symbols.sorted { ($0.value, $1.size) < ($1.value, $0.size) }
        for (symbol, name) in zip(symbols, try input.names(of: symbols)) {
            let (end, overflow) = symbol.value.addingReportingOverflow(symbol.size)
            guard !overflow, end <= section.size, symbol.value % 8 == 0, symbol.size % 8 == 0, symbol.size > 0 else {
                throw .malformed(name: input.name, what: "function \(name) does not lie in its section \(section.name)")
            }
            let range = Int(symbol.value / 8)..<Int(end / 8)
            if let last = functions.last, range.lowerBound < last.range.upperBound {
                // A second name for the same function is fine.
                if range == last.range { continue }
                throw .malformed(name: input.name, what: "functions \(last.name) and \(name) overlap")
            }
            functions.append(Function(name: name, section: section.index, range: range, isGlobal: symbol.binding != .local))
        }
        var relocations: [Int: Relocation] = [:]
        for relocation in try input.relocations(for: section) {
            guard relocation.offset % 8 == 0, relocation.offset < section.size else {
                throw .malformed(name: input.name, what: "a relocation at \(relocation.offset) of \(section.name)")
            }
            relocations[Int(relocation.offset / 8)] = relocation
        }
        var types: [Int: BTF.TypeID] = [:]
        for function in input.lineInfo?.functions[section.name] ?? [] { types[Int(function.offset / 8)] = function.type }
        return CodeSection(
            name: section.name, target: target, slots: slots, relocations: relocations, functions: functions,
            lines: Self.lines(input.lineInfo?.lines[section.name] ?? []), types: types,
            coreRelocations: (input.lineInfo?.coreRelocations[section.name] ?? []).sorted { $0.offset < $1.offset })
    }

    /// In ascending order, the first of several for one slot.
    private static func lines(_ lines: [BTFExtension.LineInfo]) -> [BTFExtension.LineInfo] {
        var unique: [BTFExtension.LineInfo] = []
        for line in lines.sorted(by: { $0.offset < $1.offset }) where unique.last.map({ $0.offset / 8 != line.offset / 8 }) ?? true {
            unique.append(line)
        }
        return unique
    }

    private mutating func findExterns() {
        guard let btf = input.btf else { return }
        for section in btf.types {
            guard case .dataSection(_, let variables) = section.kind else { continue }
            for variable in variables {
                let type = btf[variable.type]
                switch type.kind {
                case .variable(let id, .extern): knownExterns[type.name] = (section.name, id)
                case .function(_, .extern): knownExterns[type.name] = (section.name, variable.type)
                default: break
                }
            }
        }
    }

    // MARK: Linking

    /// A program in the making.
    private struct Output {
        var instructions: [Instruction] = []
        var lines: [SourceLine] = []
        var coreRelocations: [CORERelocation] = []
        /// Functions already placed or about to be, by section and first slot.
        var starts: [Key: Int] = [:]
        var queue: [Function] = []
        /// Where the next function of the queue will start.
        var end = 0

        struct Key: Hashable {
            let section: Int
            let slot: Int
        }

        /// The slot at which a function starts, which it is given now if it has none yet.
        mutating func start(of function: Function) -> Int {
            let key = Key(section: function.section, slot: function.range.lowerBound)
            if let start = starts[key] { return start }
            let start = end
            starts[key] = start
            queue.append(function)
            end += function.range.count
            return start
        }
    }

    private mutating func link(_ program: Function, _ target: ProgramSection) throws(ObjectError) -> ObjectProgram {
        var output = Output()
        _ = output.start(of: program)
        var subprograms: [ObjectProgram.Subprogram] = []
        var next = 0
        while next < output.queue.count {
            let function = output.queue[next]
            next += 1
            budget -= function.range.count
            guard output.instructions.count + function.range.count <= ProgramStructure.slotLimit else {
                throw .unsupported(name: input.name, what: "program \(program.name) is too large: over 1,000,000 instructions")
            }
            guard budget >= 0 else {
                throw .unsupported(
                    name: input.name, what: "its programs are too large: over 2,000,000 instructions with what they call")
            }
            if next > 1 {
                subprograms.append(
                    ObjectProgram.Subprogram(
                        name: function.name, start: output.instructions.count, isGlobal: function.isGlobal,
                        typeID: sections[function.section]?.types[function.range.lowerBound]))
            }
            try append(function, to: &output)
        }
        return ObjectProgram(
            name: program.name, section: target, instructions: output.instructions, subprograms: subprograms,
            lines: output.lines, typeID: sections[program.section]?.types[program.range.lowerBound],
            coreRelocations: output.coreRelocations)
    }

    private mutating func append(_ function: Function, to output: inout Output) throws(ObjectError) {
        guard let section = sections[function.section] else { return }
        let base = output.instructions.count
        output.instructions += section.slots[function.range]
        appendLines(of: function, section, at: base, to: &output)
        try appendCoreRelocations(of: function, section, at: base, to: &output)
        var slot = 0
        while slot < function.range.count {
            let here = function.range.lowerBound + slot
            let instruction = output.instructions[base + slot]
            if instruction.opcode == .wideLoad {
                guard slot + 1 < function.range.count else {
                    throw .malformed(name: input.name, what: "\(function.name) ends inside a 64-bit load")
                }
                if let relocation = section.relocations[here] {
                    try relocateLoad(relocation, function, at: base + slot, &output)
                } else if instruction.source.rawValue != 0 {
                    throw .malformed(name: input.name, what: "a 64-bit load of \(function.name) has no relocation")
                }
                slot += 2
                continue
            }
            if instruction.opcode == .call, instruction.source == .r1 {
                let relocation = section.relocations[here]
                try relocateCall(relocation, function, from: here, at: base + slot, &output)
            } else if let relocation = section.relocations[here] {
                let symbol = try input.symbol(of: relocation, in: input.file.sections[function.section])
                throw .malformed(
                    name: input.name,
                    what: "instruction \(slot) of \(function.name) cannot refer to \(input.symbols.name(of: symbol))")
            } else if instruction.opcode == .call, instruction.source != .r0 {
                throw .malformed(name: input.name, what: "a call in \(function.name) has no relocation")
            }
            slot += 1
        }
    }

    private mutating func relocateCall(
        _ relocation: Relocation?, _ caller: Function, from here: Int, at slot: Int, _ output: inout Output
    ) throws(ObjectError) {
        var sectionIndex = caller.section
        // Calls inside a section come without a relocation: the assembler knew the distance.
        var targetSlot = Int64(here) + 1 + Int64(output.instructions[slot].immediate)
        if let relocation {
            let symbol = try input.symbol(of: relocation, in: input.file.sections[caller.section])
            guard symbol.isDefined else {
                let index = try externIndex(symbol, isCall: true)
                output.instructions[slot] = .call(.external(Int32(truncatingIfNeeded: index)))
                return
            }
            sectionIndex = symbol.sectionIndex
            targetSlot = Int64(truncatingIfNeeded: symbol.value / 8) + 1 + Int64(output.instructions[slot].immediate)
        }
        let target = try function(sectionIndex, targetSlot, from: caller)
        let start = output.start(of: target)
        output.instructions[slot].immediate = Int32(truncatingIfNeeded: start - slot - 1)
    }

    private mutating func relocateLoad(
        _ relocation: Relocation, _ user: Function, at slot: Int, _ output: inout Output
    ) throws(ObjectError) {
        let symbol = try input.symbol(of: relocation, in: input.file.sections[user.section])
        let destination = output.instructions[slot].destination
        let addend = Int64(output.instructions[slot].immediate)
        let offset = Int64(truncatingIfNeeded: symbol.value) &+ addend
        let replacement: [Instruction]
        if !symbol.isDefined {
            let index = Int32(truncatingIfNeeded: try externIndex(symbol, isCall: false))
            replacement = Instruction.loadImmediate(.variable, destination, first: index)
        } else if sections[symbol.sectionIndex] != nil {
            guard offset % 8 == 0 else { throw unknownTarget(symbol, user) }
            let start = output.start(of: try function(symbol.sectionIndex, offset / 8, from: user))
            replacement = Instruction.loadImmediate(
                .function, destination, first: Int32(truncatingIfNeeded: start - slot - 1))
        } else if let index = maps.bySection[symbol.sectionIndex] {
            // One past the end is an address that C may form.
            guard offset >= 0, offset <= Int64(maps.definitions[index].valueSize) else { throw unknownTarget(symbol, user) }
            replacement = Instruction.loadMapValue(
                destination, index: Int32(truncatingIfNeeded: index), offset: Int32(truncatingIfNeeded: offset))
        } else if input.file.section(at: symbol.sectionIndex)?.name == ".maps" {
            guard offset >= 0, let index = maps.byOffset[UInt64(offset)] else { throw unknownTarget(symbol, user) }
            replacement = Instruction.loadMap(destination, index: Int32(truncatingIfNeeded: index))
        } else {
            throw unknownTarget(symbol, user)
        }
        output.instructions.replaceSubrange(slot..<slot + 2, with: replacement)
    }

    private func unknownTarget(_ symbol: Symbol, _ user: Function) -> ObjectError {
        let section = input.file.section(at: symbol.sectionIndex)?.name ?? "number \(symbol.sectionIndex)"
        let name = input.symbols.name(of: symbol)
        return .unsupported(
            name: input.name,
            what: "\(user.name) uses \(name.isEmpty ? "something" : name) in section \(section), which holds no map, variable or function for it")
    }

    /// The subprogram that starts at a slot of a section.
    private func function(_ section: Int, _ slot: Int64, from user: Function) throws(ObjectError) -> Function {
        guard let code = sections[section], slot >= 0,
            case let index = code.functions.partitioningIndex(where: { Int64($0.range.lowerBound) >= slot }), index < code.functions.count,
            Int64(code.functions[index].range.lowerBound) == slot
        else {
            throw .malformed(name: input.name, what: "\(user.name) refers to slot \(slot) of a section, where no function starts")
        }
        let function = code.functions[index]
        // A program may call itself, no other one.
        guard code.target == nil || (section == user.section && function.range == user.range) else {
            throw .unsupported(name: input.name, what: "\(user.name) calls \(function.name), which is a program; use bpf_tail_call")
        }
        return function
    }

    private mutating func externIndex(_ symbol: Symbol, isCall: Bool) throws(ObjectError) -> Int {
        let name = input.symbols.name(of: symbol)
        if let index = externIndices[name] { return index }
        guard let btf = input.btf else {
            throw .unsupported(name: input.name, what: "extern \(name): its type is unknown; compile it with -g")
        }
        guard let (section, type) = knownExterns[name], section == ".ksyms" || section == ".kconfig" else {
            throw .unsupported(
                name: input.name, what: "extern \(name): it is not defined, and not declared with __ksym or __kconfig")
        }
        var isFunction = false
        if case .function = btf[type].kind { isFunction = true }
        guard isFunction || !isCall else {
            throw .malformed(name: input.name, what: "extern \(name) is called but no function")
        }
        externIndices[name] = externs.count
        externs.append(
            Extern(
                name: name, isFunction: isFunction, isWeak: symbol.binding == .weak, typeID: type,
                isConfiguration: section == ".kconfig"))
        return externs.count - 1
    }

    private func appendCoreRelocations(
        of function: Function, _ section: CodeSection, at base: Int, to output: inout Output
    ) throws(ObjectError) {
        let all = section.coreRelocations
        var index = all.partitioningIndex { Int($0.offset / 8) >= function.range.lowerBound }
        while index < all.count, Int(all[index].offset / 8) < function.range.upperBound {
            let relocation = all[index]
            index += 1
            guard let kind = CORERelocation.Kind(rawValue: relocation.kind) else {
                throw .unsupported(name: input.name, what: "\(function.name) has a CO-RE relocation of the unknown kind \(relocation.kind)")
            }
            output.coreRelocations.append(
                CORERelocation(
                    slot: base + Int(relocation.offset / 8) - function.range.lowerBound, type: relocation.type,
                    access: relocation.access, kind: kind))
        }
    }

    private func appendLines(of function: Function, _ section: CodeSection, at base: Int, to output: inout Output) {
        let lines = section.lines
        var index = lines.partitioningIndex { Int($0.offset / 8) >= function.range.lowerBound }
        while index < lines.count, Int(lines[index].offset / 8) < function.range.upperBound {
            let line = lines[index]
            index += 1
            let slot = base + Int(line.offset / 8) - function.range.lowerBound
            output.lines.append(
                SourceLine(slot: slot, file: line.file, line: Int(line.line), column: Int(line.column), text: line.text))
        }
    }
}
