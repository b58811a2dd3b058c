import CLinux
import ELF
import Foundation
import Glibc
import LinuxProcess
import TestSupport
import Testing

@Suite("Files of a process", .timeLimit(.minutes(2)))
struct TargetFilesTests {
    private static func folder() throws -> String {
        let path = Support.temporary.appendingPathComponent("\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private static let waiting = "#include <stdio.h>\n#include <unistd.h>\nint main() { puts(\"ready\"); fflush(stdout); pause(); }"

    @Test("paths are followed below the root of the process, and only regular files are opened")
    func otherRoot() throws {
        guard try runBlocking(["unshare", "-Ur", "true"]).status == 0 else {
            Issue.record("unshare(1) does not work here")
            return
        }
        let outside = try Support.compile(Self.waiting, name: "outside", arguments: ["-static"])
        let root = try Self.folder()
        for folder in ["/bin", "/a/b"] {
            try FileManager.default.createDirectory(atPath: root + folder, withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: outside, toPath: root + "/bin/program")
        symlink("/bin/program", root + "/absolute")
        symlink("../../../../../../../../bin/program", root + "/a/b/relative")
        symlink(outside, root + "/outside")
        symlink("/proc/self/exe", root + "/magic")
        symlink("loop", root + "/loop")
        try #require(mkfifo(root + "/fifo", 0o600) == 0)
        let child = try Child("unshare", ["-Ur", "chroot", root, "/bin/program"])
        #expect(try child.readLine() == "ready")
        let files = TargetFiles(pid: child.pid)
        func answer(_ path: String) -> String {
            do throws(ELFError) { return "\(try files.elf(path).kind)" } catch { return "\(error)" }
        }
        for path in ["/bin/program", "bin/program", "/absolute", "/a/b/relative", "/../../bin/program"] {
            #expect(answer(path) == "executable", "\(path)")
        }
        for path in ["/outside", "/magic", outside, "/..\(outside)"] {
            #expect(answer(path) == "cannot read \(path): No such file or directory", "\(path)")
        }
        #expect(answer("/loop").contains("symbolic links"))
        #expect(answer("/fifo") == "/fifo is not an ELF file")
        #expect(answer("/a") == "cannot read /a: Is a directory")
        #expect(files.hasProgram("/absolute") && !files.hasProgram("/outside") && !files.hasProgram("/fifo"))
        let module = try #require(try ModuleList(pid: child.pid).executable)
        #expect(module.place?.path == "/bin/program" && !module.isDeleted)
    }

    @Test("without openat2 nothing is followed that leads elsewhere")
    func components() throws {
        let root = try Self.folder()
        try FileManager.default.createDirectory(atPath: root + "/a/b", withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(fileURLWithPath: root + "/a/b/file"))
        symlink("/etc", root + "/etc")
        symlink("file", root + "/a/b/link")
        let start = clinux_open_folder(root)
        try #require(start >= 0)
        defer { close(start) }
        func open(_ path: String) -> Int32 {
            let descriptor = clinux_open_by_components(start, path)
            if descriptor >= 0 { close(descriptor) }
            return min(descriptor, 0)
        }
        #expect(open("/a/b/file") == 0 && open("a//b/./file") == 0)
        #expect(open("/etc/passwd") == -ENOTDIR || open("/etc/passwd") == -ELOOP)
        #expect(open("/a/b/link") == -ELOOP)
        #expect(open("/a/../../etc/passwd") == -ELOOP)
        #expect(open("/a/none") == -ENOENT)
        #expect(open("/" + String(repeating: "n", count: 300)) == -ENAMETOOLONG)
    }

    @Test("debug information that is shortened while it is read ends nothing", arguments: [0, 4096, 1 << 20])
    func shortened(size: Int) throws {
        let path = try Support.compile("int f(int a) { return a; } int main() { return f(0); }", name: "long")
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try handle.truncate(atOffset: 64 << 20)
        let file = try ELFFile(path: path)
        #expect(!file.isShortened)
        let symbols = ModuleSymbols(file: file, at: nil)
        #expect(symbols.functions.contains { $0.name == "f" } && symbols.remarks == [])
        let information = try DebugInfo(file, at: nil)
        try handle.truncate(atOffset: UInt64(size))
        file.dropPages()
        _ = information.prototypes(for: symbols.functions.map(\.address))
        _ = information.sourceLocation(of: symbols.functions[0].address)
        var sum = 0
        for byte in file.memory { sum &+= Int(byte) }
        #expect(sum > 0 || size == 0)
        #expect(file.isShortened)
        #expect(ModuleSymbols(file: file, at: nil).remarks.contains { $0.contains("shortened") })
        // A later file does not inherit it.
        try handle.truncate(atOffset: 64 << 20)
        _ = try? ELFFile(path: path)
        #expect(try !ELFFile(path: "/proc/self/exe").isShortened)
    }

    @Test("compressed sections that would become a thousand times their size are refused")
    func compressed() throws {
        let path = try Support.compile("int f(int a) { return a; } int main() { return f(0); }", name: "zeros")
        let folder = (path as NSString).deletingLastPathComponent
        let made = try runBlocking([
            "sh", "-ec",
            """
            cd "$1"; truncate -s 100M nothing
            objcopy --add-section .debug_macro=nothing zeros full
            objcopy --compress-debug-sections=zlib full packed
            objcopy --compress-debug-sections=zlib zeros small
            """, "sh", folder,
        ])
        try #require(made.status == 0, "\(made.errors)")
        let error = #expect(throws: DebugInfoError.self) { try DebugInfo(path: folder + "/packed") }
        #expect(error?.description.contains("would become 100 MiB") ?? false, "\(String(describing: error))")
        // Twice: reading leaves the file's memory as it was.
        let small = try ELFFile(path: folder + "/small")
        let addresses = try ModuleSymbols(path: folder + "/small").functions.map(\.address)
        for _ in 0..<3 { #expect(try !DebugInfo(small, at: nil).prototypes(for: addresses).isEmpty) }
    }

    @Test("symbols in 30,000 sections are found without looking through them all for each")
    func manySections() throws {
        let sections = 30_000, symbols = 400_000
        var bytes: [UInt8] = []
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        func section(_ type: UInt32, flags: UInt64 = 0, address: UInt64 = 0, offset: Int, size: Int, link: UInt32 = 0, entry: UInt64 = 0) {
            append(UInt32(0)); append(type); append(flags); append(address); append(UInt64(offset)); append(UInt64(size))
            append(link); append(UInt32(0)); append(UInt64(1)); append(entry)
        }
        let table = 64 + (sections + 3) * 64
        bytes += [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        append(UInt16(3)); append(UInt16(62)); append(UInt32(1)); append(UInt64(0)); append(UInt64(0)); append(UInt64(64))
        append(UInt32(0)); append(UInt16(64)); append(UInt16(56)); append(UInt16(0)); append(UInt16(64)); append(UInt16(sections + 3));
        append(UInt16(0))
        section(0, offset: 0, size: 0)
        section(2, offset: table, size: symbols * 24, link: 2, entry: 24)
        section(3, offset: table + symbols * 24, size: 4)
        for index in 0..<sections { section(1, flags: 6, address: UInt64(index + 1) * 4096, offset: 0, size: 4096) }
        for index in 0..<symbols {
            // From one section to another far away.
            append(UInt32(1)); bytes += [0x12, 0]; append(UInt16(3))
            append(UInt64(index * 7919 % sections + 1) * 4096 + UInt64(index / sections)); append(UInt64(1))
        }
        bytes += [0, 0x66, 0x66, 0]
        let file = try ELFFile(bytes: bytes)
        let time = ContinuousClock().measure {
            let found = ModuleSymbols(file: file, at: nil)
            #expect(found.functions.count == symbols && found.remarks == [])
        }
        #expect(time < .seconds(20))
    }
}
