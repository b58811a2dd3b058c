import Foundation
import TestSupport
import Testing

@Suite("The documentation's Swift")
struct DocumentedSwiftTests {
    /// What the pieces take for given.
    private static let given = """
        import FSession
        var session: Session { fatalError() }
        var object: Object { get { fatalError() } set {} }
        var loaded: LoadedObject { fatalError() }
        var map: Map { fatalError() }
        var call: Call { fatalError() }
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
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            let lines = text.components(separatedBy: "\n").map { $0.drop { $0 == " " } }.filter { !$0.hasPrefix("@") }
            for (line, above) in zip(lines.dropFirst(), lines) where line.hasPrefix("public ") && !line.hasPrefix("public typealias") {
                #expect(above.hasPrefix("///"), "\(name): \(line)")
            }
        }
    }

    @Test("every piece of it compiles against the library as it is")
    func compiles() throws {
        let sources = try FileManager.default.contentsOfDirectory(atPath: Repository.root.appendingPathComponent("Sources/FSession").path)
        let files = ["README.md", "docs/library.md"] + sources.sorted().map { "Sources/FSession/\($0)" }
        let pieces = try files.flatMap(pieces)
        #expect(pieces.count > 20)
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
