import Foundation
import LinuxProcess
import TestSupport
import Testing

/// Compares the layouts with what compiled callers do: each call goes to a spy that writes down all registers
/// and stack words, and every byte of every argument has to be at its place.
@Suite("System V argument places")
struct DebugConventionTests {
    // MARK: The types and functions that are tried

    enum Returned: String {
        case nothing, integer, integerPadding, twoIntegers, vector, twoVectors, integerVector, vectorInteger, vector128, vector256
        case x87, twoX87, memory

        var spy: String {
            switch self {
            case .memory: "spy_memory"
            case .x87: "spy_x87"
            case .twoX87: "spy_two_x87"
            default: "spy"
            }
        }
        var layout: CallLayout.Return {
            switch self {
            case .nothing: .none
            case .integer: .registers([.integer(0)])
            case .integerPadding: .registers([.integer(0), .padding])
            case .twoIntegers: .registers([.integer(0), .integer(1)])
            case .vector: .registers([.vector(0, lane: 0)])
            case .twoVectors: .registers([.vector(0, lane: 0), .vector(1, lane: 0)])
            case .integerVector: .registers([.integer(0), .vector(0, lane: 0)])
            case .vectorInteger: .registers([.vector(0, lane: 0), .integer(0)])
            case .vector128: .registers([.vector(0, lane: 0), .vector(0, lane: 1)])
            case .vector256: .registers((0..<4).map { .vector(0, lane: $0) })
            case .x87: .registers([.extended(0), .padding])
            case .twoX87: .registers([.extended(0), .padding, .extended(1), .padding])
            case .memory: .memory
            }
        }
    }

    struct CType {
        var name: String
        var declaration: String
        var returned: Returned
        var isCPlusPlus = false
    }

    /// Whether this machine passes 256-bit vectors in registers.
    static let hasAVX = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.contains(" avx ") ?? false

    static let types: [CType] =
        [
            CType(name: "char", declaration: "", returned: .integer),
            CType(name: "short", declaration: "", returned: .integer),
            CType(name: "unsigned", declaration: "", returned: .integer),
            CType(name: "long", declaration: "", returned: .integer),
            CType(name: "boolean", declaration: "typedef _Bool boolean;", returned: .integer),
            CType(name: "pointer", declaration: "typedef void *pointer;", returned: .integer),
            CType(name: "callback", declaration: "typedef void (*callback)(int);", returned: .integer),
            CType(name: "enumeration", declaration: "typedef enum { one, two } enumeration;", returned: .integer),
            CType(name: "wide", declaration: "typedef __int128 wide;", returned: .twoIntegers),
            CType(name: "float", declaration: "", returned: .vector),
            CType(name: "double", declaration: "", returned: .vector),
            CType(name: "extended", declaration: "typedef long double extended;", returned: .x87),
            CType(name: "quadruple", declaration: "typedef __float128 quadruple;", returned: .vector128),
            CType(name: "cfloat", declaration: "typedef _Complex float cfloat;", returned: .vector),
            CType(name: "cdouble", declaration: "typedef _Complex double cdouble;", returned: .twoVectors),
            CType(name: "cextended", declaration: "typedef _Complex long double cextended;", returned: .twoX87),
            CType(name: "v64", declaration: "typedef float v64 __attribute__((vector_size(8)));", returned: .vector),
            CType(name: "v128", declaration: "typedef int v128 __attribute__((vector_size(16)));", returned: .vector128),
        ]
        + (hasAVX
            ? [
                CType(name: "v256", declaration: "typedef int v256 __attribute__((vector_size(32)));", returned: .vector256),
                CType(name: "s_v256", declaration: "typedef struct { v256 a; } s_v256;", returned: .vector256),
                CType(name: "s_v256_c", declaration: "typedef struct { v256 a; char b; } s_v256_c;", returned: .memory),
            ] : []) + [
            CType(name: "s_c", declaration: "typedef struct { char a; } s_c;", returned: .integer),
            CType(name: "s_c3", declaration: "typedef struct { char a[3]; } s_c3;", returned: .integer),
            CType(name: "s_ii", declaration: "typedef struct { int a, b; } s_ii;", returned: .integer),
            CType(name: "s_lc", declaration: "typedef struct { long a; char b; } s_lc;", returned: .twoIntegers),
            CType(name: "s_ll", declaration: "typedef struct { long a, b; } s_ll;", returned: .twoIntegers),
            CType(name: "s_lll", declaration: "typedef struct { long a, b, c; } s_lll;", returned: .memory),
            CType(name: "s_c17", declaration: "typedef struct { char a[17]; } s_c17;", returned: .memory),
            CType(name: "s_c80", declaration: "typedef struct { char a[80]; } s_c80;", returned: .memory),
            CType(name: "s_f", declaration: "typedef struct { float a; } s_f;", returned: .vector),
            CType(name: "s_ff", declaration: "typedef struct { float a, b; } s_ff;", returned: .vector),
            CType(name: "s_fff", declaration: "typedef struct { float a[3]; } s_fff;", returned: .twoVectors),
            CType(name: "s_dd", declaration: "typedef struct { double a, b; } s_dd;", returned: .twoVectors),
            CType(name: "s_di", declaration: "typedef struct { double a; int b; } s_di;", returned: .vectorInteger),
            CType(name: "s_id", declaration: "typedef struct { int a; double b; } s_id;", returned: .integerVector),
            CType(name: "s_if_d", declaration: "typedef struct { int a; float b; double c; } s_if_d;", returned: .integerVector),
            CType(name: "s_x", declaration: "typedef struct { long double a; } s_x;", returned: .x87),
            CType(name: "s_xx", declaration: "typedef struct { long double a, b; } s_xx;", returned: .memory),
            CType(name: "s_x5", declaration: "typedef struct { long double a; char b[64]; } s_x5;", returned: .memory),
            CType(name: "s_w", declaration: "typedef struct { __int128 a; } s_w;", returned: .twoIntegers),
            CType(name: "s_v", declaration: "typedef struct { v128 a; } s_v;", returned: .vector128),
            CType(name: "s_nested", declaration: "typedef struct { s_ff a; struct { s_c b; short c; } d; } s_nested;", returned: .vectorInteger),
            CType(
                name: "s_bits", declaration: "typedef struct { unsigned a : 3, b : 20; long c : 40; unsigned d : 9; } s_bits;", returned: .twoIntegers
            ),
            CType(name: "s_bits_d", declaration: "typedef struct { int a : 5; unsigned b : 11; double c; } s_bits_d;", returned: .integerVector),
            CType(name: "s_packed", declaration: "typedef struct __attribute__((packed)) { char a; int b; } s_packed;", returned: .memory),
            CType(name: "s_packed2", declaration: "typedef struct __attribute__((packed)) { int a; char b; } s_packed2;", returned: .integer),
            CType(name: "s_aligned", declaration: "typedef struct { int a __attribute__((aligned(16))); } s_aligned;", returned: .integerPadding),
            CType(
                name: "s_aligned_l3", declaration: "typedef struct __attribute__((aligned(16))) { long a, b, c; } s_aligned_l3;", returned: .memory),
            CType(name: "u_if", declaration: "typedef union { int a; float b; } u_if;", returned: .integer),
            CType(name: "u_fd", declaration: "typedef union { float a; double b; } u_fd;", returned: .vector),
            CType(name: "u_dl2", declaration: "typedef union { double a; struct { double x; long y; } b; } u_dl2;", returned: .vectorInteger),
            CType(name: "u_xi", declaration: "typedef union { long double a; int b; } u_xi;", returned: .memory),
            CType(name: "s_cd", declaration: "typedef struct { _Complex double a; } s_cd;", returned: .twoVectors),
            CType(name: "s_cf_i", declaration: "typedef struct { _Complex float a; int b; } s_cf_i;", returned: .vectorInteger),
            CType(name: "s_matrix", declaration: "typedef struct { short a[2][3]; } s_matrix;", returned: .twoIntegers),
        ]

    static let cPlusPlusTypes: [CType] = [
        CType(name: "s_empty", declaration: "struct s_empty {};", returned: .nothing, isCPlusPlus: true),
        CType(
            name: "s_derived", declaration: "struct s_base { int a; static int z; }; struct s_derived : s_base { double b; };",
            returned: .integerVector, isCPlusPlus: true),
        CType(name: "s_ebase", declaration: "struct s_ebase : s_empty { long a; };", returned: .integer, isCPlusPlus: true),
        CType(
            name: "s_methods", declaration: "struct s_methods { int a; int get() { return a; } s_methods &operator=(const s_methods &) = default; };",
            returned: .integer, isCPlusPlus: true),
        CType(name: "e_char", declaration: "enum class e_char : char { x };", returned: .integer, isCPlusPlus: true),
        CType(name: "nullpointer", declaration: "typedef decltype(nullptr) nullpointer;", returned: .integer, isCPlusPlus: true),
        CType(name: "m_data", declaration: "typedef int s_base::*m_data;", returned: .integer, isCPlusPlus: true),
        CType(name: "m_function", declaration: "typedef void (s_base::*m_function)(int);", returned: .twoIntegers, isCPlusPlus: true),
        CType(name: "reference", declaration: "typedef s_base &reference;", returned: .integer, isCPlusPlus: true),
        CType(
            name: "n_copy", declaration: "struct n_copy { int a; n_copy() = default; n_copy(const n_copy &o) : a(o.a) { made(this); } };",
            returned: .memory, isCPlusPlus: true),
        CType(
            name: "n_move",
            declaration:
                "struct n_move { int a; n_move() = default; n_move(n_move &&o) : a(o.a) { made(this); } n_move(const n_move &o) : a(o.a) { made(this); } };",
            returned: .memory, isCPlusPlus: true),
        CType(
            name: "n_destroyed",
            declaration:
                "struct n_destroyed { long a; n_destroyed() = default; n_destroyed(const n_destroyed &o) : a(o.a) { made(this); } ~n_destroyed() { a = 0; } };",
            returned: .memory, isCPlusPlus: true),
        CType(name: "n_member", declaration: "struct n_member { n_copy a; };", returned: .memory, isCPlusPlus: true),
    ]

    struct Function {
        var name: String
        var result: CType?
        var parameters: [CType]
        var isVariadic = false
    }

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }

    static func functions(isCPlusPlus: Bool) -> [Function] {
        let all = types + (isCPlusPlus ? cPlusPlusTypes : [])
        func named(_ list: String) -> [CType] {
            list.split(separator: " ").map { name in all.first { $0.name == name }! }
        }
        var result: [Function] = []
        for type in all {
            // Alone; behind nearly used up registers, then something small that may still find one.
            result.append(Function(name: "alone_\(type.name)", result: type, parameters: [type]))
            result.append(
                Function(
                    name: "five_\(type.name)", result: nil,
                    parameters: named("long long long long long double double double double double double double")
                        + [type] + named("unsigned double") + [type]))
        }
        result.append(
            Function(name: "twenty", result: named("long")[0], parameters: named(Array(repeating: "unsigned", count: 20).joined(separator: " "))))
        result.append(
            Function(
                name: "alignments", result: nil,
                parameters: named("long long long long long long char wide char extended char s_aligned_l3 char s_lll char")))
        result.append(Function(name: "variadic", result: named("unsigned")[0], parameters: named("pointer double"), isVariadic: true))
        // Clang does not count a null pointer's register when it looks whether a structure fits into the rest.
        let mixed = all.filter { $0.name != "nullpointer" }
        var generator = Generator(state: isCPlusPlus ? 7 : 3)
        for index in 0..<120 {
            result.append(
                Function(
                    name: "random_\(index)", result: mixed.randomElement(using: &generator),
                    parameters: (0..<Int.random(in: 1...12, using: &generator)).map { _ in
                        mixed.randomElement(using: &generator)!
                    }))
        }
        return result
    }

    // MARK: The program that calls them

    static func source(_ functions: [Function], isCPlusPlus: Bool) -> String {
        let all = types + (isCPlusPlus ? cPlusPlusTypes : [])
        var text = prologue
        text += all.map(\.declaration).joined(separator: "\n") + "\n"
        if isCPlusPlus { text += "int s_base::z;\n" }
        for function in functions {
            let parameters = function.parameters.enumerated().map { "\($1.name) a\($0)" } + (function.isVariadic ? ["..."] : [])
            text +=
                "__attribute__((noinline, used)) \(function.result?.name ?? "void") \(function.name)(\(parameters.joined(separator: ", "))) { __builtin_trap(); }\n"
        }
        for function in functions {
            text += "void call_\(function.name)(void) {\n"
            for (index, type) in function.parameters.enumerated() {
                if type.name == "reference" {
                    text += "  static s_base r\(index); reference a\(index) = r\(index); void *p\(index) = &r\(index);\n"
                } else {
                    text += "  \(type.name) a\(index); fill(&a\(index), sizeof a\(index), \(type.name == "boolean" ? 1 : 0));\n"
                    // A null pointer has no bytes of its own.
                    if type.name == "nullpointer" { text += "  memset(&a\(index), 0, sizeof a\(index));\n" }
                }
            }
            let arguments = function.parameters.indices.map { "a\($0)" }.joined(separator: ", ")
            let spy = (function.result?.returned ?? .nothing).spy
            let call = "((__typeof__(&\(function.name)))\(spy))(\(arguments))"
            text += "  begin();\n"
            if let result = function.result, result.returned != .memory, result.name != "reference" {
                text += "  \(result.name) r = \(call); report(\"\(function.name)\"); show(\"result\", &r, sizeof r);\n"
            } else if let result = function.result, result.name == "reference" {
                text += "  void *r = &\(call); report(\"\(function.name)\"); show(\"result\", &r, sizeof r);\n"
            } else {
                text += "  \(call); report(\"\(function.name)\");\n"
            }
            for (index, type) in function.parameters.enumerated() {
                let object = type.name == "reference" ? "p\(index)" : "a\(index)"
                text += "  show(\"argument\", &\(object), sizeof \(object));\n"
            }
            text += "}\n"
        }
        text += "int main(void) {\n" + functions.map { "  call_\($0.name)();\n" }.joined() + "  return 0;\n}\n"
        return text
    }

    static let prologue = #"""
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #ifdef __cplusplus
        #define C extern "C"
        #define _Bool bool
        #else
        #define C extern
        #endif
        C void spy(void);
        C void spy_memory(void);
        C void spy_x87(void);
        C void spy_two_x87(void);
        #ifdef __cplusplus
        extern "C" {
        #endif
        unsigned long spied[6 + 32 + 128];
        unsigned long reply[2 + 8 + 4];
        #ifdef __cplusplus
        }
        #endif
        #ifdef __AVX__
        #define SAVE(number, offset) "  vmovups %ymm" number ", " offset "+spied(%rip)\n"
        #define LOAD(offset, number) "  vmovups " offset "+reply(%rip), %ymm" number "\n"
        #else
        #define SAVE(number, offset) "  movups %xmm" number ", " offset "+spied(%rip)\n"
        #define LOAD(offset, number) "  movups " offset "+reply(%rip), %xmm" number "\n"
        #endif
        __asm__(
            ".text\n"
            "spy_common:\n"
            "  movq %rdi, 0+spied(%rip)\n  movq %rsi, 8+spied(%rip)\n  movq %rdx, 16+spied(%rip)\n"
            "  movq %rcx, 24+spied(%rip)\n  movq %r8, 32+spied(%rip)\n  movq %r9, 40+spied(%rip)\n"
            SAVE("0", "48") SAVE("1", "80") SAVE("2", "112") SAVE("3", "144")
            SAVE("4", "176") SAVE("5", "208") SAVE("6", "240") SAVE("7", "272")
            "  leaq 16(%rsp), %rsi\n  leaq 304+spied(%rip), %rdi\n  movl $128, %ecx\n  cld\n  rep movsq\n"
            "  movq 0+reply(%rip), %rax\n  movq 8+reply(%rip), %rdx\n"
            LOAD("16", "0") LOAD("48", "1") "  ret\n"
            ".globl spy\n.type spy, @function\nspy:\n  call spy_common\n  ret\n"
            ".globl spy_memory\n.type spy_memory, @function\nspy_memory:\n  call spy_common\n"
            "  movq 0+spied(%rip), %rax\n  ret\n"
            ".globl spy_x87\n.type spy_x87, @function\nspy_x87:\n  call spy_common\n  fldt 80+reply(%rip)\n  ret\n"
            ".globl spy_two_x87\n.type spy_two_x87, @function\nspy_two_x87:\n  call spy_common\n"
            "  fldt 96+reply(%rip)\n  fldt 80+reply(%rip)\n  ret\n");
        static unsigned long made_at[256];
        static int made_count;
        static void made(void *object) { if (made_count < 256) made_at[made_count++] = (unsigned long)object; }
        static void fill(void *at, unsigned long size, int boolean) {
            unsigned char *bytes = (unsigned char *)at;
            for (unsigned long i = 0; i < size; i++) bytes[i] = boolean ? rand() & 1 : 1 + rand() % 255;
        }
        static void begin(void) {
            fill(reply, sizeof reply, 0);
            reply[0] |= 1;
            long double values[2] = { (long double)(rand() + 0.5), (long double)(rand() + 0.25) };
            memcpy(reply + 10, values, sizeof values);
            made_count = 0;
        }
        static void words(const char *label, const unsigned long *at, int count) {
            printf("%s", label);
            for (int i = 0; i < count; i++) printf(" %lx", at[i]);
            printf("\n");
        }
        static void report(const char *name) {
            printf("function %s\n", name);
            words("registers", spied, 6);
            words("vectors", spied + 6, 32);
            words("stack", spied + 38, 128);
            words("reply", reply, 14);
            words("made", made_at, made_count);
        }
        static void show(const char *label, void *at, unsigned long size) {
            printf("%s", label);
            for (unsigned long i = 0; i < size; i++) printf(" %02x", ((unsigned char *)at)[i]);
            printf("\n");
        }

        """#

    struct Report {
        var registers: [UInt64] = []
        var vectors: [UInt64] = []
        var stack: [UInt64] = []
        var reply: [UInt64] = []
        var made: [UInt64] = []
        var result: [UInt8] = []
        var arguments: [[UInt8]] = []

        func word(_ location: CallLayout.Location) -> UInt64? {
            switch location {
            case .integer(let index): registers[index]
            case .vector(let index, let lane): vectors[index * 4 + lane]
            case .stack(let index): index < stack.count ? stack[index] : nil
            case .padding: nil
            }
        }
    }

    static func reports(_ output: String) -> [String: Report] {
        var result: [String: Report] = [:]
        var name = ""
        for line in output.split(separator: "\n") {
            let parts = line.split(separator: " ").map(String.init)
            let numbers = parts.dropFirst().compactMap { UInt64($0, radix: 16) }
            switch parts[0] {
            case "function":
                name = parts[1]
                result[name] = Report()
            case "registers": result[name]?.registers = numbers
            case "vectors": result[name]?.vectors = numbers
            case "stack": result[name]?.stack = numbers
            case "reply": result[name]?.reply = numbers
            case "made": result[name]?.made = numbers
            case "result": result[name]?.result = numbers.map { UInt8($0) }
            case "argument": result[name]?.arguments.append(numbers.map { UInt8($0) })
            default: break
            }
        }
        return result
    }

    /// Which bits of a value mean something; the others need not be passed.
    static func mask(_ type: ValueType) -> [UInt8] {
        var mask = [UInt8](repeating: 0, count: type.byteCount)
        func mark(_ type: ValueType, _ bit: Int) {
            switch type.kind {
            case .structure(let fields, _), .union(let fields, _):
                // Too large to be described: it is passed as it is.
                if fields.isEmpty, type.byteCount > 1 { set(bit, type.byteCount * 8) }
                for field in fields {
                    if let count = field.bitCount {
                        set(bit + field.bitOffset, count)
                    } else {
                        mark(field.type, bit + field.bitOffset)
                    }
                }
            case .array(let element, let count):
                for index in 0..<count { mark(element, bit + index * element.byteCount * 8) }
            case .longDouble: set(bit, 80)
            case .complex where type.byteCount == 32:
                set(bit, 80)
                set(bit + 128, 80)
            default: set(bit, type.byteCount * 8)
            }
        }
        func set(_ bit: Int, _ count: Int) {
            for position in bit..<bit + count { mask[position / 8] |= 1 << (position % 8) }
        }
        mark(type, 0)
        return mask
    }

    // MARK: Tests

    @Test(
        "Every byte of every argument is where the layout says",
        arguments: [false, true].flatMap { DebugFixture.compilers(cPlusPlus: $0, optimizations: ["-O0"]) })
    func places(compiler: DebugFixture.Compiler) throws {
        let functions = Self.functions(isCPlusPlus: compiler.isCPlusPlus)
        try DebugFixture.withFolder { folder in
            let program = try DebugFixture.build(
                Self.source(functions, isCPlusPlus: compiler.isCPlusPlus), with: compiler,
                options: (compiler.isCPlusPlus ? ["-std=gnu++17", "-Wno-psabi"] : ["-Wno-psabi"])
                    + (Self.hasAVX ? ["-mavx"] : []), in: folder)
            let reports = Self.reports(try run(program))
            let addresses = try DebugFixture.functions(of: program, demangled: true)
            let prototypes = try DebugInfo(path: program).prototypes(for: Set(addresses.values))
            var checkedBytes = 0
            for function in functions {
                let address = try #require(
                    addresses.first { $0.key == function.name || $0.key.hasPrefix(function.name + "(") }?.value)
                let prototype = try #require(prototypes[address])
                let report = try #require(reports[function.name])
                let layout = SystemVABI.classify(prototype)
                #expect(layout.returnValue == (function.result?.returned ?? .nothing).layout, "\(DebugFixture.line(prototype))")
                #expect((layout.stackWords == nil) == function.isVariadic)
                var highest = 0
                for (index, argument) in layout.arguments.enumerated() {
                    let type = prototype.parameters[index].type
                    let place = "\(DebugFixture.line(prototype)): argument \(index) \(String(describing: argument))"
                    let locations = try #require(argument?.locations, "\(place)")
                    for case .stack(let word) in locations { highest = max(highest, word + 1) }
                    if argument?.isIndirect == true {
                        let pointer = try #require(report.word(locations[0]))
                        #expect(report.made.contains(pointer), "\(place)")
                        continue
                    }
                    let bytes = report.arguments[index]
                    #expect(bytes.count == type.byteCount)
                    let mask = Self.mask(type)
                    let hasBytes = mask.contains { $0 != 0 }
                    if hasBytes { #expect(locations.count == (bytes.count + 7) / 8, "\(place)") }
                    for offset in bytes.indices where mask[offset] != 0 {
                        guard offset / 8 < locations.count, let word = report.word(locations[offset / 8]) else {
                            Issue.record("no place for byte \(offset): \(place)")
                            break
                        }
                        let found = UInt8(truncatingIfNeeded: word >> UInt64(offset % 8 * 8))
                        guard found & mask[offset] == bytes[offset] & mask[offset] else {
                            Issue.record("byte \(offset) is \(found), not \(bytes[offset]): \(place)")
                            break
                        }
                        checkedBytes += 1
                    }
                }
                if !function.isVariadic { #expect((layout.stackWords ?? 0) == highest) }
                try check(layout.returnValue, prototype.returnType, report)
            }
            #expect(checkedBytes > 5000)
        }
    }

    private func check(_ result: CallLayout.Return, _ type: ValueType?, _ report: Report) throws {
        guard case .registers(let locations) = result, let type else { return }
        let mask = Self.mask(type)
        for offset in mask.indices where mask[offset] != 0 {
            // The upper two bytes of an x87 number are in its second eightbyte.
            let index = offset / 8
            let word: UInt64
            switch locations[index] {
            case .integer(let number): word = report.reply[number]
            case .vector(let number, let lane): word = report.reply[2 + number * 4 + lane]
            case .extended(let number): word = report.reply[10 + number * 2]
            case .padding:
                guard case .extended(let number) = locations[index - 1] else {
                    Issue.record("no place for byte \(offset) of the result")
                    return
                }
                word = report.reply[11 + number * 2]
            }
            // A boolean is made 0 or 1 by whoever reads it.
            if type.kind == .boolean { continue }
            let expected = UInt8(truncatingIfNeeded: word >> UInt64(offset % 8 * 8))
            #expect(report.result[offset] & mask[offset] == expected & mask[offset], "result \(type.name)")
        }
    }
}
