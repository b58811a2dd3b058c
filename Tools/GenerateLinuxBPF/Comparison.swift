/// What one text of the generator says otherwise than another, made from another kernel: a member may be missing from either, but
/// one of both must be at the same place and of the same type.
struct Comparison {
    let differences: [String]
    /// How many members both have.
    let common: Int

    /// - Parameter isSameVersion: whether nothing may be missing, either.
    init(_ made: String, _ file: String, isSameVersion: Bool) {
        let (made, file) = (Self.members(made), Self.members(file))
        let both = made.filter { file[$0.key] != nil }
        common = both.count
        var differences = both.filter { file[$0.key] != $0.value && (isSameVersion || !$0.value.isSize) }
            .map { "\($0.key): '\($0.value.text)', not '\(file[$0.key]?.text ?? "")'" }
        if isSameVersion {
            differences += Set(made.keys).symmetricDifference(file.keys).map { "\($0) is missing, or there is none in this kernel" }
        }
        self.differences = differences.sorted()
    }

    private struct Member: Equatable {
        let text: Substring
        let isSize: Bool
    }

    /// The lines of members, by type and name.
    private static func members(_ text: String) -> [String: Member] {
        var type: Substring = ""
        var found: [String: Member] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split { " :".contains($0) }
            if line.hasPrefix("package "), words.count > 2 {
                type = words[2]
            } else if words.first == "case" || words.first == "package", let mark = words.firstIndex(where: { ["var", "let", "case"].contains($0) }),
                words.count > mark + 1
            {
                let name = words[mark + 1]
                found["\(type).\(name)"] = Member(
                    text: line.drop { $0 == " " }, isSize: words[1] == "static" && ["size", "byteCount"].contains(name) && type != "PerfEventHeader")
            }
        }
        return found
    }
}
