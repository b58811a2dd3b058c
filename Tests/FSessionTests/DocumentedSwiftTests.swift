import Foundation
import TestSupport
import Testing

@Suite("The documentation's Swift")
struct DocumentedSwiftTests {
    /// What the pieces take for given.
    private static let given = """
        import FSession
        var session: Session { fatalError() }
        var object: BPFObject { get { fatalError() } set {} }
        var loaded: LoadedObject { fatalError() }
        var map: BPFMap { fatalError() }
        var call: Session.Call { fatalError() }
        var file: Int32 { fatalError() }

        """

    /// The pieces of Swift in a text, with where each begins.
    private func pieces(_ path: String) throws -> [(place: String, lines: [String])] {
        let file = Repository.root.appendingPathComponent(path)
        var pieces: [(place: String, lines: [String])] = []
        var isInside = false
        for (number, line) in try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n").enumerated() {
            // In a source only comments count.
            let comment = line.drop { $0 == " " }
            if path.hasSuffix(".swift"), !comment.hasPrefix("///") {
                isInside = false
                continue
            }
            let text = path.hasSuffix(".swift") ? String(comment.dropFirst(comment.hasPrefix("/// ") ? 4 : 3)) : line
            if text.hasPrefix("```") {
                isInside = !isInside && text == "```swift"
                if isInside { pieces.append(("\(path):\(number + 1)", [])) }
            } else if isInside {
                pieces[pieces.count - 1].lines.append(text)
            }
        }
        // What stands in a manifest.
        return pieces.filter { !($0.lines.first ?? "").hasPrefix(".package(") }
    }

    @Test("every public symbol is documented")
    func documented() throws {
        let folder = Repository.root.appendingPathComponent("Sources/FSession")
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            let lines = text.components(separatedBy: "\n").map { $0.drop { $0 == " " } }
                // Attributes stand above a declaration, or before it.
                .map { $0.hasPrefix("@") && $0.contains(" public ") ? $0.drop { $0 != " " }.dropFirst() : $0 }.filter { !$0.hasPrefix("@") }
            for (line, above) in zip(lines.dropFirst(), lines) where line.hasPrefix("public ") && !line.hasPrefix("public typealias") {
                #expect(above.hasPrefix("///"), "\(name): \(line)")
            }
        }
    }

    @Test("the catalog's page leads to every article and every symbol at the top")
    func catalog() throws {
        let folder = Repository.root.appendingPathComponent("Sources/FSession/FSession.docc")
        let page = try String(contentsOf: folder.appendingPathComponent("FSession.md"), encoding: .utf8)
        let articles = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0 != "FSession.md" }
        #expect(articles.count >= 10)
        for article in articles { #expect(page.contains("- <doc:\(article.replacing(".md", with: ""))>"), "\(article)") }
        for declaration in try PublicAPI.declarations(inFolder: folder.deletingLastPathComponent().path) {
            let words = declaration.split(separator: " ")
            guard ["struct", "enum", "class", "final"].contains(words[0]) else { continue }
            let name = words[words[0] == "final" ? 2 : 1].prefix { $0.isLetter || $0.isNumber }
            #expect(page.contains("- ``\(name)``"), "\(name)")
        }
    }

    @Test("every piece of it compiles against the library as it is")
    func compiles() throws {
        let folders = ["Sources/FSession", "Sources/FSession/FSession.docc"]
        let sources = try folders.flatMap { folder in
            try FileManager.default.contentsOfDirectory(atPath: Repository.root.appendingPathComponent(folder).path).sorted()
                .filter { $0.hasSuffix(".swift") || $0.hasSuffix(".md") }.map { "\(folder)/\($0)" }
        }
        let files = ["README.md", "docs/library.md"] + sources
        let pieces = try files.flatMap(pieces)
        #expect(pieces.count > 40)
        var text = Self.given
        for (index, piece) in pieces.enumerated() {
            text += "func piece\(index)() async throws {\n#sourceLocation(file: \"\(piece.place.split(separator: ":")[0])\", "
            text += "line: \((Int(piece.place.split(separator: ":")[1]) ?? 0) + 1))\n"
            text += piece.lines.map { $0.hasPrefix("import ") ? "" : $0 }.joined(separator: "\n")
            text += "\n#sourceLocation()\n}\n"
        }
        let source = TemporaryFiles.path() + ".swift"
        try Data(text.utf8).write(to: URL(fileURLWithPath: source))
        // The modules lie beside the tests, and those of C in folders of their own.
        let products = URL(fileURLWithPath: Repository.product("fsession")).deletingLastPathComponent().resolvingSymlinksInPath()
        let built = try FileManager.default.contentsOfDirectory(atPath: products.path).map { products.path + "/\($0)/module.modulemap" }
        let maps = (built + ["CLibDW", "CLZMA", "CCapstone"].map { "\(Repository.root.path)/Sources/\($0)/module.modulemap" })
            .filter { FileManager.default.fileExists(atPath: $0) }
        let result = try runBlocking(
            ["swiftc", "-typecheck", "-parse-as-library", "-swift-version", "6", "-suppress-warnings", "-I", products.path + "/Modules"]
                + maps.flatMap { ["-Xcc", "-fmodule-map-file=\($0)"] } + ["-Xcc", "-I/usr/include/capstone", source])
        #expect(result.status == 0, "\(result.errors)")
    }
}
