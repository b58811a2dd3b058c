import Foundation
import TestSupport
import Testing

/// What people write for functions and modules, and what is found.
@Suite(.timeLimit(.minutes(3))) struct PatternTests {
    private static let source = """
        #include <string>
        #define KEEP __attribute__((noinline, noipa))
        #define MARK __asm__ volatile("" ::: "memory")
        namespace ns {
        template <class T> KEEP T most(T a, T b) { MARK; return a > b ? a : b; }
        struct Box { int sum; template <class T> KEEP int put(T t) { MARK; return sum += (int)t; } };
        template <class T> struct Pair { T a; KEEP T add(T b) { MARK; return a * 3 + b; } };
        KEEP std::string tagged(int n) { MARK; return std::string(n, 'x'); }
        KEEP int tagged_not(int n) { MARK; return n * 1000003 / 7; }
        }
        struct Less { int n; };
        template <class T> KEEP bool operator<(const Less &a, T b) { MARK; return a.n < b; }
        int main()
        {
            ns::Box box = {};
            ns::Pair<int> pair = {1};
            ns::Pair<long> other = {1};
            long sum = ns::most<int>(1, 2) + ns::most<long>(3, 4) + box.put<int>(1) + box.put<short>(2) + pair.add(1) + other.add(2)
                + (long)ns::tagged(3).size() + ns::tagged_not(1) + (Less{1} < 2) + (Less{1} < 2l);
            return sum == 0;
        }
        """

    @Test("templates and tagged functions are found by their names alone, and by what they are written with")
    func templates() async throws {
        let folder = try Folder()
        let program = try Compiler.cxx(Self.source, in: folder, name: "templates")
        let cases: [(String, Int)] = [
            ("ns::most", 2), ("ns::most<int>", 1), ("exe:ns::most", 2), ("ns::mo*", 2),
            ("ns::Box::put", 2), ("ns::Box::put<short>", 1), ("ns::Pair::add", 2), ("ns::Pair<long>::add", 1), ("ns::Pair<long>::*", 1),
            ("ns::tagged", 1), ("ns::tagged[abi:cxx11]", 1), ("exe:ns::tagged[abi:cxx11]", 1), ("ns::tagged[abi:cxx11](int)", 1),
            ("operator<", 2), ("operator< <int>", 1),
        ]
        for (pattern, count) in cases {
            let list = try await fsession("list", "--json", pattern.hasPrefix("exe:") ? pattern : "exe:\(pattern)", "--", program)
            #expect(list.status == 0, "\(pattern): \(list.errors)")
            #expect(try JSONLine.all(list.output).count == count, "\(pattern): \(list.output)")
        }
        // With their calls.
        let trace = try await Trace.of(["ns::most", "ns::tagged", "ns::Box::put", "ns::Pair::add", "operator<"], [program])
        #expect(trace.finished.status == 0)
        #expect(trace.calls.count == 9)
        #expect(trace.summary.number("attached") == 9)
    }

    @Test("what matches nothing: the readable names that are near, and those in a namespace")
    func hints() async throws {
        let folder = try Folder()
        let program = try Compiler.cxx(Self.source, in: folder, name: "templates")
        for (pattern, hint) in [
            ("exe:ns::moost", "'ns::most'"), ("exe:most", "'ns::most'"), ("ns::tagedd", "'ns::tagged'"), ("exe:ns::Pair::ad", "'ns::Pair::add'"),
        ] {
            for arguments in [
                ["trace", pattern, "--", program], ["list", pattern.hasPrefix("exe:") ? String(pattern.dropFirst(4)) : pattern, program],
            ] {
                let result = try await run([Repository.fsession] + arguments)
                #expect(result.status == 1)
                #expect(result.errorLines.count == 1 && result.errors.contains("did you mean \(hint)"), "\(arguments): \(result.errors)")
            }
        }
    }

    // MARK: Modules that come later

    private static let plugin = "int plugged(int number) { __asm__ volatile(\"\" ::: \"memory\"); return number * 1000003 / 7; }"
    /// Loads the library when it is told to, calls it, and waits again.
    private static let loader = """
        #include <dlfcn.h>
        #include <stdio.h>
        int main(int count, char **arguments)
        {
            char line[16];
            puts("ready");
            fflush(stdout);
            if (arguments[2] && !fgets(line, sizeof line, stdin)) return 1;
            void *library = dlopen(arguments[1], RTLD_NOW);
            int (*plugged)(int) = library ? dlsym(library, "plugged") : 0;
            if (!plugged) return 2;
            for (int i = 0; i < 3; i++) plugged(i);
            puts("called");
            fflush(stdout);
            if (arguments[2] && !fgets(line, sizeof line, stdin)) return 1;
            return 0;
        }
        """

    @Test("a plug-in that is in no folder of libraries is waited for, by its name, stem, path or a pattern, and its calls are all seen")
    func plugins() async throws {
        let folder = try Folder()
        let library = try Compiler.c(Self.plugin, in: folder, name: "my-plugin.so", ["-shared", "-fPIC"])
        let program = try Compiler.c(Self.loader, in: folder, name: "loader", ["-ldl"])
        for module in ["my-plugin", "my-plugin.so", library, "my-pl*"] {
            let result = try await fsession("trace", "\(module):plugged", "--", program, library)
            #expect(result.status == 0)
            #expect(result.output == "ready\ncalled\n")
            let lines = result.errorLines
            #expect(lines.first == "fsession: \(module) is not loaded; its functions are traced when it is", "\(result.errors)")
            #expect(lines.count { $0.contains(" plugged(") } == 3, "\(result.errors)")
            #expect(lines.last == "fsession: 3 calls of 1 function", "\(result.errors)")
        }
        // A program's section may name it as well.
        let object = try Compiler.bpf("u64 calls;\nSEC(\"fentry/my-plugin:plugged\")\nint BPF_PROG(count) { calls++; return 0; }", in: folder)
        let ran = try await fsession("run", "--globals", object, "--", program, library)
        #expect(ran.errors.contains("my-plugin is not loaded; its functions are traced when it is"), "\(ran.errors)")
        #expect(ran.errorLines.contains("calls = 3"), "\(ran.errors)")
    }

    @Test("a running process is waited for as well")
    func attached() async throws {
        let folder = try Folder()
        let library = try Compiler.c(Self.plugin, in: folder, name: "my-plugin.so", ["-shared", "-fPIC"])
        let program = try Compiler.c(Self.loader, in: folder, name: "loader", ["-ldl"])
        let target = try Running([program, library, "asks"], input: nil)
        try await waitUntil("it runs") { target.outputSoFar == "ready\n" }
        let tracer = try Running([Repository.fsession, "trace", "my-plugin:plugged", "-p", "\(target.pid)"])
        try await waitUntil("it waits") { tracer.outputSoFar.contains("my-plugin is not loaded; its functions are traced when it is\n") }
        target.write("go\n")
        try await waitUntil("the calls are seen") { tracer.outputSoFar.split(separator: "\n").count { $0.contains(" plugged(") } == 3 }
        tracer.send(SIGINT)
        let result = try await tracer.finish()
        #expect(result.status == 0)
        #expect(result.outputLines.last == "fsession: 3 calls of 1 function", "\(result.output)")
        target.write("end\n")
        #expect(try await target.finish().status == 0)
    }

    @Test("a module that never comes, and a function that it does not have, are told")
    func vain() async throws {
        let folder = try Folder()
        let library = try Compiler.c(Self.plugin, in: folder, name: "my-plugin.so", ["-shared", "-fPIC"])
        let program = try Compiler.c(Self.loader, in: folder, name: "loader", ["-ldl"])
        let never = try await fsession("trace", "libq:write", "--", program, library)
        #expect(never.status == 0)
        #expect(never.output == "ready\ncalled\n")
        #expect(
            never.errorLines.first == "fsession: libq is not loaded; its functions are traced when it is (or did you mean 'libc'?)", "\(never.errors)"
        )
        #expect(never.errors.contains("fsession: libq was never loaded; nothing of it was traced\n"), "\(never.errors)")
        let misspelt = try await fsession("trace", "my-plugin:pluged", "--", program, library)
        #expect(misspelt.status == 0)
        #expect(misspelt.errors.contains("no function matches 'my-plugin:pluged'; did you mean 'plugged'?"), "\(misspelt.errors)")
        #expect(!misspelt.errors.contains("never loaded"), "\(misspelt.errors)")
        // Nobody tells us what a stripped static program loads.
        let still = try Compiler.c("#include <stdio.h>\nint main(void) { puts(\"ran\"); return 0; }", in: folder, name: "still", ["-static", "-s"])
        let refused = try await fsession("trace", "my-plugin:plugged", "--", still)
        #expect(refused.status == 1)
        #expect(refused.output == "")
        #expect(refused.errors.contains("no module 'my-plugin' is loaded"), "\(refused.errors)")
    }

    // MARK: Ctrl-C

    /// Waits until the process catches SIGINT.
    private func catchesInterrupts(_ pid: Int32) async throws {
        try await waitUntil("it catches SIGINT") {
            let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
            let caught = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }?.dropFirst(7).trimmingCharacters(in: .whitespaces)
            return (caught.flatMap { UInt64($0, radix: 16) } ?? 0) & (1 << UInt64(SIGINT - 1)) != 0
        }
    }

    @Test("Ctrl-C while many functions are attached: a command does not run, and a process goes on without us")
    func interruptedAttach() async throws {
        // The largest program there is: to attach to all of it takes seconds.
        let clang = try Compiler.clang()
        let launched = try Running([Repository.fsession, "trace", "*", "--", clang, "--version"])
        try await catchesInterrupts(launched.pid)
        launched.send(SIGINT)
        let result = try await launched.finish()
        #expect(result.status == 1)
        #expect(result.output == "")
        #expect(result.errors == "fsession: interrupted while attaching; nothing stays attached\n", "\(result.errors)")

        let target = try Running([clang, "-fsyntax-only", "-x", "c", "-"], input: nil)
        try await waitUntil("it waits for its input") {
            (try? String(contentsOfFile: "/proc/\(target.pid)/wchan", encoding: .utf8))?.contains("pipe") ?? false
                || ((try? String(contentsOfFile: "/proc/\(target.pid)/syscall", encoding: .utf8))?.hasPrefix("0 0x0 ") ?? false)
        }
        let tracer = try Running([Repository.fsession, "trace", "*", "-p", "\(target.pid)"])
        try await waitUntil("it attaches") { isTraced(target.pid) || !tracer.isRunning }
        tracer.send(SIGINT)
        let ended = try await tracer.finish()
        #expect(ended.errors == "fsession: interrupted while attaching; nothing stays attached\n", "\(ended.errors)")
        #expect(!isTraced(target.pid))
        target.write("int whole;\n")
        target.closeInput()
        #expect(try await target.finish().status == 0)
    }

    // MARK: Rights

    @Test(
        "a set-uid command that is launched runs without its rights: that is said, and what to do",
        .enabled(if: getuid() == 0, "needs root to make such a file and to become somebody else"))
    func setUser() async throws {
        let folder = try Folder()
        #expect(try await run(["chmod", "755", folder.path]).status == 0)
        let copy = "\(folder.path)/fsession"
        try FileManager.default.copyItem(atPath: Repository.fsession, toPath: copy)
        let program = try Compiler.c(
            "#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf(\"%d %d\\n\", geteuid() == getuid(), getegid() == getgid()); return 0; }",
            in: folder, name: "rights")
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for (mode, words) in [("4755", "rights is a set-uid program of user 0"), ("2755", "rights is a set-gid program of group 0")] {
            #expect(try await run(["chmod", mode, program]).status == 0)
            let result = try await run(nobody + [copy, "trace", "libc:printf", "--", program])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output == "1 1\n")
            #expect(result.errors.contains("fsession: \(words)") && result.errors.contains("attach to it as root with -p PID"), "\(result.errors)")
            // Root may do it: nothing is lost, nothing is said.
            let root = try await fsession("trace", "libc:printf", "--", program)
            #expect(!root.errors.contains("program of"), "\(root.errors)")
        }
        #expect(try await run(["chmod", "755", program]).status == 0)
        let plain = try await run(nobody + [copy, "trace", "libc:printf", "--", program])
        #expect(!plain.errors.contains("program of") && !plain.errors.contains("capabilities"), "\(plain.errors)")
        // CAP_NET_RAW, permitted and effective, in the second version of `struct vfs_cap_data`.
        let attribute = "import os, struct, sys; os.setxattr(sys.argv[1], 'security.capability', struct.pack('<5I', 0x2000001, 1 << 13, 0, 0, 0))"
        #expect(try await run(["/usr/bin/python3", "-c", attribute, program]).status == 0)
        let capable = try await run(nobody + [copy, "trace", "libc:printf", "--", program])
        #expect(capable.errors.contains("rights is a program with capabilities"), "\(capable.errors)")
    }
}
