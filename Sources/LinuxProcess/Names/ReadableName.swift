/// The forms in which people write a readable name: with or without its parameters, result, template arguments and tags.
package enum ReadableName {
    /// `int ns::most<int>[abi:cxx11](int, int) const` as it is, and as
    /// `int ns::most<int>[abi:cxx11]`, `ns::most<int>[abi:cxx11]`, `ns::most<int>`, `ns::most`.
    /// - Parameter mangled: the linker's name, which tells the language.
    package static func forms(of text: String, mangled: String) -> [String] {
        let bytes = Array(text.utf8)
        var forms = [text]
        // What the compiler makes besides a function is not what its name means.
        guard !text.contains(" thunk to "), !isBesides(text) else { return forms }
        var name = bytes[...]
        if let open = bytes.firstIndex(of: UInt8(ascii: "(")), open > 0 {
            forms.append(string(bytes[..<open]))
            if !mangled.hasPrefix("_R") { name = bytes[..<open] }
        }
        if mangled.hasPrefix("_Z") {
            name = withoutParameters(bytes[...])
            // Only templates have their result in their names, and they have parameters then.
            if name.count < bytes.count { name = withoutResult(name) }
        }
        forms.append(string(name))
        let plain = withoutTags(name)
        if plain.count != name.count { forms.append(string(plain[...])) }
        guard name.contains(UInt8(ascii: "<")) else { return forms }
        for tagged in [Array(name), plain] {
            forms.append(string(withoutLastArguments(tagged[...])))
            forms.append(string(withoutArguments(tagged[...])[...]))
            if let inner = unwrapped(tagged[...]) { forms.append(string(withoutArguments(inner[...])[...])) }
        }
        return forms
    }

    private static func string(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func isBesides(_ text: String) -> Bool {
        [
            "vtable for ", "VTT for ", "typeinfo ", "guard variable for ", "TLS init function for ", "TLS wrapper function for ",
            "transaction clone for ", "construction vtable for ",
        ].contains { text.hasPrefix($0) }
    }

    /// Without the parameters, and what stands behind them: the last group of parentheses.
    private static func withoutParameters(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var rest = name
        let behind = [" const", " volatile", " &", " &&", "&", " noexcept"].map { Array($0.utf8) }
        while true {
            if rest.last == UInt8(ascii: "]"), let start = lastIndex(of: " [clone ", in: rest) {
                rest = rest[..<start]
            } else if let end = behind.first(where: { rest.count > $0.count && rest.suffix($0.count).elementsEqual($0) }) {
                rest = rest.dropLast(end.count)
            } else {
                break
            }
        }
        guard rest.last == UInt8(ascii: ")") else { return name }
        var depth = 0
        for index in rest.indices.reversed() {
            if rest[index] == UInt8(ascii: ")") { depth += 1 }
            if rest[index] == UInt8(ascii: "(") { depth -= 1 }
            if depth == 0 { return index > rest.startIndex ? rest[..<index] : name }
        }
        return name
    }

    /// Without the type that stands before the name of a template: what is before the last space outside of brackets.
    private static func withoutResult(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var start = name.startIndex
        var reader = BracketReader(name)
        while let place = reader.next() {
            // What follows is all of it the operator's name, spaces included.
            if reader.isAtOperator, reader.depth == 0 { break }
            if name[place] == UInt8(ascii: " "), reader.depth == 0 { start = place + 1 }
        }
        return start < name.endIndex ? name[start...] : name
    }

    /// Without `[abi:cxx11]`.
    private static func withoutTags(_ name: ArraySlice<UInt8>) -> [UInt8] {
        let tag = Array("[abi:".utf8)
        var result: [UInt8] = []
        var index = name.startIndex
        while index < name.endIndex {
            if name[index...].starts(with: tag), let end = name[index...].firstIndex(of: UInt8(ascii: "]")) {
                index = end + 1
            } else {
                result.append(name[index])
                index += 1
            }
        }
        return result
    }

    /// `std::vector<int>::insert` of `std::vector<int>::insert<int*>`.
    private static func withoutLastArguments(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard name.last == UInt8(ascii: ">") else { return name }
        var reader = BracketReader(name)
        var (start, end) = (name.startIndex, name.startIndex)
        while let place = reader.next() {
            if reader.opens, reader.angles == 1 { start = place }
            if reader.closes, reader.angles == 0 { end = place }
        }
        // Not the sign of `operator>`.
        guard end == name.endIndex - 1, start > name.startIndex else { return name }
        return trimmed(name[..<start])
    }

    /// `std::vector::insert` of `std::vector<int>::insert<int*>`. What is in brackets from its start keeps them:
    /// `<T as Trait>::f`.
    private static func withoutArguments(_ name: ArraySlice<UInt8>) -> [UInt8] {
        if let end = endOfFirstBracket(name) {
            let (inner, rest) = (name[(name.startIndex + 1)..<end], name[(end + 1)...])
            return [UInt8(ascii: "<")] + withoutArguments(inner) + [UInt8(ascii: ">")] + withoutArguments(rest)
        }
        var result: [UInt8] = []
        var reader = BracketReader(name)
        while let place = reader.next() {
            if reader.opens, reader.angles == 1 { result = Array(trimmed(result[...])) }
            if reader.angles == 0, !reader.closes { result.append(name[place]) }
        }
        return result
    }

    /// `Vec<u8>::push` of Rust's `<Vec<u8>>::push`.
    private static func unwrapped(_ name: ArraySlice<UInt8>) -> [UInt8]? {
        guard let end = endOfFirstBracket(name) else { return nil }
        let inner = name[(name.startIndex + 1)..<end]
        return lastIndex(of: " as ", in: inner) == nil ? Array(inner) + Array(name[(end + 1)...]) : nil
    }

    private static func endOfFirstBracket(_ name: ArraySlice<UInt8>) -> Int? {
        guard name.first == UInt8(ascii: "<") else { return nil }
        var reader = BracketReader(name)
        while let place = reader.next() {
            if reader.closes, reader.angles == 0 { return place }
        }
        return nil
    }

    /// Without a space, or Rust's `::`, at the end.
    private static func trimmed(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var rest = name
        while rest.last == UInt8(ascii: " ") { rest = rest.dropLast() }
        return rest.suffix(2).elementsEqual("::".utf8) ? rest.dropLast(2) : rest
    }

    private static func lastIndex(of piece: String, in name: ArraySlice<UInt8>) -> Int? {
        let piece = Array(piece.utf8)
        guard name.count >= piece.count else { return nil }
        return (name.startIndex...(name.endIndex - piece.count)).last { name[$0...].starts(with: piece) }
    }
}

/// Goes through a name and counts the angle brackets that are open; parentheses, braces and tags count as one place of the
/// depth around them, and the signs of an operator's name as none.
private struct BracketReader {
    private let name: ArraySlice<UInt8>
    private var index: Int
    private var others = 0
    /// The signs of an operator that are still to come.
    private var signs = 0
    private(set) var angles = 0
    private(set) var opens = false
    private(set) var closes = false
    /// Whether the word `operator` begins here.
    private(set) var isAtOperator = false

    var depth: Int { angles + others }

    init(_ name: ArraySlice<UInt8>) {
        self.name = name
        index = name.startIndex
    }

    private static let word = Array("operator".utf8)
    private static let operators = ["<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">"].map { Array($0.utf8) }

    mutating func next() -> Int? {
        guard index < name.endIndex else { return nil }
        defer { index += 1 }
        (opens, closes, isAtOperator) = (false, false, false)
        if signs > 0 {
            signs -= 1
            return index
        }
        switch name[index] {
        case UInt8(ascii: "o") where name[index...].starts(with: Self.word) && (index == name.startIndex || !isLetter(name[index - 1])):
            isAtOperator = true
            let behind = name[(index + Self.word.count)...]
            // The rest of the word, too, so that it is not found again.
            signs = Self.word.count - 1 + (Self.operators.first { behind.starts(with: $0) }?.count ?? 0)
        case UInt8(ascii: "<") where others == 0:
            angles += 1
            opens = true
        case UInt8(ascii: ">") where others == 0 && angles > 0 && !(index > name.startIndex && name[index - 1] == UInt8(ascii: "-")):
            angles -= 1
            closes = true
        case UInt8(ascii: "("), UInt8(ascii: "{"), UInt8(ascii: "["): others += 1
        case UInt8(ascii: ")"), UInt8(ascii: "}"), UInt8(ascii: "]"): others = max(0, others - 1)
        default: break
        }
        return index
    }

    private func isLetter(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
