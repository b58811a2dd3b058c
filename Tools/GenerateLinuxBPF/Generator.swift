import BTF

/// Types of a kernel as Swift. Names are C's, written as Swift writes them: `prog_fd` is `progFd`.
struct Generator {
    let types: BTFIndex
    /// What was wanted and is not there.
    private(set) var missing: [String] = []

    init(types: BTFIndex) { self.types = types }

    mutating func file(version: String) -> String {
        """
        // Made by generate-linux-bpf from the types of Linux \(version). `make linux-bpf` makes it anew; change Tools/GenerateLinuxBPF instead.
        // swift-format-ignore-file


        """ + (Structure.wanted.compactMap { text(of: $0) } + Enumeration.wanted.compactMap { text(of: $0) } + [flags()]).joined(separator: "\n")
    }

    // MARK: Structures

    private mutating func text(of wanted: Structure) -> String? {
        guard let (id, what) = find(wanted), let size = types.size(of: id) else {
            missing.append("\(wanted.type), which \(wanted.name) is made of")
            return nil
        }
        var lines: [String] = []
        appendMembers(of: id, at: 0, prefix: "", isPlaces: wanted.isPlaces, to: &lines)
        return wanted.isPlaces
            ? """
            /// \(what): \(wanted.purpose). Where its members are.
            package enum \(wanted.name) {
                package static let byteCount = \(size)
            \(lines.joined(separator: "\n"))
            }

            """
            : """
            /// \(what): \(wanted.purpose).
            package struct \(wanted.name): \(wanted.type == "bpf_attr" ? "BPFAttributes" : "KernelStructure") {
                package static let size = \(size)
                package var bytes = [UInt8](repeating: 0, count: size)
                package init() {}
            \(lines.joined(separator: "\n"))
            }

            """
    }

    private func find(_ wanted: Structure) -> (id: BTF.TypeID, what: String)? {
        for kind in [BTFIndex.KindNumber.structure, .union] {
            guard let id = types.id(named: wanted.type, kind) else { continue }
            let what = (kind == .union ? "union " : "struct ") + wanted.type
            switch wanted.part {
            case .all: return (id, "`\(what)`")
            case .member(let name):
                return members(id).first { $0.name == name }.map { ($0.type, "`\(name)` of `\(what)`") }
            case .having(let name):
                return members(id).first { $0.name.isEmpty && members($0.type).contains { $0.name == name } }
                    .map { ($0.type, "the part of `\(what)` with `\(name)`") }
            }
        }
        return nil
    }

    private func members(_ id: BTF.TypeID) -> [BTFMember] {
        guard let id = types.resolve(id) else { return [] }
        switch types[id].kind {
        case .structure(_, let members), .union(_, let members): return members
        default: return []
        }
    }

    /// A line for each member; those of a struct inside follow with its name in front.
    private func appendMembers(of id: BTF.TypeID, at start: UInt32, prefix: String, isPlaces: Bool, to lines: inout [String]) {
        for member in members(id) where !member.name.hasPrefix("__") {
            let bit = start + member.bitOffset
            let path = [prefix, member.name].filter { !$0.isEmpty }.joined(separator: "_")
            let name = camelCase(path)
            guard let type = types.resolve(member.type) else { continue }
            switch types[type].kind {
            case .structure, .union: appendMembers(of: type, at: bit, prefix: path, isPlaces: isPlaces, to: &lines)
            case _ where isPlaces && member.bitFieldSize > 0: break
            case _ where isPlaces: lines.append("    package static let \(name) = \(bit / 8)")
            case .integer where member.bitFieldSize > 0:
                lines.append(property(name, "UInt64", "bits: \(bit), \(member.bitFieldSize)"))
            case .integer(let integer):
                // A descriptor is a signed number wherever there is one, whatever C says here.
                let isSigned = integer.isSigned || member.name == "fd" || member.name.hasSuffix("_fd")
                lines.append(property(name, "\(isSigned ? "" : "U")Int\(integer.size * 8)", "\(bit / 8)"))
            case .enumeration(let size, _, _): lines.append(property(name, "UInt\(size * 8)", "\(bit / 8)"))
            case .array(let element, _, let count) where isCharacter(element):
                lines.append(property(name, "String", "name: \(bit / 8), \(count)"))
            default: break
            }
        }
    }

    private func isCharacter(_ id: BTF.TypeID) -> Bool {
        guard let id = types.resolve(id), case .integer(let integer) = types[id].kind else { return false }
        return types[id].name == "char" && integer.size == 1
    }

    private func property(_ name: String, _ type: String, _ place: String) -> String {
        "    package var \(name): \(type) { get { self[\(place)] } set { self[\(place)] = newValue } }"
    }

    // MARK: Enumerations

    private mutating func text(of wanted: Enumeration) -> String? {
        guard let id = types.id(named: wanted.type, .enumeration), case .enumeration(_, _, let values) = types[id].kind else {
            missing.append("enum \(wanted.type)")
            return nil
        }
        var seen: Set<Int64> = []
        let cases = values.filter { $0.name.hasPrefix(wanted.prefix) && !$0.name.hasSuffix("_MAX") && seen.insert($0.value).inserted }
            .map { "    case \(camelCase(String($0.name.dropFirst(wanted.prefix.count)).lowercased())) = \($0.value)" }
        return """
            /// `enum \(wanted.type)`
            package enum \(wanted.name): UInt32, KernelEnumeration {
                package static let prefix = "\(wanted.prefix)"
            \(cases.joined(separator: "\n"))
            }

            """
    }

    private mutating func flags() -> String {
        var values: [String: Int64] = [:]
        for number in types.firstID..<types.endID {
            guard case .enumeration(_, _, let enumerators) = types[BTF.TypeID(rawValue: number)].kind else { continue }
            for enumerator in enumerators { values[enumerator.name] = enumerator.value }
        }
        missing += Flag.wanted.map(\.0).filter { values[$0] == nil }
        let lines = Flag.wanted.compactMap { name, type in
            values[name].map { "    /// `\(name)`\n    package static let \(camelCase(name.lowercased())): \(type) = \($0)" }
        }
        return """
            /// Flags, by their names in C.
            package enum LinuxFlag {
            \(lines.joined(separator: "\n"))
            }

            """
    }

    private func camelCase(_ name: String) -> String {
        let words = name.split(separator: "_")
        let joined = (words.first.map(String.init) ?? "") + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
        return Self.keywords.contains(joined) ? "`\(joined)`" : joined
    }

    private static let keywords: Set<String> = [
        "as", "break", "case", "class", "default", "else", "for", "func", "if", "import", "in", "init", "is", "operator", "repeat", "return",
        "self", "static", "switch", "where", "while",
    ]
}
