import Foundation

/// The repository that the tests are from, and what was built of it.
package enum Repository {
    package static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// - Parameter file: its path from the root.
    package static func path(_ file: String) -> String { root.appendingPathComponent(file).path }

    package static func text(_ file: String) throws -> String { try String(contentsOfFile: path(file), encoding: .utf8) }

    /// All files below a folder, by their paths from the root, sorted.
    package static func files(below folder: String) -> [String] {
        let names = FileManager.default.enumerator(atPath: path(folder))?.allObjects as? [String] ?? []
        return names.map { "\(folder)/\($0)" }.filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: path(name), isDirectory: &isFolder) && !isFolder.boolValue
        }.sorted()
    }

    /// A program of the package: it lies beside the tests that run.
    package static func product(_ name: String) -> String {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent(name).path
        return FileManager.default.isExecutableFile(atPath: beside) ? beside : path(".build/release/\(name)")
    }

    /// The command line.
    package static let fsession = product("fsession")
}
