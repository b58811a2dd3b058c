import BPF
import Foundation
import Testing

@Suite struct ObjectErrorTests {
    private static let program = "SEC(\"fentry/f\") int p(void *c) { return 0; }\n"

    @Test(
        "what cannot run is refused in one line that says what and why",
        arguments: [
            (
                "SEC(\"xdp\") int p(void *c) { return 0; }",
                "x.o: unknown section \"xdp\"; a program's section begins with fsession, fentry, fexit, fmod_ret, kprobe, uprobe, tracepoint, raw_tp, tp_btf, lsm, iter or perf_event"
            ),
            (
                "SEC(\"fentry/libz:\") int p(void *c) { return 0; }",
                "x.o: section \"fentry/libz:\" names no function; fentry/MODULE:FUNCTION does"
            ),
            (
                "int p(void *c) { return 0; }",
                "x.o: it has no program; a program is a function with SEC(\"fsession/FUNCTION\") before it"
            ),
            (
                "SEC(\"fentry/f\") static int p(void *c) { return 0; }",
                "x.o: p in section fentry/f is static; a program must not be"
            ),
            (
                "SEC(\"a\\nb\\tc\") int p(void *c) { return 0; }",
                "x.o: unknown section \"a\\nb\\tc\"; a program's section begins with fsession, fentry, fexit, fmod_ret, kprobe, uprobe, tracepoint, raw_tp, tp_btf, lsm, iter or perf_event"
            ),
            (
                "struct { __uint(type, 99); __uint(max_entries, 1); } m SEC(\".maps\");\n" + program,
                "x.o: map m has the unknown type 99"
            ),
            (
                "struct { __uint(type, 1); __uint(colour, 1); } m SEC(\".maps\");\n" + program,
                "x.o: map m: unknown attribute \"colour\""
            ),
            (
                "struct { __uint(type, 1); __uint(key_size, 8); __type(key, int); } m SEC(\".maps\");\n" + program,
                "x.o is damaged: map m: key_size is 8, but its key has 4 bytes"
            ),
            (
                "struct { __uint(type, 1); __uint(pinning, 2); } m SEC(\".maps\");\n" + program,
                "x.o is damaged: map m: pinning is 2; there are LIBBPF_PIN_NONE and LIBBPF_PIN_BY_NAME"
            ),
            (
                "struct inner { __uint(type, 2); }; struct { __uint(type, 2); __array(values, struct inner); } m SEC(\".maps\");\n"
                    + program, "x.o is damaged: map m: it holds maps but is no map of maps"
            ),
            (
                "struct { __uint(type, 12); __uint(max_entries, 1); } m SEC(\".maps\");\n" + program,
                "x.o is damaged: map m: its maps are not described by __array(values, struct …)"
            ),
            (
                "struct { int type; } m SEC(\"maps\") = { 1 };\n" + program,
                "x.o: maps in the old section \"maps\"; define them for SEC(\".maps\") with __uint and __type"
            ),
            (
                "extern int gone; SEC(\"fentry/f\") int p(void *c) { return gone; }",
                "x.o: extern gone: it is not defined, and not declared with __ksym or __kconfig"
            ),
            (
                "int other SEC(\"mine\") = 1; SEC(\"fentry/f\") int p(void *c) { return other++; }",
                "x.o: p uses other in section mine, which holds no map, variable or function for it"
            ),
            (
                "int a; int *b = &a;\n" + program,
                "x.o: a variable in .data is initialised with the address of a; assign it in the program instead"
            ),
            (
                "char big[1 << 30];\n" + program,
                "x.o: section .bss makes 1073741824 bytes of variables; at most 33554432 can be had"
            ),
            (
                "SEC(\"fentry/g\") __attribute__((noinline)) int q(void *c) { return *(volatile int *)c; }\n"
                    + "SEC(\"fentry/f\") int p(void *c) { return q(c); }",
                "x.o: p calls q, which is a program; use bpf_tail_call"
            ),
        ])
    func refusals(source: String, message: String) throws {
        #expect(try complaint(compileBPF(source)) == message)
    }

    @Test("maps and externs need the compiler's type information, and the message says how to get it")
    func withoutTypes() throws {
        let map = "struct { __uint(type, 2); } m SEC(\".maps\"); " + Self.program
        #expect(try complaint(compileBPF(map, ["-O2"])) == "x.o: it has maps but no type information; compile it with -g")
        let extern = "extern int e __ksym; SEC(\"fentry/f\") int p(void *c) { return e; }"
        #expect(
            try complaint(compileBPF(extern, ["-O2"])) == "x.o: extern e: its type is unknown; compile it with -g")
    }

    @Test("a program for this machine, and a file of another sort, are no BPF objects")
    func notBPF() throws {
        let native = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "/usr/bin/env")))
        #expect(complaint(native).hasPrefix("x.o is not a BPF object (machine "))
        #expect(complaint(Array("hello".utf8)) == "x.o is not an ELF file; an object is made with clang -target bpf -O2 -g -c")
        let good = try compileBPF(Self.program)
        #expect(complaint(Array(good[..<200])).hasPrefix("x.o is truncated: the section header table ends at"))
    }

    @Test("many programs that each take in a large subprogram do not fill the memory")
    func tooMuchCode() throws {
        let programs = (0..<800).map { "SEC(\"fentry/f\") int p\($0)(void *c) { return large(c) + \($0); }\n" }
        let source = """
            static __attribute__((noinline)) int large(void *c) {
                asm volatile(".rept 3000\\n r0 = 0\\n .endr" ::: "r0");
                return *(volatile int *)c;
            }
            """
        #expect(try Object(bytes: compileBPF(source + "\n" + programs.prefix(500).joined())).programs.count == 500)
        let message = try complaint(compileBPF(source + "\n" + programs.joined()))
        #expect(message == "x.o: its programs are too large: over 2,000,000 instructions with what they call")
    }

    @Test("sections that overlap, which no compiler makes, are refused before they are read again and again")
    func overlaps() throws {
        var bytes = try compileBPF(Self.program)
        let table = bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 40, as: UInt64.self)) }
        func set(_ section: Int, _ field: Int, _ value: Int) {
            for byte in 0..<8 { bytes[table + section * 64 + field + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        for section in 2..<8 {
            set(section, 24, 0)
            set(section, 32, table)
        }
        #expect(complaint(bytes) == "x.o is damaged: its sections are larger than the file")
        set(2, 32, bytes.count + 1)
        #expect(complaint(bytes).hasPrefix("x.o is truncated: section 2 ("))
    }
}
