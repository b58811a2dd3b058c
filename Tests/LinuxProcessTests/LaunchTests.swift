import CLinux
import Foundation
import Glibc
import LinuxProcess
import Testing

@Suite("Launching a command") struct LaunchTests {
    /// Launches, looks, lets go, and takes the exit status.
    private func runToEnd(
        _ command: Command, _ look: (inout StoppedProcess) throws -> Void = { _ in }
    ) throws -> ProcessExit {
        var process = try StoppedProcess.launch(command)
        let pid = process.pid
        try look(&process)
        process.resume()
        return try ProcessExit.wait(for: pid)
    }

    /// A pipe whose read end is drained after the command.
    private func output(_ body: (Int32) throws -> Void) throws -> String {
        let pipe = Pipe()
        try body(pipe.fileHandleForWriting.fileDescriptor)
        try pipe.fileHandleForWriting.close()
        return String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }

    @Test("stops with all libraries mapped and before their constructors, then runs to its end")
    func entry() throws {
        let status = try runToEnd(Command("sh", arguments: ["-c", "exit 7"])) { process in
            #expect(process.threads.count == 1)
            let place = try process.threads[0].registers().instructionPointer
            let base = try #require(try AuxiliaryVector(pid: process.pid).interpreterBase)
            let linker = try #require(try ModuleList(pid: process.pid).module(at: base).flatMap { DynamicLinker(in: $0) })
            #expect(place == linker.notification)
            #expect(linker.isConsistent(in: process.memory) == true)
            let code = try MemoryMap(pid: process.pid).regions.filter { $0.permissions.contains(.execute) }
            #expect(code.contains { $0.path.contains("libc.so.6") })
            #expect(try ProcessStatus(process.pid).tracer == clinux_thread_id())
        }
        #expect(status == .exited(7))
    }

    @Test("no breakpoint is left when the caller looks")
    func breakpointRemoved() throws {
        _ = try runToEnd(Command("true")) { process in
            let map = try MemoryMap(pid: process.pid)
            for place in [try process.threads[0].registers().instructionPointer, try AuxiliaryVector(pid: process.pid).entry] {
                let region = try #require(map.region(at: place))
                let live = try process.memory.read(at: place, count: 16)
                let file = try WholeFile.bytes("/proc/\(process.pid)/root\(region.path)")
                let offset = Int(place - region.range.lowerBound + region.offset)
                #expect(live == Array(file[offset..<offset + 16]))
            }
        }
    }

    @Test("output, arguments, environment, folder and redirections reach the command")
    func surroundings() throws {
        let text = try output { descriptor in
            let status = try runToEnd(
                Command(
                    "/bin/sh", arguments: ["-c", "echo \"$1 $COLOUR $(pwd)\"", "x", "one two"],
                    environment: ["COLOUR=green", "PATH=/usr/bin:/bin"], workingDirectory: "/usr", standardOutput: descriptor))
            #expect(status == .exited(0))
        }
        #expect(text == "one two green /usr\n")
    }

    @Test("a script runs through its interpreter, and one without #! through sh")
    func script() throws {
        for (name, text) in [("a", "#!/bin/sh\nexit 5\n"), ("b", "exit 6\n")] {
            let path = NSTemporaryDirectory() + "fsession-script-\(UUID())-\(name)"
            try Support.script(text, at: path)
            defer { unlink(path) }
            #expect(try runToEnd(Command(path)) == .exited(name == "a" ? 5 : 6))
        }
    }

    @Test("a static program and one that does not use libc")
    func staticProgram() throws {
        let plain = try Support.compile("int main(void) { return 9; }", name: "static", arguments: ["-static"])
        let plainStatus = try runToEnd(Command(plain))
        #expect(plainStatus == .exited(9))
        #if arch(x86_64)
        let bare = try Support.compile(
            "void _start(void) { __asm__ volatile(\"mov $60,%eax; mov $4,%edi; syscall\"); }", name: "bare",
            arguments: ["-nostdlib", "-static"])
        let status = try runToEnd(Command(bare)) { process in
            let result = try process.systemCall(Number.getpid)
            #expect(result == Int64(process.pid))
        }
        #expect(status == .exited(4))
        #endif
    }

    @Test("a static program waits at its entry point")
    func staticEntry() throws {
        let path = try Support.compile("int main(void) { return 9; }", name: "static", arguments: ["-static"])
        _ = try runToEnd(Command(path)) { process in
            let place = try process.threads[0].registers().instructionPointer
            #expect(place == (try AuxiliaryVector(pid: process.pid).entry))
        }
    }

    @Test("the death of a command is told as such")
    func killed() throws {
        #expect(try runToEnd(Command("sh", arguments: ["-c", "kill -TERM $$"])) == .killed(signal: SIGTERM))
    }

    static let refused: [String: String] = [
        "no-such-command-at-all": "no-such-command-at-all: command not found in PATH",
        "/nonexistent/file": "cannot execute /nonexistent/file: No such file or directory",
        "/usr": "cannot execute /usr: it is a folder",
        "/etc/passwd": "cannot execute /etc/passwd: the file is not executable",
        "": "cannot execute an empty name",
    ]

    @Test("what cannot be launched says why", arguments: refused.keys.sorted())
    func failures(name: String) throws {
        let error = #expect(throws: ProcessError.self) { _ = try runToEnd(Command(name)) }
        let text = error?.description ?? ""
        let message = Self.refused[name] ?? "?"
        #expect(text.hasPrefix(message), "\(text)")
    }

    @Test("missing interpreters, folders and foreign programs say why")
    func moreFailures() throws {
        let path = NSTemporaryDirectory() + "fsession-script-\(UUID())"
        try Support.script("#!/no/such/interpreter\n", at: path)
        defer { unlink(path) }
        #expect(
            throws: ProcessError.cannotExecute(
                path: path, error: ENOENT, detail: "its interpreter /no/such/interpreter is missing")
        ) {
            _ = try runToEnd(Command(path))
        }
        #expect(throws: ProcessError.workingDirectory(path: "/no/such/folder", error: ENOENT)) {
            _ = try runToEnd(Command("true", workingDirectory: "/no/such/folder"))
        }
        #expect(throws: ProcessError.cannotLaunch(operation: "redirection of descriptor 1", error: EBADF)) {
            _ = try runToEnd(Command("true", standardOutput: 9999))
        }
    }

    @Test("a program that ends in the dynamic linker tells its status")
    func endsBeforeEntry() throws {
        let library = try Support.compile("int f(void) { return 1; }", name: "libgone.so", arguments: ["-shared", "-fPIC"])
        let program = try Support.compile("int f(void); int main(void) { return f(); }", name: "needs", arguments: [library])
        unlink(library)
        #expect(throws: ProcessError.endedBeforeEntry(path: program, status: .exited(127))) {
            _ = try runToEnd(Command(program, standardError: try FileHandle(forWritingTo: URL(fileURLWithPath: "/dev/null")).fileDescriptor))
        }
    }

    @Test("signals ignored or blocked here are not ignored or blocked in the command")
    func signalState() throws {
        let before = signal(SIGUSR1, SIG_IGN)
        defer { signal(SIGUSR1, before) }
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGUSR2)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        defer { pthread_sigmask(SIG_UNBLOCK, &set, nil) }
        let text = try output { descriptor in
            let command = Command("grep", arguments: ["^Sig[BI]", "/proc/self/status"], standardOutput: descriptor)
            let status = try runToEnd(command)
            #expect(status == .exited(0))
        }
        for line in text.split(separator: "\n") {
            let mask = try #require(UInt64(line.split(separator: "\t")[1], radix: 16))
            #expect(mask & (1 << UInt64(SIGUSR1 - 1)) == 0, "\(line)")
            #expect(mask & (1 << UInt64(SIGUSR2 - 1)) == 0, "\(line)")
        }
    }

    @Test("threads that a preloaded library's constructor starts are not there yet, and hinder nothing")
    func earlyThreads() throws {
        let library = try Support.compile(
            """
            #include <pthread.h>
            #include <unistd.h>
            static void *run(void *x) { for (;;) usleep(1000); return x; }
            __attribute__((constructor)) static void start(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_create(&t, 0, run, 0); }
            """, name: "early.so", arguments: ["-shared", "-fPIC", "-pthread"])
        let status = try runToEnd(Command("true", environment: ["LD_PRELOAD=\(library)"])) { process in
            #expect(process.threads.count == 1)
        }
        #expect(status == .exited(0))
    }

    @Test("a launched process dies with a tracer that does not let it go, and not after that")
    func killInstead() throws {
        let process = try StoppedProcess.launch(Command("sleep", arguments: ["100"]))
        let pid = process.pid
        process.kill()
        #expect(try ProcessExit.wait(for: pid) == .killed(signal: SIGKILL))
    }
}
