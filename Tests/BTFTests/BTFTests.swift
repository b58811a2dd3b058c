import BTF
import ELF
import Foundation
import TestSupport
import Testing

/// The type information of C source, compiled for BPF.
func typeInformation(_ source: String) throws -> [UInt8] {
    try withTemporaryFolder { folder in
        try source.write(to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
        _ = try run("clang", "-target", "bpf", "-O2", "-g", "-c", "a.c", in: folder)
        let file = try ELFFile(path: folder.appendingPathComponent("a.o").path)
        return try file.contents(of: #require(file.section(named: ".BTF"))).bytes
    }
}

@Suite struct BTFTests {
    static let source = """
        typedef unsigned int u32;
        enum colour { red, green = 5, blue = -1 };
        enum big { huge = 0x123456789abcdef0, small = 1 };
        struct node;
        typedef int (*callback)(struct node *, const char *name, ...);
        struct point { double x; float y; };
        struct node {
            struct node *next; char name[8]; u32 count; enum colour colour; enum big big;
            union { int i; float f; }; struct point where[2]; _Bool yes; const volatile signed char small;
            unsigned low : 3; int high : 5; callback call; int matrix[2][3]; __int128 wide; void *const *nothing;
            enum colour bits : 4; struct { int deep; } inner; long last[];
        } node;
        int variable = 3;
        struct empty {} none[1000];
        char as_large_as_node[sizeof(struct node)];
        __attribute__((noinline)) int function(struct node *n, int times) { return n->count * times; }
        int caller(struct node *n) { return function(n, 3); }
        """

    private func loaded() throws -> (BTF, BTF.TypeID) {
        let btf = try BTF(bytes: typeInformation(Self.source))
        let node = try #require(btf.id(named: "node") { if case .structure = $0 { true } else { false } })
        return (btf, node)
    }

    @Test("types are found by name, their sizes are those of C, and chains of typedefs end at the type")
    func lookup() throws {
        let (btf, node) = try loaded()
        // What the compiler itself says, as the length of an array.
        let size = try #require(btf.id(named: "as_large_as_node"))
        #expect(btf.size(of: node) == btf.size(of: size))
        #expect(btf.size(of: node) == 144)
        let u32 = try #require(btf.id(named: "u32"))
        #expect(btf.size(of: u32) == 4)
        #expect(btf[try #require(btf.resolve(u32))].name == "unsigned int")
        #expect(btf.size(of: try #require(btf.id(named: "callback"))) == 8)
        #expect(btf.size(of: try #require(btf.id(named: "big"))) == 8)
        #expect(btf.size(of: try #require(btf.function(named: "function"))) == nil)
        #expect(btf.size(of: .void) == nil)
        #expect(btf.id(named: "nobody") == nil)
        #expect(btf[BTF.TypeID(rawValue: .max)].kind == .void)
        let section = try #require(btf.dataSection(named: ".data"))
        guard case .dataSection(_, let variables) = btf[section].kind else { return }
        #expect(variables.map { btf[$0.type].name } == ["variable"])
    }

    @Test("types are written as the C that declares them")
    func declarations() throws {
        let (btf, node) = try loaded()
        let definition = btf.definition(of: node)
        for member in [
            "struct node *next;", "char name[8];", "u32 count;", "enum colour colour;", "struct point where[2];",
            "const volatile signed char small;", "unsigned int low : 3;", "int high : 5;", "callback call;",
            "int matrix[2][3];", "void *const *nothing;", "union {\n        int i;\n        float f;\n    };",
        ] {
            #expect(definition.contains("    \(member)\n"), "\(definition)")
        }
        let callback = try #require(btf.id(named: "callback"))
        #expect(btf.definition(of: callback) == "typedef int (*callback)(struct node *, const char *, ...);")
        #expect(btf.declaration(of: callback, name: "c") == "callback c")
        let function = try #require(btf.function(named: "function"))
        #expect(btf.definition(of: function) == "int function(struct node *n, int times);")
        let colour = try #require(btf.id(named: "colour"))
        #expect(btf.definition(of: colour) == "enum colour {\n    red = 0,\n    green = 5,\n    blue = -1,\n};")
    }

    @Test("the C of a struct compiles again, to the same layout")
    func roundTrip() throws {
        let (btf, node) = try loaded()
        let names = ["u32", "colour", "big", "callback", "point"]
        let text =
            try "struct node;\n" + names.map { try btf.definition(of: #require(btf.id(named: $0))) }.joined(separator: "\n")
            + "\n" + btf.definition(of: node) + "\nstruct node node;\n"
        let again = try BTF(bytes: typeInformation(text))
        let copy = try #require(again.id(named: "node") { if case .structure = $0 { true } else { false } })
        #expect(again.definition(of: copy) == btf.definition(of: node))
        #expect(again.size(of: copy) == btf.size(of: node))
    }

    @Test("a value is written as a C initialiser and as JSON")
    func values() throws {
        let (btf, node) = try loaded()
        var bytes = [UInt8](repeating: 0, count: 144)
        guard case .structure(_, let members) = btf[node].kind else { return }
        func set<Value>(_ name: String, _ value: Value, index: Int = 0) {
            guard let member = members.first(where: { $0.name == name }) else { return }
            withUnsafeBytes(of: value) { raw in
                let start = Int(member.bitOffset / 8) + index * raw.count
                bytes.replaceSubrange(start..<start + raw.count, with: raw)
            }
        }
        set("next", 0x7fff_1234 as UInt64)
        for (index, byte) in "a\"b\n".utf8.enumerated() { set("name", byte, index: index) }
        set("count", 3 as UInt32)
        set("colour", -1 as Int32)
        set("big", 0x1234_5678_9abc_def0 as UInt64)
        set("where", 1.5, index: 0)
        set("yes", 1 as UInt8)
        set("small", -7 as Int8)
        set("low", 5 | (0b11110 << 3) as UInt8)
        set("matrix", 9 as Int32, index: 5)
        set("wide", 1 as UInt64, index: 1)
        set("inner", 4 as Int32)
        let value = btf.value(of: bytes, as: node)
        let text = value.description
        #expect(text.hasPrefix("{.next = 0x7fff1234, .name = \"a\\\"b\\n\", .count = 3, .colour = blue, .big = huge, .i = 0, .f = 0.0, "))
        #expect(text.contains(".where = [{.x = 1.5, .y = 0.0}, {.x = 0.0, .y = 0.0}], .yes = true, .small = -7, .low = 5, .high = -2, "))
        #expect(text.contains(".call = 0x0, .matrix = [[0, 0, 0], [0, 0, 9]], .wide = 0x10000000000000000, "))
        #expect(text.hasSuffix(".bits = red, .inner = {.deep = 4}, .last = []}"))
        let json = try #require(try JSONSerialization.jsonObject(with: Data(value.json.utf8)) as? [String: Any])
        #expect(json["next"] as? String == "0x7fff1234" && json["name"] as? String == "a\"b\n")
        #expect(json["count"] as? Int == 3 && json["colour"] as? String == "blue" && json["high"] as? Int == -2)
        #expect((json["matrix"] as? [[Int]])?[1] == [0, 0, 9] && json["yes"] as? Bool == true)
        #expect((json["inner"] as? [String: Int])?["deep"] == 4)
    }

    @Test("an enum without the value's name is a number, bytes that are not text are numbers, missing bytes are left out")
    func oddValues() throws {
        let (btf, node) = try loaded()
        let colour = try #require(btf.id(named: "colour"))
        #expect(btf.value(of: [9, 0, 0, 0], as: colour).description == "9")
        #expect(btf.value(of: [9, 0], as: colour) == .omitted)
        let short = btf.value(of: [1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], as: node)
        #expect(short.description.hasPrefix("{.next = 0x1, .name = [1, 2, 3, 4, …], .count = …, "))
        #expect(short.json.hasPrefix("{\"next\":\"0x1\",\"name\":[1,2,3,4,null],\"count\":null,"))
        #expect(try JSONSerialization.jsonObject(with: Data(short.json.utf8)) is [String: Any])
        let section = try #require(btf.dataSection(named: ".data"))
        #expect(btf.value(of: [3, 0, 0, 0], as: section).description == "{.variable = 3}")
    }

    @Test("tags, forward declarations and attributes of functions are read")
    func tags() throws {
        let source = """
            #define user __attribute__((btf_type_tag("user")))
            struct hidden;
            struct tagged { int user *pointer; struct hidden *hidden; int other; } __attribute__((btf_decl_tag("whole")));
            struct tagged tagged __attribute__((btf_decl_tag("variable")));
            static __attribute__((noinline)) int inner(int a) { return a * tagged.other; }
            int outer(int first, int second) { return inner(first) + inner(second); }
            """
        let btf = try BTF(bytes: typeInformation(source))
        func tag(_ name: String) throws -> (BTF.TypeID, Int32) {
            let id = try #require(btf.id(named: name) { if case .declarationTag = $0 { true } else { false } })
            guard case .declarationTag(let target, let component) = btf[id].kind else { return (.void, 0) }
            return (target, component)
        }
        #expect(try btf[tag("whole").0].name == "tagged" && tag("whole").1 == -1)
        #expect(try btf[tag("variable").0].kind == .variable(tag("whole").0, linkage: .global))
        let definition = try btf.definition(of: tag("whole").0)
        #expect(definition == "struct tagged {\n    int *pointer;\n    struct hidden *hidden;\n    int other;\n};")
        #expect(btf.types.contains { if case .typeTag = $0.kind { $0.name == "user" } else { false } })
        #expect(btf.types.contains { $0.name == "hidden" && $0.kind == .forward(isUnion: false) })
        guard case .function(let prototype, .global) = btf[try #require(btf.function(named: "outer"))].kind,
            case .prototype(_, let parameters) = btf[prototype].kind,
            case .function(_, .static) = btf[try #require(btf.function(named: "inner"))].kind
        else {
            Issue.record("the functions are not described")
            return
        }
        #expect(parameters.map(\.name) == ["first", "second"])
    }

    @Test(".BTF.ext tells where functions and lines begin and which instructions depend on a layout")
    func instructionInformation() throws {
        let source = """
            struct thing { long a; int b[4]; } __attribute__((preserve_access_index));
            __attribute__((section("one"))) int first(struct thing *t) { return t->b[2]; }
            __attribute__((section("two"))) int second(struct thing *t) {
                return t->a; }
            __attribute__((section("two"))) int third(void) { return 3; }
            """
        try withTemporaryFolder { folder in
            try source.write(to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
            _ = try run("clang", "-target", "bpf", "-O2", "-g", "-c", "a.c", in: folder)
            let file = try ELFFile(path: folder.appendingPathComponent("a.o").path)
            let btf = try BTF(bytes: file.contents(of: #require(file.section(named: ".BTF"))).bytes)
            let bytes = try file.contents(of: #require(file.section(named: ".BTF.ext"))).bytes
            let information = try BTFExtension(bytes: bytes, btf: btf)
            #expect(information.functions["one"]?.map { btf[$0.type].name } == ["first"])
            #expect(information.functions["two"]?.map { btf[$0.type].name } == ["second", "third"])
            let symbols = try file.symbols
            let third = try #require(symbols.first { symbols.name(of: $0) == "third" })
            #expect(information.functions["two"]?.last.map { UInt64($0.offset) } == third.value)
            let line = try #require(information.lines["two"]?.first { $0.line == 4 })
            #expect(line.text == "    return t->a; }" && line.file.hasSuffix("a.c") && line.column == 15)
            let relocation = try #require(information.coreRelocations["one"]?.first)
            #expect(relocation.access == "0:1:2" && relocation.kind == 0 && btf[relocation.type].name == "thing")
            #expect(information.coreRelocations["two"]?.map(\.access) == ["0:0"])
            #expect(throws: BTFError.truncated(what: "the records of a section in .BTF.ext")) {
                var damaged = bytes
                let place = Int(bytes[4]) + 8
                damaged.replaceSubrange(place..<place + 4, with: [255, 255, 255, 255])
                _ = try BTFExtension(bytes: damaged, btf: btf)
            }
        }
    }

    @Test("the running kernel's types are read and can be used", .enabled(if: FileManager.default.isReadableFile(atPath: "/sys/kernel/btf/vmlinux")))
    func kernel() throws {
        let btf = try BTF(bytes: [UInt8](Data(contentsOf: URL(fileURLWithPath: "/sys/kernel/btf/vmlinux"))))
        let task = try #require(btf.id(named: "task_struct") { if case .structure = $0 { true } else { false } })
        #expect(try #require(btf.size(of: task)) > 1000)
        #expect(btf.definition(of: task).contains("    char comm[16];\n"))
    }
}
