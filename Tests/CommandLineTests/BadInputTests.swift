import Foundation
import TestSupport
import Testing

/// What cannot be done is told in one line on stderr: what, why, and what to do.
@Suite struct BadInputTests {
    /// - Parameter words: what the line must hold.
    private func fails(
        _ arguments: [String], status: Int32 = 1, _ words: String..., location: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try await run([Repository.fsession] + arguments)
        #expect(result.status == status, "\(arguments): \(result.errors)", sourceLocation: location)
        #expect(result.output == "", "\(arguments)", sourceLocation: location)
        #expect(result.errorLines.count == 1, "\(arguments): \(result.errors)", sourceLocation: location)
        #expect(result.errors.hasPrefix("fsession: "), "\(result.errors)", sourceLocation: location)
        for word in words {
            #expect(result.errors.contains(word), "'\(word)' in: \(result.errors)", sourceLocation: location)
        }
    }

    @Test(
        "wrong usage: status 2, and where help is",
        arguments: [
            (["trace", "libc:write"], "-p PID"),
            (["trace", "--", "echo"], "function"),
            (["trace", "libc:write", "-p", "1", "--", "echo"], "not both"),
            (["trace", "libc:write", "-p", "abc"], "abc"),
            (["trace", "libc:write", "-p", "-4"], "-p"),
            (["trace", "libc:write", "-p", "0"], "process id"),
            (["trace", "libc:write", "--limit", "0", "--", "echo"], "--limit"),
            (["trace", "libc:write", "--limit", "x", "--", "echo"], "--limit"),
            (["trace", "libc:write", "--duration", "0", "--", "echo"], "--duration"),
            (["trace", "libc:write", "--duration", "nan", "--", "echo"], "--duration"),
            (["trace", "libc:write", "--nosuch", "--", "echo"], "--nosuch"),
            (["run", "--", "echo"], "prog.bpf.o"),
            (["list"], "function"),
            (["list", "write"], "FILE"),
            (["list", "write", "/bin/ls", "-p", "1"], "FILE"),
            (["dump"], "prog.bpf.o"),
            (["nosuch"], "nosuch"),
            (["trace", "libc:write", "--pid", "1", "-p", "2,1"], "Process 1 is given twice"),
            (["list", "write", "--pid=1", "-p", "1"], "Process 1 is given twice"),
            (["trace", "write", "-p", "1,2,x"], "1,2,x"),
            (["trace", "write", "-p", "1,0"], "'0' is not a process id"),
            (["dump", "-p", "1", "--pid", "2", "write"], "'-p' is given 2 times"),
            (["trace", "libc:write", "-o", "a", "--output", "b", "--", "true"], "'-o'"),
            (["trace", "libc:write", "--limit", "1", "--limit=2", "--", "true"], "'--limit'"),
            (["run", "prog.bpf.o", "--at", "f", "--at", "g", "--", "true"], "'--at'"),
            (["run", "prog.bpf.o", "--program", "f", "--program", "g", "--", "true"], "'--program'"),
            (["run", "prog.bpf.o", "--set", "limit", "--", "true"], "--set takes NAME=VALUE"),
            (["check", "prog.bpf.o", "--set", "=5"], "--set takes NAME=VALUE"),
            (["run", "--no-verify", "prog.bpf.o"], "--no-verify is for programs in a process"),
            (["run", "--allow-write", "prog.bpf.o"], "--allow-write is for programs in a process"),
        ] as [([String], String)])
    func usage(arguments: [String], word: String) async throws {
        try await fails(arguments, status: 2, word, "--help'")
    }

    @Test("commands and files that are not there, and processes that are gone")
    func missing() async throws {
        let folder = try Folder()
        let text = try folder.file("text", "no program\n")
        try await fails(["trace", "libc:write", "--", "nosuchcommand"], "nosuchcommand", "not found")
        try await fails(["trace", "libc:write", "--", text], text, "chmod +x")
        try await fails(["trace", "libc:write", "--", folder.path], "folder")
        try await fails(["trace", "libc:write", "-o", "/nonexistent/x", "--", "echo", "hi"], "/nonexistent/x", "No such file")
        try await fails(["list", "write", "/nonexistent"], "/nonexistent", "No such file")
        try await fails(["list", "write", text], "not an ELF file")
        try await fails(["dump", "-p", "\(Int32.max)", "write"], "no process")
        let gone = try Running(["true"])
        _ = try await gone.finish()
        try await fails(["trace", "libc:write", "-p", "\(gone.pid)"], "no process \(gone.pid)")
    }

    @Test("no function matches: the nearest are named, and the command does not run")
    func noFunction() async throws {
        try await fails(["trace", "libc:wriite", "--", "echo", "hi"], "'libc:wriite'", "did you mean", "'write'")
        try await fails(["list", "libq:write", "--", "echo", "hi"], "'libq'", "did you mean 'libc'?")
        try await fails(["trace", "libc:*xyzzy*", "--", "echo", "hi"], "fsession list")
        try await fails(["trace", ":", "--", "echo", "hi"], "MODULE:FUNCTION")
        try await fails(["list", "libc:wriite", "--", "echo", "hi"], "did you mean")
    }

    @Test(
        "objects that cannot be used",
        arguments: [
            ("SEC(\"xdp\") int p(void *ctx) { return 0; }", ["\"xdp\"", "fsession, fentry, fexit, fmod_ret, kprobe"]),
            ("SEC(\"kprobe/write\") int p(void *ctx) { return 0; }", ["kprobe programs run in the kernel only", "without -p"]),
            ("SEC(\"xyzzy\") int p(void *ctx) { return 0; }", ["xyzzy", "fsession, fentry, fexit, fmod_ret, kprobe"]),
            ("SEC(\"fsession\") int p(void *ctx) { return 0; }", ["names no function", "fsession/libz:deflate"]),
            ("int nothing;", ["no program", "fsession/FUNCTION"]),
            (
                """
                struct { __uint(type, 999); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } odd SEC(".maps");
                SEC("fsession/libc:write") int p(void *ctx) { u32 key = 0; return bpf_map_lookup_elem(&odd, &key) != 0; }
                """, ["odd", "999"]
            ),
            (
                """
                struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } odd SEC(".maps");
                SEC("fsession/libc:write") int p(void *ctx) { u32 key = 0; return bpf_map_lookup_elem(&odd, &key) != 0; }
                """, ["odd"]
            ),
            ("static long (*odd)(void) = (void *)9999; SEC(\"fsession/libc:write\") int p(void *ctx) { return odd(); }", ["helper", "9999"]),
            ("SEC(\"fsession/libc:write\") int p(void *ctx) { return bpf_send_signal(9); }", ["send_signal"]),
            ("extern int bpf_odd(void) __ksym; SEC(\"fsession/libc:write\") int p(void *ctx) { return bpf_odd(); }", ["bpf_odd"]),
            (
                "SEC(\"fentry/libc:write\") int p(void *ctx) { *bpf_session_cookie(ctx) = 1; return 0; }",
                ["session", "; 'fsession check' shows the way there"]
            ),
            ("SEC(\"fexit/libc:vfork\") int p(void *ctx) { return 0; }", ["vfork"]),
            ("SEC(\"fsession/libc:wriite\") int p(void *ctx) { return 0; }", ["did you mean"]),
        ] as [(String, [String])])
    func objects(source: String, words: [String]) async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(source, in: folder)
        let result = try await run([Repository.fsession, "run", object, "--", "echo", "hi"])
        #expect(result.status == 1, "\(result.errors)")
        #expect(result.output == "", "the command must not run")
        #expect(result.errorLines.count == 1, "\(result.errors)")
        for word in words { #expect(result.errors.contains(word), "'\(word)' in: \(result.errors)") }
    }

    @Test("files that are no objects: text, empty, an executable, cut short at any place")
    func noObjects() async throws {
        let folder = try Folder()
        try await fails(["run", try folder.file("text.o", "hello\n"), "--", "echo", "hi"], "not an ELF file")
        try await fails(["run", try folder.file("empty.o", ""), "--", "echo", "hi"], "not an ELF file")
        try await fails(["run", "/usr/bin/env", "--", "echo", "hi"], "not a BPF object", "clang -target bpf")
        try await fails(["run", folder.path, "--", "echo", "hi"], "directory")
        try await fails(["dump", "/usr/bin/env"], "not a BPF object")
        let object = try Compiler.bpf("SEC(\"fsession/libc:write\") int p(void *ctx) { return 0; }", in: folder)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: object))
        for part in 1..<6 {
            let cut = try folder.file("cut\(part).o", bytes.prefix(bytes.count * part / 6))
            try await fails(["run", cut, "--", "echo", "hi"], "cut\(part).o")
        }
    }

    @Test("32-bit and Go targets are refused, and go on")
    func kinds() async throws {
        let folder = try Folder()
        // An ELF header of a 32-bit file.
        var header: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1] + [UInt8](repeating: 0, count: 45)
        header[16] = 2
        header[18] = 3
        header[20] = 1
        try await fails(["list", "*", try folder.file("m32", Data(header))], "32-bit", "64-bit")
        let go = try Compiler.c(
            """
            #include <stdio.h>
            #include <unistd.h>
            __attribute__((used, section(".gopclntab"))) char table[64] = { 1 };
            int main(void) { getchar(); puts("went on"); return 0; }
            """, in: folder)
        try await fails(["trace", "libc:write", "--", go], "Go program")
        try await fails(["list", "main", go], "Go program")
        let target = try Running([go], input: nil)
        try await waitUntil("the target runs") { (try? String(contentsOfFile: "/proc/\(target.pid)/comm", encoding: .utf8)) == "program\n" }
        try await fails(["trace", "libc:write", "-p", "\(target.pid)"], "Go program")
        target.closeInput()
        #expect(try await target.finish().output == "went on\n")
    }

    @Test("a process of another user: who it belongs to, and what to do", .enabled(if: getuid() == 0, "needs root to become somebody else"))
    func otherUser() async throws {
        let folder = try Folder()
        #expect(try await run(["chmod", "755", folder.path]).status == 0)
        let copy = "\(folder.path)/fsession"
        try FileManager.default.copyItem(atPath: Repository.fsession, toPath: copy)
        let target = try Running(["sleep", "20"])
        let result = try await run([
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "trace", "libc:write", "-p", "\(target.pid)",
        ])
        #expect(result.status == 1)
        #expect(result.errorLines.count == 1)
        #expect(result.errors.contains("no permission to trace process \(target.pid)") && result.errors.contains("as root"), "\(result.errors)")
        #expect(target.isRunning)
        target.send(SIGKILL)
        _ = try await target.finish()
    }

    @Test(
        "programs that are not verified run in no process of another user, and say what is given up in one's own",
        .enabled(if: getuid() == 0, "needs root to become somebody else"))
    func notVerified() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf("SEC(\"fentry/libc:write\") int nothing(void *ctx) { return 0; }", in: folder)
        let other = try Running(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "20"])
        try await waitUntil("it is another user's") {
            ((try? String(contentsOfFile: "/proc/\(other.pid)/status", encoding: .utf8)) ?? "").contains("Uid:\t65534")
                && (try? String(contentsOfFile: "/proc/\(other.pid)/comm", encoding: .utf8)) == "sleep\n"
        }
        let refused = try await run([Repository.fsession, "run", "--no-verify", object, "-p", "\(other.pid)"])
        #expect(refused.status == 1)
        #expect(refused.errors.contains("run in your own processes only; process \(other.pid) is of user 65534"), "\(refused.errors)")
        #expect(other.isRunning)
        // Verified, it may.
        let verified = try Running([Repository.fsession, "run", "--json", object, "-p", "\(other.pid)"])
        try await waitUntil("it is attached") { verified.outputSoFar.contains("\"functions\": 1") }
        verified.send(SIGINT)
        #expect(try await verified.finish().status == 0)
        other.send(SIGKILL)
        _ = try await other.finish()
        let own = try await run([Repository.fsession, "run", "--no-verify", object, "--", "true"])
        #expect(own.status == 0)
        #expect((own.output + own.errors).contains("not verified: a bad pointer or an endless loop"), "\(own.output) \(own.errors)")
        // On a terminal, in red.
        let seen = try await run(["script", "-qec", "\(Repository.fsession) run --no-verify \(object) -- true", "/dev/null"])
        #expect(seen.output.contains("\u{1B}[31m"), "\(seen.output.debugDescription)")
    }
}
