import Foundation
import TestSupport
import Testing

/// Names and texts of those who are traced come out on a terminal and in lines that others read: they command neither.
@Suite(.timeLimit(.minutes(3))) struct HostileNameTests {
    /// Colours, a title, 8-bit controls, a return to the start of the line, a line that looks like ours, text from right to
    /// left, and bytes that are no UTF-8.
    private static let evils: [[UInt8]] = [
        Array("\u{1b}[31mred\u{1b}]0;t\u{7}".utf8), Array("\u{9b}31m\u{85}\u{7f}".utf8), Array("\rover\u{8}\u{b}".utf8),
        Array("\nfsession: forged".utf8), Array("\u{202e}\u{2066}\u{200f}\u{61c}".utf8), Array("\u{2028}\u{2029}\u{200e}\u{202a}".utf8),
        [0x9b, 0x33, 0x31, 0x6d, 0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80],
    ]

    /// Text that shows and does nothing: valid UTF-8, of the controls only the newlines between lines and tabs.
    private func isHarmless(_ text: String, _ place: SourceLocation = #_sourceLocation) {
        #expect(!text.isEmpty, "no text, or none that is UTF-8", sourceLocation: place)
        let obeyed = text.unicodeScalars.filter { scalar in
            switch scalar.value {
            case 0x0a, 0x09: false
            case 0..<0x20, 0x7f..<0xa0, 0x61c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true
            default: false
            }
        }
        #expect(obeyed.isEmpty, "\(text.debugDescription)", sourceLocation: place)
        let forged = text.split(separator: "\n").filter { $0.hasPrefix("fsession: forged") }
        #expect(forged.isEmpty, "\(text.debugDescription)", sourceLocation: place)
    }

    /// Replaces names in a file by others of the same length: `marker` and what follows it, up to the end of the name.
    private func rename(_ path: String, _ marker: String, to evil: [UInt8]) throws {
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        let wanted = Array(marker.utf8)
        var count = 0
        var index = 0
        while index + wanted.count <= bytes.count {
            guard bytes[index] == wanted[0], Array(bytes[index..<(index + wanted.count)]) == wanted else {
                index += 1
                continue
            }
            let end = bytes[index...].firstIndex(of: 0) ?? bytes.count
            try #require(end - index >= evil.count + 5)
            // The first five letters stay: they are what patterns name.
            for (offset, byte) in evil.enumerated() { bytes[index + 5 + offset] = byte }
            count += 1
            index = end
        }
        try #require(count > 0, "\(marker) is not in \(path)")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        #expect(chmod(path, 0o755) == 0)
    }

    /// A program whose function, parameters and enumerators have such names, in a file that has one.
    private func program(in folder: Folder, _ evil: [UInt8]) async throws -> String {
        let built = try Compiler.c(
            """
            enum color { enumy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1 };
            __attribute__((noinline, noclone)) int named_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa(int param_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, enum color color)
            {
                __asm__ volatile("" ::: "memory");
                return param_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa % 1000003 + color;
            }
            int main(void) { return named_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa(4, enumy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) != 5; }
            """, in: folder)
        for marker in ["named_aaa", "param_aaa", "enumy_aaa"] { try rename(built, marker, to: evil) }
        return built
    }

    @Test("names of symbols, parameters and enumerators, in calls, lists and summaries", arguments: evils.indices)
    func symbols(index: Int) async throws {
        let folder = try Folder()
        let program = try await program(in: folder, Self.evils[index])
        let trace = try await fsession("trace", "exe:named*", "--", program)
        #expect(trace.status == 0)
        isHarmless(trace.errors)
        #expect(trace.errorLines.count == 2, "\(trace.errors)")
        #expect(trace.errors.contains("param") && trace.errors.contains("=4, color=enumy") && trace.errors.contains(" = 5"), "\(trace.errors)")
        let list = try await fsession("list", "named*", program)
        isHarmless(list.output)
        #expect(list.outputLines.count == 2)
        let process = try await fsession("list", "exe:named*", "--", program)
        isHarmless(process.output)
        // A reader of JSON gets the names as they are.
        let name = String(decoding: Self.name(Self.evils[index]), as: UTF8.self)
        for result in [
            try await fsession("trace", "--json", "exe:named*", "--", program).errors, try await fsession("list", "--json", "named*", program).output,
        ] {
            isHarmless(result)
            let lines = try JSONLine.all(result)
            #expect(lines.contains { $0.function == name }, "\(result)")
        }
        // Nothing matches: the nearest names are shown.
        let nothing = try await fsession("trace", "exe:namedx" + String(name.dropFirst(5)), "--", program)
        #expect(nothing.status == 1)
        isHarmless(nothing.errors)
        #expect(nothing.errorLines.count == 1)
    }

    /// The function's name with the evil in it.
    private static func name(_ evil: [UInt8]) -> [UInt8] {
        var name = Array("named_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8)
        for (offset, byte) in evil.enumerated() { name[5 + offset] = byte }
        return name
    }

    @Test("names of files: of the program, of a library that comes later, of what is executed, and in errors")
    func files() async throws {
        let folder = try Folder()
        let evil = "x\u{1b}[31m\nfsession: forged\u{9b}\u{202e}"
        let library = try Compiler.c(
            "int called(int number) { __asm__ volatile(\"\" ::: \"memory\"); return number + 1; }", in: folder, name: "\(evil).so",
            ["-shared", "-fPIC"])
        let executed = try Compiler.c("int main(void) { return 0; }", in: folder, name: "run \(evil)")
        let program = try Compiler.c(
            """
            #include <dlfcn.h>
            #include <unistd.h>
            int main(int count, char **arguments)
            {
                void *library = dlopen(arguments[1], RTLD_NOW);
                int (*called)(int) = library ? dlsym(library, "called") : 0;
                if (!called || called(1) != 2) return 1;
                execl(arguments[2], arguments[2], (char *)0);
                return 2;
            }
            """, in: folder, name: "main \(evil)", ["-ldl"])
        for extra in [[], ["--json"]] {
            let result = try await run([Repository.fsession, "trace"] + extra + ["x*:called", "exe:main", "--", program, library, executed])
            #expect(result.status == 0, "\(result.errors)")
            isHarmless(result.errors)
            #expect(result.errors.contains("x\\u001b[31m\\nfsession: forged\\u009b\\u202e.so"), "\(result.errors)")
            if !extra.isEmpty {
                let lines = try JSONLine.all(result.errors)
                #expect(lines.contains { $0.type == "library" && $0.fields["path"] as? String == library })
                #expect(lines.contains { $0.fields["path"] as? String == executed })
            }
        }
        let list = try await fsession("list", "main", program)
        isHarmless(list.output)
        #expect(list.outputLines.count == 2)
        let missing = ["\(folder.path)/\(evil)", "\(folder.path)/no\(evil)"]
        for arguments in [
            ["list", "f", missing[1]], ["run", missing[1], "--", "true"], ["trace", "libc:write", "--", missing[1]], ["trace", "--\(evil)"], [evil],
        ] {
            let result = try await run([Repository.fsession] + arguments)
            #expect(result.status != 0)
            isHarmless(result.errors)
            #expect(result.errorLines.count == 1, "\(result.errors)")
        }
    }

    @Test("what programs print keeps newlines and tabs, and nothing else that is obeyed")
    func prints() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(
            """
            SEC("fentry/libc:puts")
            int BPF_PROG(put, const char *text)
            {
                char copy[32] = {};
                bpf_probe_read_user_str(copy, sizeof(copy), text);
                bpf_printk("first\\tcolumn %s\\r\\nsecond\\n", copy);
                return 0;
            }
            """, in: folder)
        let program = try Compiler.c(
            "#include <stdio.h>\nint main(void) { puts(\"\\033]0;title\\a\\302\\233m\\342\\200\\256\\377\"); return 0; }", in: folder)
        let plain = try await fsession("run", object, "--", program)
        isHarmless(plain.errors)
        #expect(plain.errors.hasPrefix("first\tcolumn \\u001b]0;title\\u0007\\u009bm\\u202e"), "\(plain.errors)")
        #expect(plain.errors.contains("\\r\nsecond\n"), "\(plain.errors)")
        let json = try await fsession("run", "--json", object, "--", program)
        isHarmless(json.errors)
        let print = try #require(try JSONLine.all(json.errors).first { $0.type == "print" })
        #expect((print.fields["text"] as? String)?.hasPrefix("first\tcolumn \u{1b}]0;title\u{7}\u{9b}m\u{202e}") == true)
    }

    @Test("maps and global variables: their names, and the text in them")
    func maps() async throws {
        let folder = try Folder()
        let evil = "\u{1b}[31m\nfsession: forged\u{202e}"
        let object = try Compiler.bpf(
            """
            struct key { char text[32]; };
            struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, struct key); __type(value, u64); } texts SEC(".maps");
            enum color { enumy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1 };
            enum color color;
            u64 globy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;
            SEC("fentry/libc:puts")
            int BPF_PROG(put, const char *text)
            {
                struct key key = {};
                u64 one = 1;
                bpf_probe_read_user_str(key.text, sizeof(key.text), text);
                bpf_map_update_elem(&texts, &key, &one, BPF_ANY);
                globy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa++;
                color = enumy_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;
                return 0;
            }
            """, in: folder)
        try rename(object, "enumy_aaa", to: Array(evil.utf8))
        try rename(object, "globy_aaa", to: Array(evil.utf8))
        let program = try Compiler.c(
            "#include <stdio.h>\nint main(void) { puts(\"a\\033]0;t\\a\\nfsession: forged\\302\\233\"); return 0; }", in: folder)
        let plain = try await fsession("run", "--maps", "--globals", object, "--", program)
        #expect(plain.status == 0, "\(plain.errors)")
        isHarmless(plain.errors)
        #expect(plain.errors.contains("globy\\u001b[31m\\nfsession: forged\\u202e"), "\(plain.errors)")
        #expect(plain.errors.contains("= enumy\\u001b[31m\\nfsession: forged\\u202e"), "\(plain.errors)")
        let json = try await fsession("run", "--json", "--maps", "--globals", object, "--", program)
        isHarmless(json.errors)
        let lines = try JSONLine.all(json.errors)
        #expect(lines.contains { $0.type == "global" && ($0.fields["name"] as? String)?.hasPrefix("globy\(evil)") == true })
        #expect(lines.contains { $0.type == "map" })
    }

    @Test("objects: source lines in logs and listings; programs and maps must have names that can be shown")
    func objects() async throws {
        let folder = try Folder()
        let evil = "\u{1b}[31m\u{9b}\u{202e}"
        let object = try Compiler.bpf(
            """
            SEC("fentry/libc:write")
            int BPF_PROG(proge_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, int fd)
            {
                u64 *place = 0; /* \(evil) */
                return *(volatile u64 *)(long)fd; /* \(evil) */
            }
            """, in: folder)
        let check = try await fsession("check", object)
        #expect(check.status == 1)
        isHarmless(check.output)
        #expect(check.output.contains("\\u001b[31m\\u009b\\u202e"), "\(check.output)")
        let dump = try await fsession("dump", object)
        isHarmless(dump.output)
        #expect(dump.output.contains("\\u001b[31m\\u009b\\u202e"), "\(dump.output)")
        isHarmless(try await fsession("check", "--json", object).output)
        let refused = try await fsession("run", object, "--", "true")
        #expect(refused.status == 1)
        isHarmless(refused.errors)
        #expect(refused.errorLines.count == 1)
        try rename(object, "proge_aaa", to: Array("\nfsession: forged".utf8))
        for command in ["check", "dump"] {
            let result = try await fsession(command, object)
            #expect(result.status == 1)
            isHarmless(result.errors)
            #expect(result.errorLines.count == 1 && result.errors.contains("control character"), "\(result.errors)")
        }
    }

    @Test("a process whose name commands the terminal")
    func processNames() async throws {
        let folder = try Folder()
        // Its child has ended under such a name, and nobody has taken its status.
        let program = try Compiler.c(
            """
            #include <stdio.h>
            #include <sys/prctl.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(void)
            {
                int child = fork();
                if (!child) { prctl(PR_SET_NAME, "\\033[31m\\nfsession:"); _exit(0); }
                siginfo_t end;
                waitid(P_PID, child, &end, WEXITED | WNOWAIT);
                printf("%d\\n", child);
                fflush(stdout);
                for (;;) pause();
            }
            """, in: folder)
        let parent = try Running([program])
        try await waitUntil("its child has ended") { parent.outputSoFar.hasSuffix("\n") }
        let child = try #require(parent.outputSoFar.split(separator: "\n").first.map(String.init))
        let result = try await fsession("trace", "libc:pause", "-p", child)
        #expect(result.status == 1)
        isHarmless(result.errors)
        #expect(result.errors.contains("\\u001b[31m\\nfsession:"), "\(result.errors)")
        #expect(result.errorLines.count == 1)
        parent.send(SIGKILL)
        _ = try await parent.finish()
    }
}
