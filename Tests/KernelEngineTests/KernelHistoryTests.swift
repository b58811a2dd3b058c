import BPF
import Foundation
import KernelEngine
import Testing

@Suite("Which Linux has what")
struct KernelHistoryTests {
    @Test("everything stands in the table once, and the releases follow one another")
    func complete() {
        let releases = KernelHistory.releases
        #expect(zip(releases, releases.dropFirst()).allSatisfy { $0.version < $1.version })
        #expect(releases.flatMap(\.kinds).map(\.rawValue).sorted() == ProgramKind.allCases.map(\.rawValue).sorted())
        #expect(releases.flatMap(\.maps).map(\.rawValue).sorted() == MapType.allCases.map(\.rawValue).sorted())
        #expect(releases.flatMap(\.features).map(\.rawValue).sorted() == KernelHistory.Feature.allCases.map(\.rawValue).sorted())
        let helpers = releases.compactMap(\.lastHelper)
        #expect(helpers == Array(Set(helpers)).sorted() && helpers.count > 10)
        let kfuncs = releases.flatMap(\.kfuncs)
        #expect(Set(kfuncs).count == kfuncs.count && kfuncs.count > 30)
    }

    @Test("docs/kernel.md has the same table")
    func documented() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/kernel.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "\n## ").first { $0.hasPrefix("Which Linux has what\n") })
        let rows = section.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2).map(String.init)
        let expected = KernelHistory.releases.map { release -> String in
            let cells = [
                release.version.description, code(release.kinds.map(\.rawValue)), code(release.maps.map(\.kernelName)),
                release.lastHelper.map { "to \($0)" } ?? "",
                (release.features.map(\.rawValue) + [code(release.kfuncs)]).filter { !$0.isEmpty }
                    .joined(separator: ", "),
            ]
            return "| " + cells.joined(separator: " | ") + " |"
        }
        #expect(rows == expected, "It is to be:\n\(expected.joined(separator: "\n"))")
    }

    private func code(_ names: [String]) -> String { names.map { "`\($0)`" }.joined(separator: ", ") }

    @Test("the kernel of this machine has what its version says", .enabled(if: FileManager.default.isReadableFile(atPath: "/sys/kernel/btf/vmlinux")))
    func here() throws {
        let running = try #require(KernelVersion.running)
        let kfuncs = Set(KernelHistory.releases.flatMap(\.kfuncs))
        let (wrong, count) = try KernelHistory.contradictions(of: running)
        // Kfuncs depend on the configuration, which is known of the kernels in virtual machines only.
        #expect(wrong.filter { !kfuncs.contains($0) }.isEmpty && count > 100, "\(wrong)")
    }
}
