import Foundation
import Testing

/// `Structures+Generated.swift` against the types of this machine's kernel. `KernelVMTests` does the same in the kernel that it was
/// made from, where nothing may be missing.
@Suite("Generated structures", .enabled(if: FileManager.default.isReadableFile(atPath: "/sys/kernel/btf/vmlinux")))
struct GeneratedTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let file = root.appendingPathComponent("Sources/LinuxBPF/Structures+Generated.swift")

    private static func compare(_ file: URL) throws -> (text: String, status: Int32) {
        let process = Process()
        process.executableURL = root.appendingPathComponent(".build/release/generate-linux-bpf")
        let release = try String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8).split(separator: ".").prefix(2)
        process.arguments = ["/sys/kernel/btf/vmlinux", release.joined(separator: "."), file.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (text, process.terminationStatus)
    }

    @Test("members are where this kernel has them")
    func places() throws {
        let (text, status) = try Self.compare(Self.file)
        #expect(status == 0, "\(text)")
        #expect(text.split(separator: " ").first.flatMap { Int($0) } ?? 0 > 400, "\(text)")
    }

    @Test("a member at a wrong place, or of a wrong type or number, is told")
    func wrong() throws {
        let right = try String(contentsOf: Self.file, encoding: .utf8)
        for (old, new, member) in [
            ("expectedAttachType: UInt32 { get { self[68] }", "expectedAttachType: UInt32 { get { self[64] }", "ProgramLoad.expectedAttachType"),
            ("cookie: UInt64", "cookie: UInt32", "RawTracepointOpen.cookie"), ("mapFreeze = 22", "mapFreeze = 23", "BPFCommand.mapFreeze"),
        ] {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("fsession-\(UUID().uuidString).swift")
            defer { try? FileManager.default.removeItem(at: file) }
            let changed = right.replacingOccurrences(of: old, with: new)
            #expect(changed != right)
            try changed.write(to: file, atomically: true, encoding: .utf8)
            let (text, status) = try Self.compare(file)
            #expect(status == 1 && text.contains(member), "\(text)")
        }
    }
}
