import BPF
import BTF
import Foundation
import Testing

/// One object with everything in it; both `leaf` and `answer` stand in `.text`.
let everything = """
    struct event { int pid; char comm[16]; unsigned long long lat[4]; };
    struct {
        __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 128); __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, __u32); __type(value, struct event);
    } events SEC(".maps");
    struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
    int third(void *ctx);
    struct {
        __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __uint(key_size, 4);
        __array(values, int(void *));
    } jumps SEC(".maps") = { .values = { [2] = (void *)&third } };
    const volatile int limit = 5;
    int counter; static long hidden; int preset = 42; struct event last;
    extern int elsewhere __ksym;
    extern int maybe __ksym __weak;
    extern _Bool bpf_session_is_return(void *ctx) __ksym;
    extern __u64 *bpf_session_cookie(void *ctx) __ksym __weak;
    static __attribute__((noinline)) int leaf(int a) { return a * 3 + hidden++; }
    __attribute__((noinline)) int answer(int a) { return leaf(a) + limit; }
    static long each(__u32 i, void *c) { counter += i; return 0; }
    SEC("fsession/libz:deflate") int first(unsigned long long *ctx) {
        __u32 key = 1;
        if (bpf_session_is_return(ctx)) *bpf_session_cookie(ctx) = 1;
        bpf_loop(3, each, 0, 0);
        struct event *e = bpf_map_lookup_elem(&events, &key);
        if (e) e->pid += answer(preset);
        bpf_printk("counter %d", counter);
        if (&maybe) counter += maybe;
        return elsewhere;
    }
    SEC("fsession/libz:deflate") int second(unsigned long long *ctx) {
        last.pid = leaf(1);
        bpf_tail_call(ctx, &jumps, 2);
        return 0;
    }
    SEC("fentry.s/exe:ns::run") int third(void *ctx) { return hidden; }
    SEC("fexit//usr/lib/x/libz.so.1:inflate*") int fourth(void *ctx) {
        bpf_ringbuf_output(&ring, &last, sizeof last, 0);
        return 0;
    }
    SEC("fmod_ret/getpid") int fifth(void *ctx) { return 7; }
    """

@Suite struct ObjectTests {
    static let levels = ["-O1", "-O2", "-O3", "-Os"]

    @Test("programs, maps, variables, externs and license, at each optimisation", arguments: levels)
    func everythingInOne(level: String) throws {
        let object = try Object(bytes: compileBPF(everything, [level, "-g"]), name: "x.o")
        #expect(object.license == "GPL")
        #expect(Set(object.programs.map(\.name)) == ["first", "second", "third", "fourth", "fifth"])
        let first = try object.program("first")
        #expect(first.section.kind == .session && first.section.module == "libz" && first.section.function == "deflate")
        #expect(try object.program("second").section == first.section)

        let events = object.maps[Int(try object.mapIndex("events"))]
        #expect(events.type == .hash && events.maxEntries == 128 && events.flags == 1)
        #expect(events.keySize == 4 && events.valueSize == 56 && events.section == .none && events.initialContents == nil)
        let btf = try #require(object.btf)
        #expect(btf[try #require(events.valueTypeID)].name == "event")
        let ring = object.maps[Int(try object.mapIndex("ring"))]
        #expect(ring.type == .ringBuffer && ring.maxEntries == 4096 && ring.keySize == 0 && ring.keyTypeID == nil)
        let jumps = object.maps[Int(try object.mapIndex("jumps"))]
        #expect(jumps.type == .progArray && jumps.keySize == 4 && jumps.valueSize == 4 && jumps.programSlots == [2: "third"])

        let constants = object.maps[Int(try object.mapIndex(".rodata"))]
        #expect(constants.section == .rodata && constants.type == .array && constants.maxEntries == 1)
        #expect(constants.flags == 0x80 && constants.keySize == 4)
        #expect(try variable("limit", constants, object) == [5, 0, 0, 0])
        let data = object.maps[Int(try object.mapIndex(".data"))]
        #expect(try data.section == .data && variable("preset", data, object) == [42, 0, 0, 0])
        let zeroed = object.maps[Int(try object.mapIndex(".bss"))]
        #expect(zeroed.section == .bss && zeroed.initialContents?.allSatisfy { $0 == 0 } == true)
        #expect(try variable("last", zeroed, object).count == 56 && variable("hidden", zeroed, object).count == 8)

        let externs = Dictionary(uniqueKeysWithValues: object.externs.map { ($0.name, $0) })
        #expect(Set(externs.keys) == ["elsewhere", "maybe", "bpf_session_is_return", "bpf_session_cookie"])
        #expect(externs["elsewhere"]?.isFunction == false && externs["elsewhere"]?.isWeak == false)
        #expect(externs["maybe"]?.isFunction == false && externs["maybe"]?.isWeak == true)
        #expect(externs["bpf_session_is_return"]?.isFunction == true && externs["bpf_session_is_return"]?.isWeak == false)
        #expect(externs["bpf_session_cookie"]?.isFunction == true && externs["bpf_session_cookie"]?.isWeak == true)
        #expect(btf[try #require(externs["elsewhere"]?.typeID)].name == "int")
    }

    /// The initial bytes of a variable, found by the object's own type information.
    private func variable(_ name: String, _ map: MapDefinition, _ object: Object) throws -> [UInt8] {
        let btf = try #require(object.btf)
        guard case .dataSection(let size, let variables) = btf[try #require(map.valueTypeID)].kind else {
            Issue.record("\(map.name) is no data section")
            return []
        }
        #expect(size == map.valueSize)
        let found = try #require(variables.first { btf[$0.type].name == name })
        let contents = try #require(map.initialContents)
        return Array(contents[Int(found.offset)..<Int(found.offset + found.size)])
    }

    @Test("each reference in the code leads to its map, variable, extern or function", arguments: levels)
    func references(level: String) throws {
        let object = try Object(bytes: compileBPF(everything, [level, "-g"]), name: "x.o")
        for program in object.programs {
            // Well formed as a whole: no jump or call leads astray.
            let structure = try ProgramStructure(program.instructions)
            #expect(structure.subprograms.map(\.slots.lowerBound).dropFirst() == program.subprograms.map(\.start)[...])
            #expect(program.targets == Set(program.subprograms.map(\.start)))
        }
        let first = try object.program("first")
        #expect(Set(first.subprograms.map(\.name)) == ["each", "answer", "leaf"])
        #expect(first.subprograms.first { $0.name == "answer" }?.isGlobal == true)
        #expect(first.subprograms.first { $0.name == "leaf" }?.isGlobal == false)
        for subprogram in first.subprograms {
            #expect(try object.btf?[#require(subprogram.typeID)].name == subprogram.name)
        }
        #expect(try first.loads(.map) == [[object.mapIndex("events"), 0]])
        #expect(try Set(first.loads(.variable).map { $0[0] }) == [object.externIndex("maybe"), object.externIndex("elsewhere")])
        #expect(
            try first.externalCalls
                == [object.externIndex("bpf_session_is_return"), object.externIndex("bpf_session_cookie")])
        #expect(first.loads(.function).count == 1)

        let format = object.maps[Int(try object.mapIndex(".rodata"))]
        let contents = try #require(format.initialContents)
        let texts = try first.loads(.mapValue).filter { try $0[0] == object.mapIndex(".rodata") }.map {
            String(decoding: contents[Int($0[1])...].prefix { $0 != 0 }, as: UTF8.self)
        }
        #expect(texts.contains("counter %d"))

        let second = try object.program("second")
        #expect(second.subprograms.map(\.name) == ["leaf"])
        #expect(try second.loads(.map) == [[object.mapIndex("jumps"), 0]])
        #expect(second.externalCalls.isEmpty)
        // `last` does not lie at the beginning of .bss, so its offset must have been added.
        let btf = try #require(object.btf)
        guard case .dataSection(_, let variables) = btf[try #require(btf.dataSection(named: ".bss"))].kind else { return }
        let last = try #require(variables.first { btf[$0.type].name == "last" })
        #expect(try second.loads(.mapValue).contains([object.mapIndex(".bss"), Int32(last.offset)]))
        #expect(try object.program("fourth").subprograms.isEmpty)
    }

    @Test("source lines stand at the slots of their code, in subprograms too", arguments: levels)
    func lines(level: String) throws {
        let object = try Object(bytes: compileBPF(everything, [level, "-g"]), name: "x.o")
        let first = try object.program("first")
        #expect(first.lines.first?.slot == 0)
        #expect(zip(first.lines, first.lines.dropFirst()).allSatisfy { $0.slot < $1.slot })
        #expect(first.lines.allSatisfy { $0.file.hasSuffix("a.c") && $0.line > 3 && first.instructions.indices.contains($0.slot) })
        for (slot, operation) in first.operations {
            guard case .call(.helper(let id)) = operation else { continue }
            let line = try #require(first.lines.last { $0.slot <= slot })
            let expected = [1: "bpf_map_lookup_elem", 6: "bpf_printk", 181: "bpf_loop"]
            #expect(line.text.contains(try #require(expected[Int(id)])))
        }
        let leaf = try #require(first.subprograms.first { $0.name == "leaf" })
        #expect(first.lines.contains { $0.slot == leaf.start && $0.text.contains("int leaf(int a)") })
        let bare = try Object(bytes: compileBPF("SEC(\"fentry/f\") int p(void *c) { return 0; }", ["-O2"]), name: "x.o")
        #expect(bare.programs.first?.lines.isEmpty == true && bare.btf == nil)
    }

    @Test(
        "section names give the kind, the module and the function",
        arguments: [
            ("fsession/deflate", ProgramKind.session, false, nil as String?, "deflate"),
            ("fsession.s/libz:deflate", .session, true, "libz", "deflate"),
            ("fentry/exe:main", .fentry, false, "exe", "main"),
            ("fexit//usr/lib/x/libz.so.1:deflate*", .fexit, false, "/usr/lib/x/libz.so.1", "deflate*"),
            ("fmod_ret.s/ns::f", .fmodRet, true, nil, "ns::f"),
            ("fentry/libx:ns::deep::f", .fentry, false, "libx", "ns::deep::f"),
            ("fentry/exe:::f", .fentry, false, "exe", "::f"),
            ("fsession", .session, false, nil, ""),
            ("fsession.multi.s/kernel:tcp_*", .sessionMulti, true, "kernel", "tcp_*"),
            ("?kprobe/f+4", .kprobe, false, nil, "f+4"),
            ("uprobe.multi//bin/sh:f*", .uprobeMulti, false, "/bin/sh", "f*"),
            ("tp/sched/sched_switch", .tracepoint, false, nil, "sched/sched_switch"),
            ("raw_tp.w/sys_enter", .rawTracepointWritable, false, nil, "sys_enter"),
            ("lsm.s/file_open", .lsm, true, nil, "file_open"),
        ])
    func sectionNames(name: String, kind: ProgramKind, sleepable: Bool, module: String?, function: String) throws {
        let section = try #require(ProgramSection(name: name))
        #expect(section.kind == kind && section.sleepable == sleepable)
        #expect(section.module == module && section.function == function && section.name == name)
    }

    @Test("names of other kinds are no program sections", arguments: ["xdp", "fsessions/f", "fentry.x/f", "", ".s/f", "fentr"])
    func otherSectionNames(name: String) {
        #expect(ProgramSection(name: name) == nil)
    }

    @Test("a callback in another section's static function, and a program that calls itself by a subprogram")
    func recursion() throws {
        let object = try Object(
            bytes: compileBPF(
                """
                static __attribute__((noinline)) int odd(int n);
                static __attribute__((noinline)) int even(int n) { return n == 0 ? 1 : odd(n - 1); }
                static __attribute__((noinline)) int odd(int n) { return n == 0 ? 0 : even(n - 1) + 1; }
                SEC("fentry/f") int p(unsigned long long *c) { return even(c[0]) + even(c[1]); }
                """), name: "x.o")
        let program = try object.program("p")
        #expect(program.targets == Set(program.subprograms.map(\.start)))
        #expect(program.subprograms.count >= 1)
        _ = try ProgramStructure(program.instructions)
    }

    @Test("the relocations for other layouts of a struct leave the instructions as the compiler wrote them")
    func coreRelocations() throws {
        let source = """
            struct thing { long a; int b; } __attribute__((preserve_access_index));
            SEC("fentry/f") int p(unsigned long long *c) { struct thing *t = (void *)c[0]; return t->b; }
            """
        let object = try Object(bytes: compileBPF(source), name: "x.o")
        let offsets = try object.program("p").operations.compactMap { _, operation in
            if case .load(.u32, _, _, let offset) = operation { offset } else { nil }
        }
        #expect(offsets == [8])
    }

    @Test("the address of a weak function can be asked for")
    func weakFunction() throws {
        let source = """
            extern int sometimes(int) __ksym __weak;
            SEC("fentry/f") int p(unsigned long long *c) { return sometimes ? sometimes(c[0]) : 0; }
            """
        let object = try Object(bytes: compileBPF(source), name: "x.o")
        let program = try object.program("p")
        #expect(object.externs.map(\.isFunction) == [true])
        #expect(program.loads(.variable) == [[0, 0]] && program.externalCalls == [0])
    }

    @Test("string literals and constants of other sections are variables, too")
    func moreSections() throws {
        let source = """
            const char *const unused = 0;
            int tuned SEC(".data.tuned") = 9; const int fixed SEC(".rodata.fixed") = 8;
            SEC("fentry/f") int p(unsigned long long *c) {
                char text[16];
                __builtin_memcpy(text, (char *)c[0], sizeof text);
                return bpf_strncmp(text, 5, "hello") + tuned + *(volatile const int *)&fixed;
            }
            """
        let object = try Object(bytes: compileBPF(source), name: "x.o")
        #expect(Set(object.maps.map(\.name)).isSuperset(of: [".data.tuned", ".rodata.fixed", ".rodata.str1.1"]))
        let texts = object.maps[Int(try object.mapIndex(".rodata.str1.1"))]
        #expect(texts.section == .rodata && texts.initialContents == Array("hello\0".utf8))
        #expect(object.maps[Int(try object.mapIndex(".data.tuned"))].initialContents == [9, 0, 0, 0])
        let used = Set(try object.program("p").loads(.mapValue).map { object.maps[Int($0[0])].name })
        #expect(used == [".data.tuned", ".rodata.fixed", ".rodata.str1.1"])
    }

    @Test("a session that gives its cookie from the entry to the exit")
    func session() throws {
        let source = """
            extern _Bool bpf_session_is_return(void *ctx) __ksym __weak;
            extern __u64 *bpf_session_cookie(void *ctx) __ksym __weak;
            struct buffer;
            SEC("fsession/receive")
            int BPF_PROG(on_receive, struct buffer *buffer) {
                __u64 *cookie = bpf_session_cookie(ctx);
                if (!bpf_session_is_return(ctx)) *cookie = 0xdeadbeef;
                else bpf_printk("the cookie is 0x%llx\\n", *cookie);
                return 0;
            }
            """
        let object = try Object(bytes: compileBPF(source), name: "x.o")
        let program = try object.program("on_receive")
        #expect(program.section.kind == .session && program.section.function == "receive" && program.section.module == nil)
        #expect(Set(object.externs.map(\.name)) == ["bpf_session_is_return", "bpf_session_cookie"])
        #expect(program.externalCalls.count == 2 && program.subprograms.isEmpty)
        #expect(object.maps.map(\.name) == [".rodata"])
    }
}
