import FSession
import Foundation
import TestSupport
import Testing

/// Functions that leave by a jump to one that looks at its caller, returns twice or never returns: what holds for that one
/// holds for them.
@Suite("Leaving by a jump", .serialized)
struct LeavingJumpTests {
    /// A program, a library, and a library of that one, with a plug-in that only the first library's RUNPATH leads to.
    private final class Fixture {
        let folder: String
        var program: String { folder + "/program" }

        init(_ compiler: String, _ options: [String]) throws {
            folder = NSTemporaryDirectory() + "fsession-jumps-\(UUID().uuidString)"
            for name in ["libraries", "plugins"] {
                try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
            }
            let shared = ["-O2", "-fPIC", "-shared"] + options.filter { !$0.hasSuffix("no-pie") && $0 != "-fno-pie" }
            try make(compiler, "inner", Self.inner, "libraries/libinner.so", shared)
            try make(
                compiler, "outer", Self.outer, "libraries/libouter.so",
                shared + [
                    "-L\(folder)/libraries", "-linner", "-Wl,-rpath,$ORIGIN/../plugins:$ORIGIN", "-Wl,--enable-new-dtags",
                ])
            try make(compiler, "plugin", "int plugin(void) { return 3; }", "plugins/plugin.so", shared)
            try make(
                compiler, "program", Self.program, "program",
                ["-O2"] + options + [
                    "-L\(folder)/libraries", "-louter", "-linner", "-Wl,-rpath,\(folder)/libraries",
                ])
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        private func make(_ compiler: String, _ name: String, _ source: String, _ output: String, _ options: [String]) throws {
            let file = "\(folder)/\(name).c"
            try source.write(toFile: file, atomically: true, encoding: .utf8)
            let run = try Running(["/usr/bin/env", compiler, file, "-o", "\(folder)/\(output)"] + options)
            guard run.wait().status == 0 else { throw Trouble("\(compiler) \(options): \(run.errorsSoFar)") }
        }

        static let inner = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            static __attribute__((noinline)) void *hidden(const char *n) { return dlsym(RTLD_NEXT, n); }
            void *inner(const char *n) { if (n[0] == '!') return 0; return hidden(n); }
            """

        static let outer = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            extern void *inner(const char *);
            void *outer(const char *n) { return inner(n); }
            __attribute__((noinline)) void *opens(const char *n) { return dlopen(n, RTLD_NOW); }
            void *loads(const char *n) { void *l = opens(n); __asm__ volatile("" : "+r"(l)); return l; }
            """

        static let program = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <setjmp.h>
            #include <stdio.h>
            #include <stdlib.h>
            extern void *outer(const char *), *loads(const char *);
            __attribute__((noinline)) void *find(const char *n) { return dlsym(RTLD_NEXT, n); }
            __attribute__((noinline)) void *maybe(const char *n) { if (__builtin_expect(n[0] == 'x', 0)) return dlsym(RTLD_NEXT, n + 1); return 0; }
            __attribute__((noinline)) void *deep(const char *n) { if (n == 0) return 0; return outer(n); }
            static void *implementation(const char *n) { return dlsym(RTLD_NEXT, n + 1); }
            static void *(*choose(void))(const char *) { return implementation; }
            void *chosen(const char *) __attribute__((ifunc("choose")));
            __attribute__((noinline)) void *indirect(const char *n) { return chosen(n); }
            /* A wrapper of setjmp, as libraries write them. */
            __asm__(".text\\n.globl marks\\n.type marks,@function\\nmarks:\\n  jmp _setjmp@PLT\\n.size marks,.-marks\\n"
                    ".globl runs\\n.type runs,@function\\nruns:\\n  nop\\n  mov %rdi,%rdi\\n.size runs,.-runs\\n"
                    ".globl slots\\n.type slots,@function\\nslots:\\n  jmp *_setjmp@GOTPCREL(%rip)\\n.size slots,.-slots\\n"
                    ".globl shorts\\n.type shorts,@function\\nshorts:\\n  mov %rdi,%rdi\\n  nop\\n  nop\\n  jmp slots\\n.size shorts,.-shorts\\n");
            extern int marks(jmp_buf), runs(jmp_buf), slots(jmp_buf), shorts(jmp_buf);
            #pragma weak marks
            static jmp_buf place;
            __attribute__((noinline)) void leaps(void) { longjmp(place, 2); }
            __attribute__((noinline, returns_twice)) static int twice(int (*mark)(jmp_buf)) __attribute__((unused));
            #define TWICE(mark) ({ volatile int n = 0; int (*volatile f)(jmp_buf) __attribute__((returns_twice)) = mark; \\
                int r = f(place); if (r == 0 && n++ == 0) leaps(); r; })
            __attribute__((noinline)) void ends(int s) { exit(s); }
            int main(void) {
              int (*p[5])(const char *) = { find("puts"), maybe("xputs"), deep("puts"), indirect("xputs"), outer("puts") };
              void *l = loads("plugin.so");
              int (*f)(void) = l ? dlsym(l, "plugin") : 0;
              int sum = f ? f() : 0;
              for (int i = 0; i < 5; i++) if (p[i] && p[i]("found") >= 0) sum += 10;
              sum += TWICE(marks); sum += TWICE(runs); sum += TWICE(slots); sum += TWICE(shorts);
              ends(sum);
            }
            """
    }

    private static let ways: [[String]] = [
        [], ["-fno-plt"], ["-Wl,-z,now"], ["-Wl,-z,lazy"], ["-fcf-protection=none"], ["-no-pie", "-fno-pie"],
    ]

    @Test("A function that leaves to dlsym, dlopen or setjmp, at any depth, gives what it gives untraced", arguments: ways, ["gcc", "clang"])
    func jumps(options: [String], compiler: String) throws {
        let fixture = try Fixture(compiler, options)
        let plain = try Running([fixture.program])
        try #require(plain.wait().status == 61)
        for pattern in ["exe:*", "*"] {
            let run = try HardProgram.fsession(["trace", "-q", "-o", "/dev/null", pattern, "--", fixture.program])
            #expect(run.wait().status == 61, "\(pattern): \(run.errorsSoFar)")
            #expect(run.outputSoFar == plain.outputSoFar, "\(pattern)")
        }
    }

    @Test("Jumps through registers, by which processors do not guess, are followed")
    func thunks() throws {
        for options in [["-mindirect-branch=thunk", "-fcf-protection=none"], ["-mindirect-branch=thunk", "-fno-plt"]] {
            let fixture = try Fixture("gcc", options)
            let run = try HardProgram.fsession(["trace", "-q", "-o", "/dev/null", "*", "--", fixture.program])
            #expect(run.wait().status == 61, "\(options): \(run.errorsSoFar)")
        }
    }

    @Test("Of a process and of a file it is said what a function leaves to")
    func said() async throws {
        let fixture = try Fixture("gcc", [])
        let file = try HardProgram.fsession(["list", "*", fixture.folder + "/libraries/libinner.so"])
        #expect(file.wait().status == 0)
        for name in ["inner", "hidden"] {
            #expect(
                file.outputSoFar.contains(":\(name)  entry only: leaves by a jump to dlsym, which looks at its caller's address"),
                "\(file.outputSoFar)")
        }
        let session = try await Session(.command(Session.Command(fixture.program)))
        try await session.load(try Fixtures.object("cookies"))
        for name in ["exe:find", "exe:deep", "libouter:outer", "exe:indirect", "exe:slots", "exe:shorts", "exe:runs"] {
            let complaint = await session.complaint("first", to: name)
            #expect(complaint.contains("leaves by a jump to"), "\(name): \(complaint)")
        }
        try await session.attach("first", to: "libouter:loads")
        try await session.detach()
    }

    @Test("Debian's libraries have such jumps", arguments: [("libsqlite3.so.0", "dlsym"), ("libpam.so.0", "dlsym"), ("libasound.so.2", "dlsym")])
    func installed(library: String, target: String) throws {
        let path = "/usr/lib/x86_64-linux-gnu/\(library)"
        guard FileManager.default.fileExists(atPath: path) else {
            print("*** \(path) is not installed: skipped")
            return
        }
        let list = try HardProgram.fsession(["list", "*", path])
        #expect(list.wait().status == 0)
        // Without symbols only those that are exported are listed.
        if library == "libasound.so.2" { #expect(list.outputSoFar.contains("leaves by a jump to \(target),"), "\(library)") }
    }

    @Test("A jump through a table is no way to the functions whose addresses a function takes")
    func tables() throws {
        let list = try HardProgram.fsession(["list", "makecontext", "/lib/x86_64-linux-gnu/libc.so.6"])
        #expect(list.wait().status == 0)
        #expect(!list.outputSoFar.contains("leaves by a jump"), "\(list.outputSoFar)")
    }
}
