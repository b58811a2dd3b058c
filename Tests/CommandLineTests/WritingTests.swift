import Foundation
import TestSupport
import Testing

/// What cannot be written ends a session like anything else: it detaches, says so where that can be said, and gives a status.
@Suite(.timeLimit(.minutes(3))) struct WritingTests {
    /// Runs fsession by a shell, with redirections.
    private func shell(_ redirections: String, _ arguments: [String]) async throws -> Finished {
        try await run(["sh", "-c", "exec \"$0\" \"$@\" \(redirections)", Repository.fsession] + arguments)
    }

    @Test(
        "stderr that cannot be written: the command runs to its end, and the status says that output was lost",
        arguments: ["2>&-", "2>/dev/full", "2>&- <&-"])
    func launched(redirections: String) async throws {
        for extra in [["trace"], ["trace", "--json"]] {
            let result = try await shell(redirections, extra + ["libc:write", "--", "sh", "-c", "sleep 0.2; echo one; echo two"])
            #expect(result.status == 1, "\(result.errors)")
            #expect(result.output == "one\ntwo\n")
        }
        // Where nothing had to be written, nothing was lost.
        let quiet = try await shell(redirections, ["trace", "--quiet", "libc:nice", "--", "sh", "-c", "echo one; exit 7"])
        #expect(quiet.status == 7)
        #expect(quiet.output == "one\n")
    }

    @Test(
        "errors, wrong usage and help that cannot be written: the status alone tells",
        arguments: [
            (["nosuch"], "2>&-", 2), (["nosuch"], "2>/dev/full", 2), (["trace", "libc:write", "--", "nosuchcommand"], "2>&-", 1),
            (["list", "write", "/nonexistent"], "2>/dev/full", 1), (["--help"], ">&-", 1), (["--help"], ">/dev/full", 1),
            (["trace", "--help"], ">/dev/full 2>/dev/full", 1), (["--version"], ">&- 2>&- <&-", 1),
            (["list", "libc:dl*", "--", "true"], ">/dev/full", 1), (["list", "--json", "libc:dl*", "--", "true"], ">&-", 1),
            (["doctor"], ">/dev/full", 1), (["help", "run"], ">/dev/full 2>&-", 1),
        ] as [([String], String, Int32)])
    func status(arguments: [String], redirections: String, status: Int32) async throws {
        let result = try await shell(redirections, arguments)
        #expect(result.status == status, "\(result.errors)")
        if !redirections.contains("2>") { #expect(result.errors.hasPrefix("fsession: cannot write the output: "), "\(result.errors)") }
    }

    @Test("check and dump that cannot be written say so")
    func programs() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf("SEC(\"fentry/libc:write\") int nothing(void *ctx) { return 0; }", in: folder)
        for command in ["check", "dump"] {
            let result = try await shell(">/dev/full", [command, object])
            #expect(result.status == 1)
            #expect(result.errorLines.count == 1 && result.errors.contains("No space left"), "\(result.errors)")
        }
    }

    @Test("a reader that has gone away is no error: quiet, with status 0, in every command")
    func closedPipe() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf("SEC(\"fentry/libc:write\") int nothing(void *ctx) { return 0; }", in: folder)
        for arguments in [["list", "libc:dl*", "--", "true"], ["--help"], ["dump", object], ["check", object], ["--version"]] {
            // The reader is gone before anything is written.
            let result = try await run(
                ["bash", "-c", "{ sleep 0.3; \"$0\" \"$@\"; echo status $? >&2; } | true", Repository.fsession] + arguments)
            #expect(result.errors == "status 0\n", "\(arguments): \(result.errors)")
        }
        // Nor is it for a launched command, whose status is passed on.
        let launched = try await run(
            [
                "bash", "-c", "{ sleep 0.3; \"$0\" \"$@\" 2>&1 >/dev/null; echo status $? >\(folder.path)/status; } | true", Repository.fsession,
                "trace", "libc:write", "--", "sh", "-c", "echo on; exit 9",
            ])
        #expect(launched.status == 0)
        #expect(try folder.text("status") == "status 9\n")
    }

    /// A process that writes a number to its stdout again and again.
    private func counter() async throws -> Running {
        let target = try Running(
            ["/usr/bin/python3", "-u", "-c", "import os, time\nfor i in range(60000):\n os.write(1, b'%d\\n' % i)\n time.sleep(0.01)"])
        try await waitUntil("the target runs") { target.outputSoFar.count > 10 }
        return target
    }

    private func goesOnUntraced(_ target: Running) async throws {
        #expect(!isTraced(target.pid))
        let before = target.outputSoFar.utf8.count
        try await waitUntil("the target writes again") { target.outputSoFar.utf8.count > before + 20 }
        target.send(SIGKILL)
        _ = try await target.finish()
    }

    @Test("a full disk detaches from the process", arguments: [">/dev/full", ">/dev/full 2>&-", ">&-", "-o /dev/full 2>&-"])
    func attached(redirections: String) async throws {
        let target = try await counter()
        let result = try await shell(redirections, ["trace", "libc:write", "-p", "\(target.pid)"])
        #expect(result.status == 1)
        try await goesOnUntraced(target)
    }

    @Test("a file that may not grow any more (SIGXFSZ) detaches from the process")
    func fileSize() async throws {
        let folder = try Folder()
        let target = try await counter()
        let tracer = try Running([Repository.fsession, "trace", "-o", "\(folder.path)/out", "libc:write", "-p", "\(target.pid)"])
        try await waitUntil("calls are written") { (try? folder.text("out").contains("write(")) ?? false }
        #expect(try await run(["prlimit", "--pid", "\(tracer.pid)", "--fsize=4096"]).status == 0)
        let result = try await tracer.finish()
        #expect(result.status == 1)
        #expect(result.errors.contains("File too large"), "\(result.errors)")
        try await goesOnUntraced(target)
    }

    @Test("no file of ours gets the number of a standard descriptor that was closed, and the command finds it closed")
    func closedDescriptors() async throws {
        let folder = try Folder()
        let target = try await counter()
        let tracer = try Running(
            [
                "sh", "-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", Repository.fsession, "trace", "--json", "-o", "\(folder.path)/out", "libc:write", "-p",
                "\(target.pid)",
            ])
        try await waitUntil("calls are written") { (try? folder.text("out").contains("\"call\"")) ?? false }
        for number in 0...2 {
            let file = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(tracer.pid)/fd/\(number)")
            #expect(file == "/dev/null", "\(number)")
        }
        tracer.send(SIGINT)
        #expect(try await tracer.finish().status == 0)
        #expect(try JSONLine.all(folder.text("out")).last?.type == "summary")
        try await goesOnUntraced(target)
        for number in 0...2 {
            let result = try await shell(
                "\(number)>&-",
                ["trace", "-o", "\(folder.path)/out", "libc:write", "--", "sh", "-c", "[ -e /proc/$$/fd/\(number) ] && exit 3; exit 4"])
            #expect(result.status == 4, "\(number): \(result.errors)")
        }
    }
}
