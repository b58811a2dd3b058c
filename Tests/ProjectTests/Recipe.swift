import Foundation
import TestSupport

/// A part of CONTRIBUTING.md: which files change where something is added.
struct Recipe {
    /// Paths from the root; with `*` for any text, and ARCH for an architecture's name.
    let patterns: [String]

    /// - Parameter heading: "A helper".
    init(_ heading: String) throws {
        let text = try Repository.text("CONTRIBUTING.md")
        guard let part = text.components(separatedBy: "\n### ").first(where: { $0.hasPrefix(heading + "\n") }) else {
            throw Trouble("CONTRIBUTING.md has no '### \(heading)'")
        }
        // A line "- `path`, `path`: what to do there".
        patterns = part.split(separator: "\n").filter { $0.hasPrefix("- `") }.flatMap { line in
            line.prefix { $0 != ":" }.split(separator: "`").map(String.init).filter { $0.contains("/") || $0.contains(".") }
        }
        if patterns.isEmpty { throw Trouble("'\(heading)' of CONTRIBUTING.md names no files") }
    }

    static let headings: [String] = ((try? Repository.text("CONTRIBUTING.md")) ?? "").split(separator: "\n")
        .filter { $0.hasPrefix("### ") }.map { String($0.dropFirst(4)) }

    /// Whether a file is one that the recipe names.
    func names(_ file: String) -> Bool { patterns.contains { Self.matches(file, $0) } }

    static func matches(_ file: String, _ pattern: String) -> Bool { fnmatch(pattern, file, FNM_PATHNAME) == 0 }
}

/// The words of the files in a folder, read once.
struct Words {
    private let files: [(path: String, words: Set<Substring>)]

    init(_ folders: String...) {
        files = folders.flatMap(Repository.files).map { path in
            let text = (try? Repository.text(path)) ?? ""
            return (path, Self.words(of: text))
        }
    }

    static let sources = Words("Sources", "docs")

    /// Identifiers, and with what stands before them: `.name`, `call(name`.
    private static func words(of text: String) -> Set<Substring> {
        var words: Set<Substring> = []
        let bytes = text.utf8
        var (start, before): (String.Index?, Substring) = (nil, "")
        func isPart(_ byte: UInt8) -> Bool { byte == 95 || (48...57).contains(byte) || (97...122).contains(byte | 0x20) }
        for index in bytes.indices {
            if isPart(bytes[index]) {
                if start == nil { start = index }
            } else if let first = start {
                let word = text[first..<index]
                words.insert(word)
                words.insert(before + word)
                before = bytes[index] == 40 ? word + "(" : ""
                start = nil
                continue
            }
            if start == nil { before = bytes[index] == 46 ? "." : "" }
        }
        return words
    }

    /// The files that contain one of the words.
    func files(naming words: String...) -> Set<String> {
        Set(files.filter { file in words.contains { file.words.contains($0[...]) } }.map(\.path))
    }
}

/// The first groups of all matches in a file.
func groups(_ expression: String, in file: String) throws -> [[String]] {
    try Repository.text(file).matches(of: Regex(expression)).map { match in
        match.output.dropFirst().map { $0.substring.map(String.init) ?? "" }
    }
}
