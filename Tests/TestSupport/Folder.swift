import Foundation

/// A folder that goes away with its owner.
package final class Folder: Sendable {
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "fsession-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file; gives its path.
    package func file(_ name: String, _ contents: String) throws -> String {
        try file(name, Data(contents.utf8))
    }

    package func file(_ name: String, _ contents: Data) throws -> String {
        let path = "\(path)/\(name)"
        try contents.write(to: URL(fileURLWithPath: path))
        return path
    }

    package func text(_ name: String) throws -> String { try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8) }

    package func bytes(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) }
}

/// A folder that goes away with the test.
package func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = try Folder()
    return try withExtendedLifetime(folder) { try body(URL(fileURLWithPath: folder.path)) }
}

/// Files that several tests of a run share; removed at the end of the run.
package enum TemporaryFiles {
    package static let folder: URL = {
        atexit { try? FileManager.default.removeItem(at: TemporaryFiles.place) }
        try? FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        return place
    }()
    private static let place = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-tests-\(getpid())")

    /// The path of a new file.
    package static func path(_ suffix: String = "") -> String { folder.appendingPathComponent("\(UUID())\(suffix)").path }
}
