/// Finds what relocations of a program mean in the running kernel ("compile once, run everywhere").
package struct COREResolver {
    private let local: BTF
    /// The kernel's types: vmlinux, then modules.
    private let targets: [BTFIndex]
    private var candidates: [BTF.TypeID: [Candidate]] = [:]
    private var results: [Key: COREResult] = [:]

    private struct Candidate {
        let source: Int
        let types: BTFIndex
        let id: BTF.TypeID
    }

    private struct Key: Hashable {
        let type: BTF.TypeID
        let access: String
        let kind: CORERelocation.Kind
    }

    package init(local: BTF, targets: [BTFIndex]) {
        self.local = local
        self.targets = targets
    }

    package mutating func result(of relocation: CORERelocation) throws(COREError) -> COREResult {
        let key = Key(type: relocation.type, access: relocation.access, kind: relocation.kind)
        if let known = results[key] { return known }
        let result = try resolve(relocation)
        results[key] = result
        return result
    }

    private mutating func resolve(_ relocation: CORERelocation) throws(COREError) -> COREResult {
        let kind = relocation.kind
        if kind == .localTypeID { return COREResult(value: UInt64(relocation.type.rawValue)) }
        var found: COREResult?
        for candidate in candidates(of: relocation.type) {
            guard let result = try result(relocation, candidate) else { continue }
            // Several types of one name are fine where they agree.
            if let found, found.value != result.value, kind != .targetTypeID {
                throw COREError(
                    description:
                        "type '\(local[relocation.type].name)' is ambiguous in this kernel: a relocation could be \(found.value ?? 0) or \(result.value ?? 0)"
                )
            }
            found = found ?? result
        }
        return found ?? COREResult(value: kind.isQuestion ? 0 : nil)
    }

    private mutating func candidates(of id: BTF.TypeID) -> [Candidate] {
        if let known = candidates[id] { return known }
        let type = local[id]
        let kinds: Set<UInt8> =
            switch type.kind {
            case .structure: [4]
            case .union: [5]
            case .enumeration: [6, 19]
            case .typedef: [8]
            case .integer: [1]
            case .float: [16]
            case .forward: [4, 5]
            case .function: [12]
            default: []
            }
        let name = essentialName(type.name)
        var found: [Candidate] = []
        if !name.isEmpty, !kinds.isEmpty {
            for (source, types) in targets.enumerated() {
                // Modules are looked at only for what vmlinux does not have.
                if source > 0, !found.isEmpty { break }
                for id in types.ids(named: name, kinds, flavours: true) where essentialName(types[id].name) == name {
                    found.append(Candidate(source: source, types: types, id: id))
                }
            }
        }
        candidates[id] = found
        return found
    }

    private func result(_ relocation: CORERelocation, _ candidate: Candidate) throws(COREError) -> COREResult? {
        let kind = relocation.kind
        if kind.isOfField {
            let path = try COREPath(relocation.access, of: relocation.type, in: local)
            guard let there = COREPath(like: path, of: candidate.id, in: candidate.types, local: local) else { return nil }
            return try fieldValue(kind, path, there, candidate.types)
        }
        if kind.isOfEnumerator {
            guard let index = Int(relocation.access), let resolved = local.resolve(relocation.type),
                case .enumeration(_, _, let values) = local[resolved].kind, values.indices.contains(index)
            else { throw COREError(description: "a relocation of an enumerator does not fit its type") }
            guard let there = candidate.types.resolve(candidate.id),
                case .enumeration(_, _, let targets) = candidate.types[there].kind,
                let match = targets.first(where: { essentialName($0.name) == essentialName(values[index].name) })
            else { return nil }
            return COREResult(value: kind == .enumeratorExists ? 1 : UInt64(bitPattern: match.value))
        }
        guard
            COREMatching(local: local, target: candidate.types, byName: kind == .typeMatches)
                .types(relocation.type, candidate.id, depth: 0)
        else { return nil }
        switch kind {
        case .typeExists, .typeMatches: return COREResult(value: 1)
        case .typeSize: return candidate.types.size(of: candidate.id).map { COREResult(value: $0) }
        default: return COREResult(value: UInt64(candidate.id.rawValue), source: candidate.source)
        }
    }

    private func fieldValue(
        _ kind: CORERelocation.Kind, _ local: COREPath, _ path: COREPath, _ types: BTFIndex
    ) throws(COREError) -> COREResult {
        if kind == .fieldExists { return COREResult(value: 1) }
        let size = types.size(of: path.type) ?? 0
        var bytes = size
        var offset = path.bitOffset / 8
        if path.bitFieldSize > 0 {
            // The aligned unit that holds all the bits, doubled until it does.
            bytes = max(size, 1)
            offset = path.bitOffset / 8 / bytes * bytes
            while path.bitOffset + UInt64(path.bitFieldSize) - offset * 8 > bytes * 8 {
                guard bytes < 8 else { throw COREError(description: "a bit field spans more than 8 bytes") }
                bytes *= 2
                offset = path.bitOffset / 8 / bytes * bytes
            }
        }
        let bits = path.bitFieldSize > 0 ? UInt64(path.bitFieldSize) : min(bytes, 8) * 8
        switch kind {
        case .byteOffset:
            var result = COREResult(value: offset)
            if path.bitFieldSize == 0, size != self.local.size(of: local.type), [1, 2, 4, 8].contains(size),
                isPlain(local.type, self.local), isPlain(path.type, types)
            {
                result.byteCount = Int(size)
            }
            return result
        case .byteSize: return COREResult(value: bytes)
        case .signed:
            guard let resolved = types.resolve(path.type) else { return COREResult(value: 0) }
            switch types[resolved].kind {
            case .integer(let integer): return COREResult(value: integer.isSigned ? 1 : 0)
            case .enumeration(_, let isSigned, _): return COREResult(value: isSigned ? 1 : 0)
            default: return COREResult(value: 0)
            }
        case .leftShift: return COREResult(value: 64 &- (bits &+ path.bitOffset &- offset &* 8))
        case .rightShift: return COREResult(value: 64 &- bits)
        default: return COREResult(value: nil)
        }
    }

    /// An unsigned number or a pointer: reading more or fewer bytes of it keeps its meaning.
    private func isPlain(_ id: BTF.TypeID, _ types: some TypeTable) -> Bool {
        guard let resolved = types.resolve(id) else { return false }
        switch types[resolved].kind {
        case .integer(let integer): return !integer.isSigned
        case .pointer, .enumeration(_, isSigned: false, _): return true
        default: return false
        }
    }
}

/// Whether a type of the kernel is the one that a program means.
struct COREMatching {
    let local: BTF
    let target: BTFIndex
    /// `bpf_core_type_matches`: members, enumerators and parameters by name; else only the outlines are compared.
    let byName: Bool

    func types(_ a: BTF.TypeID, _ b: BTF.TypeID, depth: Int) -> Bool {
        guard depth < 16, let a = local.resolve(a), let b = target.resolve(b) else { return false }
        if byName, !local[a].name.isEmpty, essentialName(local[a].name) != essentialName(target[b].name) { return false }
        switch (local[a].kind, target[b].kind) {
        case (.void, .void), (.float, .float): return true
        case (.forward, .forward), (.forward, .structure), (.forward, .union), (.structure, .forward), (.union, .forward):
            return true
        case (.integer(let first), .integer(let second)):
            return !byName || (first.size == second.size && first.isSigned == second.isSigned)
        case (.pointer(let first), .pointer(let second)):
            // Behind pointers names are enough: structs refer to each other without end.
            if byName, depth > 0, isComposite(first), let there = target.resolve(second), let here = local.resolve(first) {
                return essentialName(local[here].name) == essentialName(target[there].name)
            }
            return types(first, second, depth: depth + 1)
        case (.array(let first, _, let firstCount), .array(let second, _, let secondCount)):
            return (!byName || firstCount == secondCount) && types(first, second, depth: depth + 1)
        case (.enumeration(_, _, let first), .enumeration(_, _, let second)):
            guard byName else { return true }
            let names = Set(second.map { essentialName($0.name) })
            return first.allSatisfy { names.contains(essentialName($0.name)) }
        case (.structure(_, let first), .structure(_, let second)), (.union(_, let first), .union(_, let second)):
            guard byName else { return true }
            return first.allSatisfy { member in
                second.contains { $0.name == member.name && types(member.type, $0.type, depth: depth + 1) }
            }
        case (.prototype(let firstResult, let first), .prototype(let secondResult, let second)):
            return first.count == second.count && types(firstResult, secondResult, depth: depth + 1)
                && zip(first, second).allSatisfy { types($0.type, $1.type, depth: depth + 1) }
        case (.function(let first, _), .function(let second, _)): return types(first, second, depth: depth + 1)
        default: return false
        }
    }

    private func isComposite(_ id: BTF.TypeID) -> Bool {
        guard let resolved = local.resolve(id) else { return false }
        switch local[resolved].kind {
        case .structure, .union: return true
        default: return false
        }
    }
}
