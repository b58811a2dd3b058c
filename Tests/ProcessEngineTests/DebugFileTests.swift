import Foundation
import TestSupport
import Testing

/// Where the names and types of a program are when they are not in the program, seen from the command line.
@Suite("Debug files")
struct DebugFileTests {
    private static let source = """
        __attribute__((noinline)) int hidden(int value) { __asm__ volatile("nop; nop; nop; nop"); return value + 1; }
        int main(void) { return hidden(4) - 5; }
        """

    private static func built(_ compiler: String, _ options: [String], _ script: String) throws -> HardProgram {
        let program = try #require(try HardProgram.c(source, []))
        let run = try Fixtures.run(
            "/usr/bin/env",
            ["sh", "-ec", "cd \"$1\"; \(compiler) \(options.joined(separator: " ")) -o program program.c\n\(script)", "sh", program.folder])
        try #require(run.status == 0, "\(run.errors)")
        return program
    }

    /// What tracing a program shows, and says beside it.
    private static func trace(_ program: HardProgram) throws -> (trace: String, error: String) {
        let log = program.folder + "/trace"
        let run = try Fixtures.run(HardProgram.fsessionPath, ["trace", "-o", log, "exe:hidden", "--", program.path])
        #expect(run.status == 0, "\(run.errors)")
        return ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "", run.errors)
    }

    @Test("types come from the debug file also where the program kept its symbols", arguments: ["gcc", "clang"])
    func symbolsKept(compiler: String) throws {
        let program = try Self.built(
            compiler, ["-g", "-O1", "-Wl,--build-id=none"],
            """
            objcopy --only-keep-debug program program.debug
            objcopy --strip-debug --add-gnu-debuglink=program.debug program
            """)
        #expect(try Self.trace(program).trace.contains("hidden(value=4) = 5"))
    }

    @Test("the symbols in .gnu_debugdata, compressed with xz, are used")
    func miniDebugData() throws {
        let program = try Self.built(
            "gcc", ["-g", "-O1"],
            """
            nm program --defined-only -f posix | awk '$2 ~ /[Tt]/ { print $1 }' > names
            objcopy --only-keep-debug program full
            objcopy -S --keep-symbols=names full mini
            xz -k mini
            objcopy --strip-all --add-section .gnu_debugdata=mini.xz program
            """)
        #expect(try Self.trace(program).trace.contains("hidden("))
    }

    @Test("types in .dwo files, which are not read, are said to be there", arguments: ["-gdwarf-4", "-gdwarf-5"], ["gcc", "clang"])
    func splitDWARF(version: String, compiler: String) throws {
        let (trace, error) = try Self.trace(Self.built(compiler, ["-g", version, "-gsplit-dwarf", "-O1"], "true"))
        #expect(trace.contains("hidden(4"))
        // With -o warnings are written beside the calls.
        let said = error + trace
        #expect(said.contains(".dwo") && said.contains("-gsplit-dwarf"), "\(said)")
    }

    @Test("values that are in memory, in two registers or in the x87's are shown as what they are", arguments: ["g++", "clang++"], ["-O0", "-O2"])
    func values(compiler: String, optimization: String) throws {
        let source = """
            struct Owner { int value; Owner(int v) : value(v) {} Owner(const Owner &o) : value(o.value) {} ~Owner() { __asm__ volatile(""); } };
            struct Plain { long a, b, c; };
            extern "C" {
            __attribute__((noinline)) Owner give(int v) { __asm__ volatile(""); return Owner(v); }
            __attribute__((noinline)) int take(Owner o) { __asm__ volatile(""); return o.value; }
            __attribute__((noinline)) Plain large(long v) { __asm__ volatile(""); return Plain{v, v, v}; }
            __attribute__((noinline)) long double half(long double x) { __asm__ volatile(""); return x / 2; }
            __attribute__((noinline)) __int128 wide(__int128 x, long k) { __asm__ volatile(""); return x * k + 1; }
            __attribute__((noinline)) unsigned __int128 positive(unsigned __int128 x) { __asm__ volatile(""); return x >> 1; }
            }
            int main() {
                Owner o = give(7);
                volatile long double h = half(-0.75L);
                volatile long sum = take(o) + large(3).b + (long)wide(((__int128)-3 << 64) + 5, 2) + (long)positive(~(unsigned __int128)0);
                return 0;
            }
            """
        let program = try #require(try HardProgram.cxx(source, compiler: compiler, ["-g", optimization]))
        var trace = ""
        for name in ["give", "take", "large", "half", "wide", "positive"] {
            trace += try program.traced("exe:\(name)").trace
        }
        func line(_ name: String) -> Substring { trace.split(separator: "\n").first { $0.contains(" \(name)(") } ?? "" }
        #expect(line("give").contains("give(v=7) = *0x7ff"), "\(trace)")
        #expect(line("take").contains("take(o=*0x7ff") && line("take").contains(") = 7"))
        #expect(line("large").contains("large(v=3) = *0x7ff"))
        #expect(line("half").contains("half(x=-0.75) = …"))
        #expect(line("wide").contains("wide(x=-55340232221128654843, k=2) = {0xb, …}"))
        #expect(line("positive").contains("positive(x=340282366920938463463374607431768211455) = {0xffffffffffffffff, …}"))
    }

    @Test("code that was moved to anonymous memory is traced")
    func movedCode() throws {
        let source = """
            #define _GNU_SOURCE
            #include <stdio.h>
            #include <string.h>
            #include <sys/mman.h>
            #include <unistd.h>
            __attribute__((noinline)) int work(int value) { __asm__ volatile("nop; nop; nop; nop"); return value + 1; }
            int main(int count, char **arguments) {
                char own[4096] = "", line[8192];
                if (readlink("/proc/self/exe", own, sizeof own - 1) < 0) return 1;
                FILE *maps = fopen("/proc/self/maps", "r");
                unsigned long start = 0, end = 0;
                while (fgets(line, sizeof line, maps))
                    if (strstr(line, own) && strstr(line, " r-xp ")) { sscanf(line, "%lx-%lx", &start, &end); break; }
                fclose(maps);
                char *copy = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                memcpy(copy, (void *)start, end - start);
                if (mprotect(copy, end - start, PROT_READ | PROT_EXEC)) return 2;
                if (mremap(copy, end - start, end - start, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED) return 3;
                puts("ready");
                fflush(stdout);
                for (int i = 0;; i = work(i)) usleep(1000);
            }
            """
        for options in [["-O1", "-g"], ["-O1", "-g", "-no-pie"]] {
            let program = try #require(try HardProgram.c(source, options))
            let target = try DrivenProcess(program.path)
            let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
            try #require(!maps.split(separator: "\n").contains { $0.contains(program.path) && $0.contains("r-xp") })
            let log = program.folder + "/trace"
            for _ in 0..<2 {
                let run = try Fixtures.run(HardProgram.fsessionPath, ["trace", "--limit", "3", "-o", log, "exe:work", "-p", "\(target.pid)"])
                #expect(run.status == 0, "\(run.errors)")
                #expect(try String(contentsOfFile: log, encoding: .utf8).contains("work(value="))
                #expect(target.isRunning)
            }
        }
    }
}
