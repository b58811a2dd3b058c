import BPF
import Foundation
import TargetRuntime
import Testing
import Verifier

/// The corpus: each file of `Cases/` is a program with the verdict that Linux's rules give it.
@Suite("Cases")
struct CaseTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Cases")

    /// "group/name" of every case.
    static let names: [String] = {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.allObjects as? [URL] ?? []
        return files.filter { $0.pathExtension == "case" }
            .map { $0.deletingPathExtension().pathComponents.suffix(2).joined(separator: "/") }
            .sorted()
    }()

    @Test("the verdict is the expected one, and a refusal says why", arguments: names)
    func verdict(_ name: String) throws {
        let file = Self.folder.appendingPathComponent("\(name).case")
        let testCase = try CaseFile(name: name, text: String(contentsOf: file, encoding: .utf8))
        let verdict = Verifier.verify(testCase.input, testCase.options)
        let log = verdict.log + (verdict.failure.map { "\($0)\n" } ?? "")
        switch testCase.expectation {
        case .accept:
            #expect(verdict.isAccepted, "\(name): \(testCase.title)\n\(log)")
        case .reject(let message):
            #expect(!verdict.isAccepted, "\(name) was accepted: \(testCase.title)")
            #expect(
                verdict.isAccepted || log.contains(message),
                "\(name): \(testCase.title)\nexpected in the log: \(message)\n\(log)")
        }
    }

    @Test("every group has cases of both verdicts, and no two cases are the same")
    func corpus() throws {
        #expect(Self.names.count >= 700)
        var verdicts: [Substring: Set<Bool>] = [:]
        var programs: [String: String] = [:]
        for name in Self.names {
            let text = try String(contentsOf: Self.folder.appendingPathComponent("\(name).case"), encoding: .utf8)
            let testCase = try CaseFile(name: name, text: text)
            verdicts[name.prefix { $0 != "/" }, default: []].insert(testCase.expectation == .accept)
            let program = text.split(separator: "\n").dropFirst().joined(separator: "\n")
            #expect(programs[program] == nil, "\(name) is \(programs[program] ?? "")")
            programs[program] = name
        }
        for (group, verdicts) in verdicts { #expect(verdicts.count == 2, "\(group) goes one way only") }
    }

    @Test("each helper and kfunc that a process has is called by an accepted and by a refused program")
    func helpers() throws {
        var helpers: [fs_helper_row] = []
        while let row = fs_helper_row(helpers.count) { helpers.append(row.pointee) }
        let names = helpers.map { Substring(String(cString: $0.name)) } + SessionKfunc.allCases.map { Substring($0.rawValue) }
        #expect(HelperPrototype.count == helpers.count, "a row says what Swift does not know")
        for row in helpers { #expect(Helper(rawValue: row.number)?.name == String(cString: row.name)) }
        var accepted: Set<Substring> = []
        var refused: Set<Substring> = []
        for name in Self.names {
            let text = try String(contentsOf: Self.folder.appendingPathComponent("\(name).case"), encoding: .utf8)
            let isAccepted = text.contains("\nverdict: accept\n")
            for line in text.split(separator: "\n") where line.hasPrefix("call ") {
                if isAccepted { accepted.insert(line.dropFirst(5)) } else { refused.insert(line.dropFirst(5)) }
            }
        }
        for name in names {
            #expect(accepted.contains(name), "no accepted case calls \(name)")
            #expect(refused.contains(name), "no refused case calls \(name)")
        }
    }
}
