import FSession
import Foundation
import TestSupport
import Testing

/// Exceptions pass traced functions whatever unwinder a program has, also where there are several.
@Suite("Unwinders", .serialized)
struct UnwinderTests {
    /// A way to build a C++ program, and the unwinder that it gets by that.
    struct Way: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var compiler: String
        var options: [String]
    }

    private static let ways = [
        Way(testDescription: "libgcc", compiler: "g++", options: []),
        Way(testDescription: "libgcc within the program", compiler: "g++", options: ["-static-libgcc", "-static-libstdc++"]),
        Way(testDescription: "libgcc in a static program", compiler: "g++", options: ["-static"]),
        Way(testDescription: "LLVM's", compiler: "clang++", options: ["-stdlib=libc++"]),
        Way(
            testDescription: "LLVM's within the program", compiler: "clang++",
            options: ["-stdlib=libc++", "-nodefaultlibs"] + llvmStatic),
        Way(
            testDescription: "LLVM's within a program without symbols", compiler: "clang++",
            options: ["-stdlib=libc++", "-nodefaultlibs", "-Wl,--export-dynamic", "-s"] + llvmStatic),
        Way(testDescription: "nongnu's", compiler: "g++", options: nongnu),
    ]
    private static let llvmStatic = [
        "-Wl,-Bstatic", "-lc++", "-lc++abi", "-L/usr/lib/llvm-14/lib", "-lunwind", "-Wl,-Bdynamic", "-lc", "-lm", "-lpthread",
    ]
    /// Before libgcc's, so that all are bound to it.
    private static let nongnu = ["-Wl,--no-as-needed", "-l:libunwind.so.8"]

    @Test("C++ exceptions run every destructor and catch clause, and calls are seen to return", arguments: ways)
    func exceptions(way: Way) throws {
        let program = try #require(try HardProgram.cxx(HardProgram.exceptions, compiler: way.compiler, ["-O1"] + way.options))
        for pattern in ["exe:*", "*"] {
            let result = try program.traced(pattern)
            #expect(result.output == "caught 200 destroyed 1500\n", "\(pattern)")
            #expect(result.status == 7, "\(pattern)")
        }
        // One call, so that none is dropped however busy the machine is.
        let main = try program.traced("exe:main").trace
        #expect(main.contains("main(") && main.contains("= 7"), "\(main)")
    }

    private static let thrown: [Way] = [
        Way(testDescription: "LLVM's", compiler: "clang++", options: ["-stdlib=libc++"]),
        Way(testDescription: "nongnu's", compiler: "clang++", options: nongnu),
    ]

    @Test("Attach and detach cycles while four threads throw", arguments: thrown)
    func cycles(way: Way) throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp", way.options), ["4"])
        let object = try Fixtures.bpf(Fixtures.package.appendingPathComponent("Benchmarks/cookie.bpf.c"))
        for (cycle, pattern) in ["exe:*", "*", "exe:*", "exe:*"].enumerated() {
            let run = try Fixtures.run(
                HardProgram.fsessionPath,
                ["run", "-o", "/dev/null", "--at", pattern, object, "-p", "\(target.pid)", "--duration", "0.05"])
            #expect(run.status == 0, "\(run.errors)")
            try #require(target.isRunning, "cycle \(cycle)")
        }
        #expect(target.end("end") == 0)
    }

    @Test("An exception passes the frames of a call that was inside when the session ended, and of later ones", arguments: thrown)
    func left(way: Way) async throws {
        let target = try DrivenProcess(try Fixtures.target("thrown.cpp", way.options))
        for round in 1...3 {
            let session = try await Session(.process(target.pid))
            try await session.load(try Fixtures.object("cookies"))
            try await session.attach("first", to: "exe:*")
            try await session.attach("second", to: "libc:dl_iterate_phdr")
            #expect(try target.ask("wait") == "0")
            let summary = try await session.detach()
            #expect(summary.keptCode, "round \(round)")
        }
        #expect(try target.ask("throw") == "3")
        #expect(target.end("end") == 0)
    }

    @Test("Two unwinders in one process: a library with LLVM's in a program with libgcc's")
    func two() throws {
        let library = try #require(
            try HardProgram.cxx(
                """
                #include <stdexcept>
                extern "C" __attribute__((noinline)) int thrown(int n) { if (n % 2) throw std::logic_error("theirs"); return n; }
                extern "C" int theirs(int n) { try { thrown(n); } catch (std::logic_error &) { return 10; } return 0; }
                """,
                compiler: "clang++",
                [
                    "-O1", "-fPIC", "-shared", "-stdlib=libc++", "-nodefaultlibs", "-Wl,-Bsymbolic", "-lc++", "-lc++abi", "-l:libunwind.so.1", "-lc",
                    "-lm",
                ]))
        let program = try #require(
            try HardProgram.cxx(
                """
                #include <cstdio>
                #include <dlfcn.h>
                #include <stdexcept>
                extern "C" __attribute__((noinline)) int own(int n) { if (n % 2) throw std::runtime_error("own"); return n; }
                int main() {
                  void *l = dlopen("\(library.path)", RTLD_NOW | RTLD_DEEPBIND);
                  if (!l) { puts(dlerror()); return 1; }
                  auto theirs = (int (*)(int))dlsym(l, "theirs");
                  int sum = 0;
                  for (int i = 0; i < 100; i++) { try { own(i); } catch (std::runtime_error &) { sum++; } sum += theirs(i); }
                  printf("%d\\n", sum);
                  return 7;
                }
                """, compiler: "g++", ["-O1"]))
        let result = try program.traced("*")
        #expect(result.output == "550\n")
        #expect(result.status == 7)
        #expect(result.trace.contains("own("))
    }

    @Test("Who walks the stack with nongnu's libunwind comes through our frames")
    func walks() throws {
        let program = try #require(
            try HardProgram.c(
                """
                #include <stdio.h>
                extern int _Ux86_64_getcontext(void *), _ULx86_64_init_local(void *, void *), _ULx86_64_step(void *);
                extern int _ULx86_64_get_reg(void *, int, unsigned long *);
                static long context[4096], cursor[4096];
                int main(void);
                __attribute__((noinline)) int walk(void) {
                  int found = 0;
                  unsigned long ip;
                  _Ux86_64_getcontext(context);
                  _ULx86_64_init_local(cursor, context);
                  while (_ULx86_64_step(cursor) > 0)
                    if (_ULx86_64_get_reg(cursor, 16, &ip) == 0 && ip - (unsigned long)main < 64) found++;
                  return found;
                }
                __attribute__((noinline)) int below(int n) { int r = n ? below(n - 1) : walk(); __asm__ volatile("" : "+r"(r)); return r; }
                __attribute__((noinline)) int times(void) { int n = 0; for (int i = 0; i < 50; i++) n += below(i % 5); return n; }
                int main(void) { int n = times(); printf("%d\\n", n); return 0; }
                """, ["-O1", "-l:libunwind.so.8"]))
        let plain = try Fixtures.run(program.path, []).output
        #expect(Int(plain.dropLast()) ?? 0 >= 50, "\(plain)")
        #expect(try program.traced("exe:*").output == plain)
    }
}
