import Foundation

/// The names of the checks that `kernel-checks` makes, read from its source: the machine must have run them all.
enum KernelCheck {
    static let folder = VirtualMachine.package.appendingPathComponent("Tests/KernelChecks")

    static let names: [String] = {
        let source = (try? String(contentsOf: folder.appendingPathComponent("Checks.swift"), encoding: .utf8)) ?? ""
        return source.split(separator: "\n").compactMap { line in
            let text = line.drop { $0 == " " }
            guard text.hasPrefix("Check(\"") else { return nil }
            return text.dropFirst(7).split(separator: "\"").first.map(String.init)
        }
    }()
}
