import CLibDW

/// Finds the subprograms of one unit that start at wanted addresses and reads their prototypes.
struct UnitReader {
    /// Deeper nesting than compilers produce is not followed.
    private static let maximumDepth = 48
    private static let maximumParameters = 1024

    private let unit: CompilationUnit
    private let abi: MachineABI?
    private var wanted: Set<UInt64>
    /// Entries that may still be looked at: the links between those of a damaged file may lead to the same ones again and again.
    private(set) var entriesLeft: Int
    private var found: [(address: UInt64, entry: DebuggingEntry)] = []
    /// Scopes of the types that are nested in namespaces and classes: an entry does not know its parent.
    private var scopes: [UInt: String] = [:]
    /// A unit without any type was compiled for line numbers only (`-g1`), and leaves out parameters.
    private var hasTypes = false

    init(unit: CompilationUnit, wanted: consuming Set<UInt64>, abi: MachineABI?, entriesLeft: Int) {
        self.entriesLeft = entriesLeft
        self.unit = unit
        self.abi = abi
        self.wanted = wanted
    }

    /// What was asked for and is not in this unit.
    mutating func takeNotFound() -> Set<UInt64> {
        defer { wanted = [] }
        return wanted
    }

    mutating func prototypes() -> [UInt64: FunctionPrototype] {
        search(unit.entry, scope: "", inFunctions: false, depth: 0)
        // Nested functions, and the members of local classes, are rare: only what is still missing is looked for there.
        if !wanted.isEmpty, !unit.ranges.isEmpty {
            search(unit.entry, scope: "", inFunctions: true, depth: 0)
        }
        guard !found.isEmpty else { return [:] }
        var types = TypeReader(language: unit.language, scopes: scopes)
        var result: [UInt64: FunctionPrototype] = [:]
        for (address, entry) in found {
            if let prototype = prototype(of: entry, at: address, types: &types) { result[address] = prototype }
        }
        return result
    }

    // MARK: Finding

    private mutating func search(_ parent: DebuggingEntry, scope: String, inFunctions: Bool, depth: Int) {
        guard depth < Self.maximumDepth else { return }
        parent.forEachChild { child in
            entriesLeft -= 1
            guard entriesLeft > 0 else { return false }
            switch child.tag {
            case Int(DW_TAG_subprogram):
                if let address = child.entryAddress, wanted.remove(address) != nil {
                    found.append((address, child))
                }
                if inFunctions { search(child, scope: scope, inFunctions: true, depth: depth + 1) }
            case Int(DW_TAG_lexical_block):
                if inFunctions { search(child, scope: scope, inFunctions: true, depth: depth + 1) }
            case Int(DW_TAG_namespace), Int(DW_TAG_module):
                let name = child.string(Int(DW_AT_name))
                search(
                    child, scope: nested(name ?? "(anonymous namespace)", in: scope), inFunctions: inFunctions,
                    depth: depth + 1)
            case Int(DW_TAG_structure_type), Int(DW_TAG_class_type), Int(DW_TAG_union_type),
                Int(DW_TAG_interface_type):
                hasTypes = true
                if !scope.isEmpty { scopes[child.key] = scope }
                let name = child.string(Int(DW_AT_name))
                search(
                    child, scope: name.map { nested($0, in: scope) } ?? scope, inFunctions: inFunctions,
                    depth: depth + 1)
            case Int(DW_TAG_base_type), Int(DW_TAG_pointer_type):
                hasTypes = true
            case Int(DW_TAG_typedef), Int(DW_TAG_enumeration_type):
                hasTypes = true
                if !scope.isEmpty { scopes[child.key] = scope }
            default:
                break
            }
            return true
        }
    }

    private func nested(_ name: String, in scope: String) -> String {
        guard unit.language != .c, scope.utf8.count < 512 else { return scope }
        return scope + name + (unit.language == .swift ? "." : "::")
    }

    // MARK: Reading

    private func prototype(
        of entry: DebuggingEntry, at address: UInt64, types: inout TypeReader
    ) -> FunctionPrototype? {
        guard let name = entry.string(Int(DW_AT_name), integrated: true) else { return nil }
        let list = parameterList(of: entry)
        if !hasTypes, list.parameters.isEmpty, entry.attribute(Int(DW_AT_type), integrated: true) == nil { return nil }
        var parameters: [FunctionPrototype.Parameter] = []
        for parameter in list.parameters {
            let type =
                parameter.reference(Int(DW_AT_type), integrated: true).map { types.value(of: $0) }
                ?? ValueType(name: "?", byteCount: 0, kind: .unknown)
            parameters.append(
                FunctionPrototype.Parameter(
                    name: parameter.string(Int(DW_AT_name), integrated: true), type: type,
                    isArtificial: parameter.flag(Int(DW_AT_artificial), integrated: true),
                    entryPlace: list.bodies[parameter.key].flatMap {
                        abi?.places?.argument($0, byteCount: type.byteCount, at: address)
                    }))
        }
        var prototype = FunctionPrototype(
            name: name,
            linkageName: entry.string(Int(DW_AT_linkage_name), integrated: true)
                ?? entry.string(Int(DW_AT_MIPS_linkage_name), integrated: true),
            parameters: parameters,
            returnType: returnType(of: entry, types: &types),
            isVariadic: list.isVariadic,
            noReturn: entry.flag(Int(DW_AT_noreturn), integrated: true),
            convention: convention(of: entry))
        if let abi, unit.language != .rust, unit.language != .swift, unit.language != .go {
            prototype.convention = abi.calls.convention(of: prototype)
        }
        return prototype
    }

    private func returnType(of entry: DebuggingEntry, types: inout TypeReader) -> ValueType? {
        guard let type = entry.reference(Int(DW_AT_type), integrated: true) else { return nil }
        let value = types.value(of: type)
        // Swift returns the empty tuple.
        return value.name == "void" || value.name == "$sytD" ? nil : value
    }

    private func convention(of entry: DebuggingEntry) -> FunctionPrototype.Convention {
        // Neither has a convention that could be relied on when it is not changed.
        if unit.language == .rust { return .rust }
        if unit.language == .swift { return .swift }
        if var attribute = entry.attribute(Int(DW_AT_calling_convention), integrated: true) {
            var value: Dwarf_Word = 0
            guard dwarf_formudata(&attribute, &value) == 0,
                value == UInt64(DW_CC_normal) || value == UInt64(DW_CC_program)
            else {
                return .other
            }
        }
        return unit.language == .go ? .other : .standard
    }

    private struct ParameterList {
        var parameters: [DebuggingEntry] = []
        var isVariadic = false
        /// The parameters of the body, which know their places, by their own and their origins' keys.
        var bodies: [UInt: DebuggingEntry] = [:]
    }

    /// The parameters as declared.
    ///
    /// An optimized body can miss parameters that it does not use, so the abstract instance and the
    /// declaration are asked too, and the longest list is taken, in this order of preference.
    private func parameterList(of entry: DebuggingEntry) -> ParameterList {
        let body = ownParameters(of: entry)
        var best = body
        var isVariadic = body.isVariadic
        var current = entry
        for _ in 0..<4 {
            let origin = current.reference(Int(DW_AT_abstract_origin))
            guard let next = origin ?? current.reference(Int(DW_AT_specification)) else { break }
            var list = ownParameters(of: next)
            list.parameters = withoutForeignArtificial(list.parameters, body: body.parameters)
            isVariadic = isVariadic || list.isVariadic
            // The abstract instance has the declared order, the body perhaps another.
            if list.parameters.count > best.parameters.count
                || (origin != nil && list.parameters.count == best.parameters.count)
            {
                best = list
            }
            current = next
        }
        best.isVariadic = isVariadic
        for parameter in body.parameters {
            best.bodies[parameter.key] = parameter
            if let origin = parameter.reference(Int(DW_AT_abstract_origin)) { best.bodies[origin.key] = parameter }
        }
        return best
    }

    /// GCC describes the constructors and destructors of a class together, in a declaration and an abstract
    /// instance with the artificial parameters of all of them; this one has only those that its body has.
    private func withoutForeignArtificial(
        _ parameters: [DebuggingEntry], body: [DebuggingEntry]
    ) -> [DebuggingEntry] {
        var origins: Set<UInt> = []
        for parameter in body {
            if let origin = parameter.reference(Int(DW_AT_abstract_origin)) { origins.insert(origin.key) }
        }
        return parameters.enumerated().filter { index, parameter in
            index == 0 || !parameter.flag(Int(DW_AT_artificial)) || origins.contains(parameter.key)
        }.map(\.element)
    }

    private func ownParameters(of entry: DebuggingEntry) -> ParameterList {
        var list = ParameterList()
        entry.forEachChild { child in
            switch child.tag {
            case Int(DW_TAG_formal_parameter): list.parameters.append(child)
            case Int(DW_TAG_GNU_formal_parameter_pack):
                // The arguments of a C++ parameter pack.
                child.forEachChild { element in
                    if element.tag == Int(DW_TAG_formal_parameter) { list.parameters.append(element) }
                    return list.parameters.count < Self.maximumParameters
                }
            case Int(DW_TAG_unspecified_parameters): list.isVariadic = true
            default: break
            }
            return list.parameters.count < Self.maximumParameters
        }
        return list
    }
}
