/// A member of a type, found step by step (`bpf_core_spec`).
struct COREPath {
    /// A step that C code would write down: a named member, or an index.
    struct Step {
        var name: String?
        var index: Int
        var type: BTF.TypeID
    }

    var root: BTF.TypeID
    var steps: [Step] = []
    var bitOffset: UInt64 = 0
    /// The last member: its type, and its bits if it is a bit field.
    var type: BTF.TypeID
    var bitFieldSize: UInt8 = 0

    /// Follows an access string through the types that the program was compiled with.
    init(_ access: String, of root: BTF.TypeID, in types: some TypeTable) throws(COREError) {
        self.root = root
        type = root
        var indices: [Int] = []
        for part in access.split(separator: ":", omittingEmptySubsequences: false) {
            guard let index = Int(part), index >= 0, index < 1 << 24 else {
                throw COREError(description: "the path '\(access)' of a relocation is damaged")
            }
            indices.append(index)
        }
        guard let first = indices.first, indices.count <= 64 else {
            throw COREError(description: "the path '\(access)' of a relocation is damaged")
        }
        steps.append(Step(name: nil, index: first, type: root))
        bitOffset = UInt64(first) &* (types.size(of: root) ?? 0) &* 8
        for index in indices.dropFirst() {
            guard let resolved = types.resolve(type) else { throw Self.damaged(access) }
            switch types[resolved].kind {
            case .structure(_, let members), .union(_, let members):
                guard members.indices.contains(index) else { throw Self.damaged(access) }
                enter(members[index], index: index, of: resolved)
            case .array(let element, _, _):
                enterElement(index, element, of: resolved, types)
            default: throw Self.damaged(access)
            }
        }
    }

    private static func damaged(_ access: String) -> COREError {
        COREError(description: "the path '\(access)' of a relocation does not fit its type")
    }

    private mutating func enter(_ member: BTFMember, index: Int, of type: BTF.TypeID) {
        bitOffset &+= UInt64(member.bitOffset)
        bitFieldSize = member.bitFieldSize
        self.type = member.type
        // Members of anonymous structs belong, for C, to the struct around these.
        if !member.name.isEmpty { steps.append(Step(name: member.name, index: index, type: type)) }
    }

    private mutating func enterElement(_ index: Int, _ element: BTF.TypeID, of type: BTF.TypeID, _ types: some TypeTable) {
        bitOffset &+= UInt64(index) &* (types.size(of: element) ?? 0) &* 8
        bitFieldSize = 0
        self.type = element
        steps.append(Step(name: nil, index: index, type: type))
    }

    /// The same path in other types, by the names of the members; nil if there is none.
    init?(like local: COREPath, of root: BTF.TypeID, in types: some TypeTable, local localTypes: some TypeTable) {
        self.root = root
        type = root
        guard let first = local.steps.first else { return nil }
        steps.append(Step(name: nil, index: first.index, type: root))
        bitOffset = UInt64(first.index) &* (types.size(of: root) ?? 0) &* 8
        for step in local.steps.dropFirst() {
            guard let resolved = types.resolve(type) else { return nil }
            if let name = step.name {
                guard find(name, in: resolved, types, depth: 0) else { return nil }
            } else {
                guard case .array(let element, _, let count) = types[resolved].kind,
                    count == 0 || step.index < count
                else { return nil }
                enterElement(step.index, element, of: resolved, types)
            }
        }
        guard Self.areCompatible(local.type, localTypes, type, types, depth: 0) else { return nil }
    }

    private mutating func find(_ name: String, in type: BTF.TypeID, _ types: some TypeTable, depth: Int) -> Bool {
        let members: [BTFMember]
        switch types[type].kind {
        case .structure(_, let all), .union(_, let all): members = all
        default: return false
        }
        for (index, member) in members.enumerated() {
            if member.name == name {
                enter(member, index: index, of: type)
                return true
            }
            guard member.name.isEmpty, depth < 16, let inner = types.resolve(member.type) else { continue }
            let before = self
            bitOffset &+= UInt64(member.bitOffset)
            if find(name, in: inner, types, depth: depth + 1) { return true }
            self = before
        }
        return false
    }

    /// Whether a member of one type can stand for one of the other (`bpf_core_fields_are_compat`).
    private static func areCompatible(
        _ a: BTF.TypeID, _ aTypes: some TypeTable, _ b: BTF.TypeID, _ bTypes: some TypeTable, depth: Int
    ) -> Bool {
        guard depth < 16, let a = aTypes.resolve(a), let b = bTypes.resolve(b) else { return false }
        switch (aTypes[a].kind, bTypes[b].kind) {
        case (.structure, .structure), (.union, .union), (.pointer, .pointer), (.float, .float), (.integer, .integer),
            (.structure, .union), (.union, .structure):
            return true
        case (.enumeration, .enumeration), (.forward, .forward):
            let (first, second) = (essentialName(aTypes[a].name), essentialName(bTypes[b].name))
            return first.isEmpty || second.isEmpty || first == second
        case (.array(let first, _, _), .array(let second, _, _)):
            return areCompatible(first, aTypes, second, bTypes, depth: depth + 1)
        default: return false
        }
    }
}

/// A type's name without its flavour: "task_struct" of "task_struct___old".
func essentialName(_ name: String) -> String {
    let bytes = Array(name.utf8)
    guard bytes.count >= 5 else { return name }
    for at in (1..<(bytes.count - 3)).reversed()
    where bytes[at] == 95 && bytes[at + 1] == 95 && bytes[at + 2] == 95 && bytes[at - 1] != 95 && bytes[at + 3] != 95 {
        return String(decoding: bytes[..<at], as: UTF8.self)
    }
    return name
}
