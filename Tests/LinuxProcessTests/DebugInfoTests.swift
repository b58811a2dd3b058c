import Foundation
import LinuxProcess
import TestSupport
import Testing

@Suite("Prototypes from debug information")
struct DebugInfoTests {
    static let cSource = """
        #include <stdarg.h>
        #include <stddef.h>
        #include <stdint.h>
        #include <stdlib.h>
        #define KEEP __attribute__((noinline, used))
        struct point { int x, y; };
        typedef struct { double re, im; } complex_t;
        typedef struct tree { struct tree *left, *right; union { int i; float f; } value; } tree_t;
        enum color { red, green = 5, blue = -1 };
        typedef int (*compare_t)(const void *, const void *);
        typedef char *string_t;
        KEEP int plain(int a, unsigned long b) { return a + (int)b; }
        KEEP void nothing(void) { __asm__ volatile (""); }
        KEEP const char *text(const char *s, char *const t, volatile short *v) { return s; }
        KEEP void *pointers(void **a, struct point *b, const struct point *const *c, string_t d) { return a; }
        KEEP struct point byvalue(struct point p, complex_t c) { p.x += (int)c.re; return p; }
        KEEP enum color enumerated(enum color c, tree_t *t) { return c; }
        KEEP void callback(int (*f)(int, char *), compare_t g, void (*h[])(void)) { __asm__ volatile ("" :: "r"(f), "r"(g)); }
        KEEP int arrays(int a[10], int (*b)[4], char m[2][3]) { return a[0]; }
        KEEP long double reals(float f, double d, long double l) { return l + f + d; }
        KEEP __int128 wide(__int128 w, _Bool b) { return b ? w : 0; }
        KEEP int variadic(const char *format, ...) { va_list l; va_start(l, format); int r = va_arg(l, int); va_end(l); return r; }
        KEEP __attribute__((noreturn)) void leave(int status) { exit(status); }
        KEEP size_t sizes(size_t n, uint8_t *bytes, int64_t i) { return n; }
        static KEEP int hidden(int unused, int used) { return used * 2; }
        KEEP double *restrict_(double *restrict a, _Complex double z) { return a; }
        typedef int vec __attribute__((vector_size(16)));
        KEEP vec vectors(vec v) { return v + v; }
        int main(int argc, char **argv) { return hidden(argc, argc); }
        """

    static let cPrototypes = [
        "plain": "int plain(int a, unsigned long b)",
        "nothing": "void nothing()",
        "text": "const char * text(const char * s, char *const t, volatile short * v)",
        "pointers":
            "void * pointers(void ** a, struct point * b, const struct point *const * c, string_t d)",
        "byvalue": "struct point byvalue(struct point p, complex_t c)",
        "enumerated": "enum color enumerated(enum color c, tree_t * t)",
        "callback": "void callback(int (*)(int, char *) f, compare_t g, void (**)(void) h)",
        "arrays": "int arrays(int * a, int (*)[4] b, char (*)[3] m)",
        "reals": "long double reals(float f, double d, long double l)",
        "wide": "__int128 wide(__int128 w, _Bool b)",
        "variadic": "int variadic(const char * format, ...)",
        "leave": "noreturn void leave(int status)",
        "sizes": "size_t sizes(size_t n, uint8_t * bytes, int64_t i)",
        "hidden": "int hidden(int unused, int used)",
        "restrict_": "double * restrict_(double *restrict a, complex double z)",
        "vectors": "vec vectors(vec v)",
        "main": "int main(int argc, char ** argv)",
    ]

    @Test("C prototypes read as they were written", arguments: DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O0", "-O2"]))
    func c(compiler: DebugFixture.Compiler) throws {
        try DebugFixture.withFolder { folder in
            let program = try DebugFixture.build(Self.cSource, with: compiler, in: folder)
            let functions = try DebugFixture.functions(of: program)
            let info = try DebugInfo(path: program)
            let prototypes = info.prototypes(for: Set(functions.values))
            for (name, expected) in Self.cPrototypes {
                let address = try #require(functions[name])
                let prototype = try #require(prototypes[address], "\(name)")
                // The compilers spell these differently.
                let line = DebugFixture.line(prototype).replacing("long unsigned int", with: "unsigned long")
                    .replacing("_Complex double", with: "complex double").replacing("short int", with: "short")
                #expect(line == expected)
                #expect(prototype.convention == .standard)
            }
            #expect(prototypes.count == Self.cPrototypes.count)
        }
    }

    @Test("Kinds tell strings, functions, enumerators and members")
    func kinds() throws {
        try DebugFixture.withFolder { folder in
            let compiler = DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O1"])[0]
            let program = try DebugFixture.build(Self.cSource, with: compiler, in: folder)
            let functions = try DebugFixture.functions(of: program)
            let info = try DebugInfo(path: program)
            func prototype(_ name: String) throws -> FunctionPrototype {
                let address = try #require(functions[name])
                // A single address, so that only what it needs is read.
                return try #require(info.prototypes(for: [address])[address])
            }
            #expect(try prototype("text").returnType?.kind == .pointer(to: .character))
            #expect(try prototype("text").parameters.map(\.type.kind) == [.pointer(to: .character), .pointer(to: .character), .pointer(to: .other)])
            #expect(try prototype("pointers").parameters[3].type.kind == .pointer(to: .character))
            #expect(
                try prototype("callback").parameters.map(\.type.kind) == [.pointer(to: .function), .pointer(to: .function), .pointer(to: .other)])
            #expect(try prototype("plain").parameters.map(\.type.kind) == [.signed, .unsigned])
            #expect(try prototype("plain").parameters.map(\.type.byteCount) == [4, 8])
            #expect(try prototype("reals").parameters.map(\.type.kind) == [.float, .float, .longDouble])
            #expect(try prototype("wide").parameters.map(\.type.kind) == [.signed, .boolean])
            #expect(try prototype("wide").parameters[0].type.byteCount == 16)
            #expect(try prototype("sizes").parameters[1].type.kind == .pointer(to: .other))
            guard case .enumeration(let values) = try prototype("enumerated").parameters[0].type.kind else {
                Issue.record("not an enumeration")
                return
            }
            #expect(values.map(\.name) == ["red", "green", "blue"])
            #expect(values.map(\.value) == [0, 5, -1])
            guard case .structure(let fields, false) = try prototype("byvalue").parameters[0].type.kind else {
                Issue.record("not a structure")
                return
            }
            #expect(fields.map(\.name) == ["x", "y"])
            #expect(fields.map(\.bitOffset) == [0, 32])
        }
    }

    static let cPlusPlusSource = """
        #include <string>
        #include <vector>
        #define KEEP __attribute__((noinline, used))
        namespace geometry {
            enum class unit : unsigned char { metre, inch };
            struct point { int x, y; KEEP int sum(int n) const; static KEEP int origin(unit u); virtual KEEP ~point(); };
            int point::sum(int n) const { return x + y + n; }
            int point::origin(unit u) { return (int)u; }
            point::~point() { x = 0; }
            KEEP void move(point &p, const point &from, point &&old) { p.x = from.x + old.x; }
            namespace { KEEP int secret(int) { return 4; } }
        }
        struct base { int b; KEEP base(int n); };
        base::base(int n) : b(n) {}
        struct derived : virtual base { KEEP derived(long n); };
        derived::derived(long n) : base((int)n) {}
        struct owner { int *p; KEEP owner(const owner &o); KEEP owner(); KEEP ~owner(); };
        owner::owner(const owner &o) : p(o.p) {}
        owner::owner() : p(nullptr) {}
        owner::~owner() { p = nullptr; }
        KEEP owner give(owner o) { return o; }
        template <typename T> KEEP T twice(T v) { return v + v; }
        template double twice<double>(double);
        template <typename... A> KEEP int pack(A... a) { return (int)sizeof...(a); }
        template int pack<int, char>(int, char);
        KEEP int members(int base::*m, int (geometry::point::*f)(int) const) { return m != nullptr; }
        KEEP bool null(std::nullptr_t n, char16_t c) { return c; }
        int main(int argc, char **argv) { return geometry::secret(argc) + twice(1); }
        """

    static let cPlusPlusPrototypes = [
        "geometry::point::sum(int) const": "int sum([const geometry::point * this], int n)",
        "geometry::point::origin(geometry::unit)": "int origin(geometry::unit u)",
        "geometry::move(geometry::point&, geometry::point const&, geometry::point&&)":
            "void move(geometry::point & p, const geometry::point & from, geometry::point && old)",
        "geometry::(anonymous namespace)::secret(int)": "int secret(int)",
        "base::base(int)": "void base([base * this], int n)",
        "_ZN7derivedC1El": "void derived([derived * this], long n)",
        // The constructor of the base part takes the table of virtual bases too.
        "_ZN7derivedC2El": "void derived([derived * this], [void ** vtt], long n)",
        "owner::owner(owner const&)": "void owner([owner * this], const owner & o)",
        "owner::~owner()": "void ~owner([owner * this])",
        "give(owner)": "owner give(owner o)",
        "double twice<double>(double)": "double twice<double>(double v)",
        "int pack<int, char>(int, char)": "int pack<int, char>(int, char)",
        "members(int base::*, int (geometry::point::*)(int) const)":
            "int members(int base::* m, int (geometry::point::*)(int) f)",
        "null(decltype(nullptr), char16_t)": "bool null(std::nullptr_t n, char16_t c)",
    ]

    @Test(
        "C++ prototypes know members, scopes, references and templates",
        arguments: DebugFixture.compilers(cPlusPlus: true, optimizations: ["-O0", "-O2"]))
    func cPlusPlus(compiler: DebugFixture.Compiler) throws {
        try DebugFixture.withFolder { folder in
            let program = try DebugFixture.build(Self.cPlusPlusSource, with: compiler, in: folder)
            let functions = try DebugFixture.functions(of: program, demangled: true)
                .merging(DebugFixture.functions(of: program)) { first, _ in first }
            let info = try DebugInfo(path: program)
            let prototypes = info.prototypes(for: Set(functions.values))
            for (name, expected) in Self.cPlusPlusPrototypes {
                let address = try #require(functions[name] ?? functions[name.replacing("decltype(nullptr)", with: "std::nullptr_t")], "\(name)")
                let prototype = try #require(prototypes[address], "\(name)")
                let line = DebugFixture.line(prototype).replacing("long int", with: "long")
                    .replacing("decltype(nullptr)", with: "std::nullptr_t").replacing("*const this", with: "* this")
                    .replacing("const void **const __vtt_parm", with: "void ** vtt")
                    .replacing("int a, char a", with: "int, char")
                #expect(line == expected)
            }
        }
    }

    @Test("A separate debug file gives the same prototypes, compressed or not", arguments: ["none", "zlib"])
    func separateFile(compression: String) throws {
        try DebugFixture.withFolder { folder in
            let compiler = DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O2"])[0]
            let program = try DebugFixture.build(Self.cSource, with: compiler, in: folder)
            let debug = folder + "/program.debug"
            try run("objcopy", "--only-keep-debug", "--compress-debug-sections=\(compression)", program, debug)
            let functions = Set(try DebugFixture.functions(of: program).values)
            let whole = try DebugInfo(path: program).prototypes(for: functions)
            #expect(!whole.isEmpty)
            #expect(try DebugInfo(path: debug).prototypes(for: functions) == whole)
            try run("strip", "--strip-debug", program)
            #expect(throws: DebugInfoError.noDebugInformation(path: program)) { try DebugInfo(path: program) }
        }
    }

    @Test("Types in units of their own are found")
    func typeUnits() throws {
        for compiler in DebugFixture.compilers(cPlusPlus: true, optimizations: ["-O1"]) {
            try DebugFixture.withFolder { folder in
                let program = try DebugFixture.build(
                    Self.cPlusPlusSource, with: compiler, options: ["-fdebug-types-section"], in: folder)
                let functions = try DebugFixture.functions(of: program, demangled: true)
                let address = try #require(functions["give(owner)"])
                let prototype = try #require(try DebugInfo(path: program).prototypes(for: [address])[address])
                #expect(prototype.parameters[0].type.byteCount == 8, "\(compiler.testDescription)")
            }
        }
    }

    @Test("Debug information for line numbers only gives no prototypes, but lines")
    func lineNumbersOnly() throws {
        for compiler in DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O1"]) {
            try DebugFixture.withFolder { folder in
                let program = try DebugFixture.build(Self.cSource, with: compiler, options: ["-g1"], in: folder)
                let functions = try DebugFixture.functions(of: program)
                let info = try DebugInfo(path: program)
                #expect(info.prototypes(for: Set(functions.values)).isEmpty, "\(compiler.testDescription)")
                #expect(info.sourceLocation(of: try #require(functions["main"])) != nil)
            }
        }
    }

    @Test("Parameters that the optimizer moved are where the code expects them")
    func movedParameters() throws {
        let source = """
            struct pair { long a, b; };
            static __attribute__((noinline)) long moved(long unused, long used) { __asm__ volatile (""); return used * 2; }
            static __attribute__((noinline)) long kept(long first, long second) { __asm__ volatile (""); return first * 3 - second; }
            int main(int argc, char **argv) { return moved(argc, argc + 1) + moved(3, argc) + kept(argc, 4) + kept(5, argc); }
            """
        for compiler in DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O2"]) {
            try DebugFixture.withFolder { folder in
                let program = try DebugFixture.build(source, with: compiler, in: folder)
                let functions = try DebugFixture.functions(of: program)
                let prototypes = try DebugInfo(path: program).prototypes(for: Set(functions.values))
                let moved = try #require(functions.first { $0.key.hasPrefix("moved") })
                let code = try run("objdump", "-d", "--disassemble=\(moved.key)", program)
                let isMoved = !code.contains("%rsi") && !code.contains("%esi")
                let layout = SystemVABI.classify(try #require(prototypes[moved.value]))
                #expect(layout.arguments.count == 2)
                #expect(layout.arguments[1]?.locations == [.integer(isMoved ? 0 : 1)], "\(compiler.testDescription)")
                #expect((layout.stackWords == nil) == isMoved)
                let kept = try #require(functions.first { $0.key.hasPrefix("kept") })
                let keptLayout = SystemVABI.classify(try #require(prototypes[kept.value]))
                #expect(keptLayout.arguments.map { $0?.locations } == [[.integer(0)], [.integer(1)]])
                #expect(keptLayout.stackWords == 0)
            }
        }
    }

    @Test("A value of unknown contents is placed where the debug information has it")
    func unknownContents() {
        let blank = ValueType(name: "blank", byteCount: 8, kind: .union(fields: [], byReference: false))
        let long = FunctionPrototype.Parameter(name: nil, type: ValueType(name: "long", byteCount: 8, kind: .signed))
        func layout(_ place: CallLayout.Argument?) -> CallLayout {
            SystemVABI.classify(
                FunctionPrototype(
                    name: "f", parameters: [long, .init(name: nil, type: blank, entryPlace: place), long], returnType: nil))
        }
        #expect(layout(nil).arguments == [.init(locations: [.integer(0)]), nil, nil])
        #expect(layout(nil).stackWords == nil)
        let known = layout(.init(locations: [.integer(1)]))
        #expect(known.arguments.map { $0?.locations } == [[.integer(0)], [.integer(1)], [.integer(2)]])
        #expect(known.stackWords == 0)
    }

    @Test("Swift functions have names, types and places")
    func swift() throws {
        let source = """
            @inline(never) func add(_ a: Int, _ b: UInt8, d: Double) -> Int { a + Int(b) + Int(d) }
            @inline(never) func text(_ s: String, _ n: Int32) -> String { s + "\\(n)" }
            print(add(CommandLine.arguments.count, 2, d: 1), text("a", 4))
            """
        try DebugFixture.withFolder { folder in
            let file = folder + "/main.swift"
            try source.write(toFile: file, atomically: false, encoding: .utf8)
            let program = folder + "/program"
            try run("swiftc", "-g", "-O", "-module-name", "example", "-o", program, file)
            let functions = try DebugFixture.functions(of: program)
            let prototypes = try DebugInfo(path: program).prototypes(for: Set(functions.values))
            func prototype(_ name: String) throws -> FunctionPrototype {
                try #require(prototypes.values.first { $0.name == name })
            }
            let add = try prototype("add")
            #expect(add.convention == .swift)
            #expect(add.returnType?.name == "Swift.Int")
            #expect(add.parameters.map(\.type.kind) == [.signed, .unsigned, .float])
            let layout = SystemVABI.classify(add)
            #expect(layout.arguments.map { $0?.locations } == [[.integer(0)], [.integer(1)], [.vector(0, lane: 0)]])
            #expect(layout.returnValue == .registers([.integer(0)]))
            #expect(layout.stackWords == nil)
            let text = SystemVABI.classify(try prototype("text"))
            #expect(text.arguments.map { $0?.locations } == [[.integer(0), .integer(1)], [.integer(2)]])
            #expect(text.returnValue == .unknown)
        }
    }

    @Test("Split units give nothing, and do no harm")
    func splitUnits() throws {
        try DebugFixture.withFolder { folder in
            let compiler = DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O1"])[0]
            let program = try DebugFixture.build(Self.cSource, with: compiler, options: ["-gsplit-dwarf"], in: folder)
            let functions = try DebugFixture.functions(of: program)
            let info = try DebugInfo(path: program)
            #expect(info.prototypes(for: Set(functions.values)).isEmpty)
        }
    }

    @Test("Source locations name the file and the line", arguments: DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O0"]))
    func sourceLocations(compiler: DebugFixture.Compiler) throws {
        try DebugFixture.withFolder { folder in
            let program = try DebugFixture.build(Self.cSource, with: compiler, in: folder)
            let functions = try DebugFixture.functions(of: program)
            let info = try DebugInfo(path: program)
            let lines = Self.cSource.split(separator: "\n", omittingEmptySubsequences: false)
            for name in ["plain", "variadic", "main"] {
                let address = try #require(functions[name])
                let location = try #require(info.sourceLocation(of: address))
                #expect(location.file == folder + "/source.c")
                #expect(lines[location.line - 1].contains(" \(name)("))
            }
            #expect(info.sourceLocation(of: 3) == nil)
            #expect(info.sourceLocation(of: .max) == nil)
        }
    }

    @Test("What cannot be read is refused with the reason")
    func refusals() throws {
        #expect(throws: DebugInfoError.cannotOpen(path: "/nonexistent", errno: ENOENT)) { try DebugInfo(path: "/nonexistent") }
        #expect(throws: DebugInfoError.notELF(path: "/")) { try DebugInfo(path: "/") }
        #expect(throws: DebugInfoError.notELF(path: "/etc/passwd")) { try DebugInfo(path: "/etc/passwd") }
        try DebugFixture.withFolder { folder in
            #expect(mkfifo(folder + "/fifo", 0o600) == 0)
            #expect(throws: DebugInfoError.notELF(path: folder + "/fifo")) { try DebugInfo(path: folder + "/fifo") }
            let compiler = DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O0"])[0]
            let object = try DebugFixture.build(Self.cSource, with: compiler, options: ["-c"], in: folder)
            #expect(throws: DebugInfoError.notLinked(path: object)) { try DebugInfo(path: object) }
        }
    }
}
