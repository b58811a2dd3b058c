import Foundation
import TestSupport

/// The names of the checks that `kernel-checks` makes, read from its source: the machine must have run them all.
enum KernelCheck {
    static let folder = Repository.root.appendingPathComponent("Tests/KernelChecks")

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let sources = files.filter { $0.hasPrefix("Checks") }.sorted().map { name in
            (try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)) ?? ""
        }
        return sources.joined(separator: "\n").split(separator: "\n").compactMap { line in
            let text = line.drop { $0 == " " }
            guard text.hasPrefix("Check(\"") else { return nil }
            return text.dropFirst(7).split(separator: "\"").first.map(String.init)
        }
    }()
}
