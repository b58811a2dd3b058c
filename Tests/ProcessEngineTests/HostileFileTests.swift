import Foundation
import TestSupport
import Testing

/// Files that are made to mislead whoever reads them. Each command runs under a time limit of its own: one that hangs is
/// ended with status 124.
@Suite("Hostile files", .timeLimit(.minutes(5)))
struct HostileFileTests {
    private static func list(_ path: String, seconds: Int = 60) throws -> Finished {
        try Fixtures.run("/usr/bin/env", ["timeout", "\(seconds)", HardProgram.fsessionPath, "list", "*", path])
    }

    private static func shell(_ script: String, _ arguments: String...) throws {
        let run = try Fixtures.run("/usr/bin/env", ["sh", "-ec", script, "sh"] + arguments)
        try #require(run.status == 0, "\(run.errors)")
    }

    @Test("a sparse debug file of 200 GB is not read through for its checksum")
    func sparseDebugFile() throws {
        let program = try #require(
            try HardProgram.c("int hidden(int a) { return a; } int main() { return hidden(0); }", ["-g", "-O0", "-Wl,--build-id=none"]))
        try Self.shell(
            """
            cd "$1"
            objcopy --only-keep-debug program program.debug
            objcopy --strip-all --add-gnu-debuglink=program.debug program
            truncate -s 200G program.debug
            """, program.folder)
        let run = try Self.list(program.path)
        #expect(run.status != 124, "it hangs")
        #expect(!run.output.contains("hidden"))
    }

    /// A library whose only unit is in `.debug_info` as it is given, with the abbreviations 1 (the unit, with children), 2 (a
    /// function whose name is in the file of dwz) and 3 (a namespace that says where its sibling is).
    private static func library(_ entries: String, _ extra: String = "") throws -> HardProgram {
        let assembly = """
            .text
            .globl f
            .type f, @function
            f: ret
            .size f, .-f
            .section .debug_abbrev,"",@progbits
            .uleb128 1, 0x11; .byte 1; .uleb128 0x11, 0x01, 0x12, 0x07, 0x13, 0x0b, 0, 0
            .uleb128 2, 0x2e; .byte 0; .uleb128 0x11, 0x01, 0x03, 0x1f21, 0, 0
            .uleb128 3, 0x39; .byte 1; .uleb128 0x01, 0x13, 0, 0
            .byte 0
            .section .debug_info,"",@progbits
            start: .long end - begin
            begin: .short 4; .long 0; .byte 8
            .uleb128 1; .quad f; .quad 1; .byte 0x21
            \(entries)
            .byte 0
            end:
            \(extra)
            .section .note.GNU-stack,"",@progbits
            """
        let program = try #require(try HardProgram.c("int unused;", ["-c"]))
        try assembly.write(toFile: program.folder + "/l.s", atomically: true, encoding: .utf8)
        try shell("cd \"$1\"; gcc -shared -nostdlib -o program l.s", program.folder)
        return program
    }

    @Test("the file that dwz's link names is not opened before it is looked at: a FIFO does not hang us")
    func alternativeFIFO() throws {
        let fifo = NSTemporaryDirectory() + "fsession-fifo-\(UUID().uuidString)"
        try #require(mkfifo(fifo, 0o600) == 0)
        defer { unlink(fifo) }
        let library = try Self.library(
            ".uleb128 2; .quad f; .long 0",
            """
            .section .gnu_debugaltlink,"",@progbits
            .asciz "\(fifo)"
            .fill 20, 1, 0x11
            """)
        let run = try Self.list(library.path)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("program:f"))
    }

    @Test("entries whose siblings lie inside of them are not looked at again and again")
    func siblingsInside() throws {
        let depth = 44
        let entries = (0..<depth).map { "n\($0): .uleb128 3; .long n\($0 + 1) - start" }.joined(separator: "\n")
        let library = try Self.library(
            entries + "\nn\(depth): .uleb128 3; .long last - start; .byte 0\nlast:" + String(repeating: " .byte 0;", count: depth))
        let run = try Self.list(library.path)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("program:f"))
    }

    @Test("160,000 names of one address take no time that grows with their square")
    func aliases() throws {
        let program = try #require(try HardProgram.c("int unused;", ["-c"]))
        try Self.shell(
            """
            cd "$1"
            { echo '.text; .globl f; .type f,@function; f: ret; .size f,.-f'
              awk 'BEGIN { for (i = 0; i < 160000; i++) printf ".globl alias_%d; .set alias_%d, f\\n", i, i }'
              echo '.section .note.GNU-stack,"",@progbits'
            } > l.s
            gcc -shared -nostdlib -o program l.s
            """, program.folder)
        let run = try Self.list(program.path, seconds: 60)
        #expect(run.status == 0, "\(run.status) \(run.errors)")
        #expect(run.output.split(separator: "\n").count >= 1)
    }

    @Test("a program in another root is seen with that root's debug files, and no link leads to ours")
    func otherRoot() throws {
        let unshare = ["unshare", "-Urm"]
        guard try Fixtures.run("/usr/bin/env", unshare + ["true"]).status == 0 else {
            Issue.record("unshare(1) does not work here")
            return
        }
        let source = """
            #include <stdio.h>
            #include <unistd.h>
            __attribute__((noinline)) int hidden(int value) { __asm__ volatile("nop; nop; nop; nop"); return value + 1; }
            int main(void) { puts("ready"); fflush(stdout); for (int i = 0;; i = hidden(i)) usleep(1000); }
            """
        let program = try #require(try HardProgram.c(source, ["-g", "-O1", "-static", "-Wl,--build-id=none"]))
        try Self.shell(
            """
            cd "$1"
            objcopy --only-keep-debug program whole.debug
            objcopy --strip-all --add-gnu-debuglink=whole.debug program
            mkdir -p inside/app linked/app
            cp program inside/app; cp whole.debug inside/app
            cp program linked/app; ln -s "$1/whole.debug" linked/app/whole.debug
            """, program.folder)
        for (folder, isFound) in [("inside", true), ("linked", false)] {
            let target = try DrivenProcess("/usr/bin/env", unshare + ["chroot", "\(program.folder)/\(folder)", "/app/program"])
            let run = try Fixtures.run(
                "/usr/bin/env",
                [
                    "timeout", "60", HardProgram.fsessionPath, "trace", "--limit", "2", "-o", program.folder + "/trace", "exe:hidden", "-p",
                    "\(target.pid)",
                ])
            if isFound {
                #expect(run.status == 0, "\(run.errors)")
                #expect(try String(contentsOfFile: program.folder + "/trace", encoding: .utf8).contains("hidden(value="))
            } else {
                #expect(run.status != 0 && run.status != 124)
            }
            #expect(target.isRunning)
        }
    }
}
