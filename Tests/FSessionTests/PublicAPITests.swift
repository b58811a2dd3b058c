import Foundation
import TestSupport
import Testing

/// `docs/api.txt` is the public API of FSession, a declaration a line. What changes it shows there, and in a review.
///
///     make api        # writes it anew
@Suite("The public API")
struct PublicAPITests {
    @Test("is what docs/api.txt says")
    func baseline() throws {
        let file = Repository.root.appendingPathComponent("docs/api.txt")
        let api = try PublicAPI.declarations(inFolder: Repository.root.appendingPathComponent("Sources/FSession").path)
        #expect(api.count > 100)
        if ProcessInfo.processInfo.environment["FSESSION_WRITE_API"] != nil {
            try Data((api.joined(separator: "\n") + "\n").utf8).write(to: file)
        }
        let known = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
        let (gone, new) = (Set(known).subtracting(api), Set(api).subtracting(known))
        #expect(gone.isEmpty, "what is gone, or has changed, breaks programs")
        #expect(new.isEmpty, "'make api' writes docs/api.txt anew")
    }

    @Test("is read from sources as they are written")
    func reading() {
        let source = """
            /// Text.
            public struct A: Sendable {
                public let one: Int
                public internal(set) var two = Two.none
                public var three: Int {
                    get { 3 }
                }
                public struct B<C: P>: Q {
                    let hidden: Int
                    @inlinable public func f(
                        _ x: Int, y: [Int] = [1, 2]
                    ) async throws(E) -> Int? where C: R { x }
                }
            }

            extension A.B {
                @discardableResult
                public mutating func g() -> Int { 1 }
                func hidden() {}
                public static let d = D("d")
                public init?(_ text: String) {
                    nil
                }
            }

            public func free(_ body: () -> Void) { body() }
            """
        #expect(
            PublicAPI.declarations(in: source)
                == [
                    "func free(_ body: () -> Void)", "struct A: Sendable", "A: var one: Int { get }", "A: var three: Int { get }",
                    "A: var two: Two { get }", "A: struct B<C: P>: Q",
                    "A.B: func f(_ x: Int, y: [Int] = [1, 2]) async throws(E) -> Int? where C: R", "A.B: init?(_ text: String)",
                    "A.B: mutating func g() -> Int", "A.B: static var d: D { get }",
                ].sorted())
    }
}

/// The public declarations of sources in this project's style: four spaces for each scope, a declaration at the beginning of a line.
enum PublicAPI {
    static func declarations(inFolder folder: String) throws -> [String] {
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        return try files.flatMap { declarations(in: try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8)) }.sorted()
    }

    static func declarations(in source: String) -> [String] {
        let lines = source.components(separatedBy: "\n")
        var scopes: [(indent: Int, name: String)] = []
        var found: [String] = []
        for (number, line) in lines.enumerated() {
            let text = line.drop { $0 == " " }
            let indent = line.count - text.count
            guard !text.isEmpty, !text.hasPrefix("//"), !text.hasPrefix(")") else { continue }
            scopes.removeAll { $0.indent >= indent }
            let words = text.split(separator: " ").map(String.init)
            let isPublic = words.contains("public")
            if isPublic, let start = words.firstIndex(of: "public"), words[..<start].allSatisfy({ $0.hasPrefix("@") }) {
                let declaration = signature(lines[number...], from: words[(start + 1)...])
                found.append((scopes.isEmpty ? "" : scopes.map(\.name).joined(separator: ".") + ": ") + declaration)
            }
            let kinds = ["struct", "class", "enum", "actor", "protocol", "extension"]
            if let kind = words.firstIndex(where: kinds.contains), line.hasSuffix("{"),
                words[..<kind].allSatisfy({ !["func", "let", "var"].contains($0) })
            {
                let name = words[kind + 1].prefix { $0.isLetter || $0.isNumber || $0 == "." || $0 == "_" }
                scopes.append((indent, String(name)))
            }
        }
        return found.sorted()
    }

    /// A declaration without its body, in one line.
    private static func signature(_ lines: ArraySlice<String>, from words: ArraySlice<String>) -> String {
        var text = ""
        var depth = 0
        var body: Character?
        reading: for (offset, line) in lines.enumerated() {
            let piece = offset == 0 ? words.joined(separator: " ") : String(line.drop { $0 == " " })
            if !text.isEmpty, !text.hasSuffix("("), !piece.hasPrefix(")") { text += " " }
            for character in piece {
                if "([".contains(character) { depth += 1 }
                if ")]".contains(character) { depth -= 1 }
                if depth == 0, character == "{" {
                    body = character
                    break reading
                }
                text.append(character)
            }
            if depth == 0 { break }
        }
        while text.hasSuffix(" ") { text.removeLast() }
        var parts = text.split(separator: " ").map(String.init)
        guard let variable = parts.firstIndex(where: { $0 == "let" || $0 == "var" }),
            parts[..<variable].allSatisfy({ $0 == "static" || $0.hasSuffix("(set)") })
        else { return text }
        let isReadOnly = parts[variable] == "let" || body != nil || parts[..<variable].contains { $0.hasSuffix("(set)") }
        parts[variable] = "var"
        parts.removeAll { $0.hasSuffix("(set)") }
        guard isReadOnly else { return parts.joined(separator: " ") + " { get set }" }
        // What a constant is, not what is in it.
        if let equals = parts.firstIndex(of: "="), let end = parts.dropFirst(equals + 1).first?.firstIndex(where: { $0 == "(" || $0 == "." }) {
            parts[equals - 1] += ":"
            parts[equals...] = [String(parts[equals + 1][..<end])]
        }
        return parts.joined(separator: " ") + " { get }"
    }
}
