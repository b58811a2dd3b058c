import Foundation
import TestSupport
import Testing

/// Installed programs at real work, each count and return value checked against another source.
@Suite struct RealProgramTests {
    @Test("openssl: EVP_DigestUpdate gets every byte of the file, and the digest is right")
    func openssl() async throws {
        let folder = try Folder()
        let size = 1_000_003
        let file = try folder.file("data", Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 8) }))
        let trace = try await Trace.of(["libcrypto:EVP_DigestUpdate"], ["openssl", "dgst", "-sha256", file])
        let sum = try await run(["sha256sum", file]).output.prefix(64)
        #expect(trace.finished.status == 0)
        #expect(trace.finished.output.trimmingCharacters(in: .newlines).hasSuffix("= \(sum)"))
        #expect(trace.calls.reduce(0) { $0 + $1.arguments[2] } == UInt64(size))
        #expect(trace.calls.count > 10)
        #expect(trace.calls.allSatisfy { $0.returned == 1 })
    }

    @Test("sqlite3: a step that returns SQLITE_ROW for each line printed, SQLITE_DONE for each statement")
    func sqlite() async throws {
        var script = "create table t(a);\nbegin;\n"
        for i in 1...50 { script += "insert into t values(\(i));\n" }
        script += "commit;\nselect a from t where a > 20;\nselect count(*) from t;\n"
        let plain = try await run(["sqlite3", ":memory:"], input: script)
        let trace = try await Trace.of(["libsqlite3:sqlite3_step", "libsqlite3:sqlite3_prepare_v2"], ["sqlite3", ":memory:"], input: script)
        #expect(trace.finished.output == plain.output)
        #expect(plain.outputLines.count == 31)
        // The shell itself asks for a few things before the first statement: what it prints comes last.
        let steps = trace.calls(of: "sqlite3_step").map(\.returned)
        let statements = 1 + 1 + 50 + 1 + 1 + 1
        let expected: [UInt64] =
            Array(repeating: 101, count: 53) + Array(repeating: 100, count: 30) + [101] + [100, 101]
        #expect(Array(steps.suffix(expected.count)) == expected)
        #expect(trace.calls(of: "sqlite3_prepare_v2").count >= statements)
        #expect(trace.calls(of: "sqlite3_prepare_v2").allSatisfy { $0.returned == 0 })
    }

    @Test("sqlite3: a program's map counts the same return values in `run`")
    func sqliteRun() async throws {
        let folder = try Folder()
        let object = try Compiler.bpf(
            """
            struct {
                __uint(type, BPF_MAP_TYPE_HASH);
                __uint(max_entries, 16);
                __type(key, u32);
                __type(value, u64);
            } results SEC(".maps");
            u64 entered;
            u64 returned;
            SEC("fsession/libsqlite3:sqlite3_step")
            int BPF_PROG(step, void *statement)
            {
                if (!bpf_session_is_return(ctx)) { __sync_fetch_and_add(&entered, 1); return 0; }
                __sync_fetch_and_add(&returned, 1);
                u64 value = 0, one = 1;
                bpf_get_func_ret(ctx, &value);
                u32 key = (u32)value;
                u64 *count = bpf_map_lookup_elem(&results, &key);
                if (count) __sync_fetch_and_add(count, 1);
                else bpf_map_update_elem(&results, &key, &one, BPF_ANY);
                return 0;
            }
            """, in: folder)
        var script = "create table t(a);\n"
        for i in 1...40 { script += "insert into t values(\(i));\n" }
        script += "select a from t;\n"
        let trace = try await Trace.of(["libsqlite3:sqlite3_step"], ["sqlite3", ":memory:"], input: script)
        let result = try await fsession("run", "--maps", "--globals", "--json", object, "--", "sqlite3", ":memory:", input: script)
        #expect(result.status == 0)
        #expect(result.outputLines == (1...40).map(String.init))
        let lines = try JSONLine.all(result.errors)
        let map = try #require(lines.first { $0.type == "map" })
        #expect(map.fields["name"] as? String == "results")
        var counted: [Int: Int] = [:]
        for entry in map.fields["entries"] as? [[String: Any]] ?? [] {
            let key = try #require(entry["key"] as? NSNumber), value = try #require(entry["value"] as? NSNumber)
            counted[key.intValue] = value.intValue
        }
        let traced = Dictionary(grouping: trace.calls, by: { Int($0.returned ?? 0) }).mapValues(\.count)
        #expect(counted == traced)
        #expect((counted[100] ?? 0) >= 40 && (counted[101] ?? 0) >= 42)
        for name in ["entered", "returned"] {
            let global = try #require(lines.first { $0.type == "global" && $0.fields["name"] as? String == name })
            #expect(global.number("value") == trace.calls.count)
        }
    }

    @Test("python3: a deflate per zlib.compress, and zlib.crc32 prints what crc32 returned")
    func python() async throws {
        let program = """
            import zlib
            for i in range(25):
                data = b"hello %d " % i * (i + 1)
                print(zlib.crc32(data), len(zlib.compress(data)))
            """
        let trace = try await Trace.of(
            ["libz:deflate", "libz:deflateEnd", "libz:crc32"], ["/usr/bin/python3", "-c", program])
        #expect(trace.finished.status == 0)
        let printed = trace.finished.outputLines.map { $0.split(separator: " ") }
        #expect(printed.count == 25)
        #expect(trace.calls(of: "deflate").map(\.returned) == Array(repeating: 1, count: 25))  // Z_STREAM_END
        #expect(trace.calls(of: "deflateEnd").map(\.returned) == Array(repeating: 0, count: 25))
        let sums = trace.calls(of: "crc32")
        let returned: [UInt64] = sums.map { $0.returned ?? 0 }
        let expected: [UInt64] = printed.map { UInt64($0[0]) ?? .max }
        #expect(returned == expected)
        let lengths: [Int] = sums.map { Int($0.arguments[2]) }
        let sizes: [Int] = (0..<25).map { (i: Int) -> Int in "hello \(i) ".utf8.count * (i + 1) }
        #expect(lengths == sizes)
    }

    @Test("git: as many deflateInit_ as count-objects counts, and as many inflateInit_ when they are read")
    func git() async throws {
        let folder = try Folder()
        _ = try await run(["git", "init", "-q", folder.path])
        var names = ""
        for i in 1...40 { names += try folder.file("f\(i)", (1...i * 10).map { "\($0)\n" }.joined()) + "\n" }
        let written = try await Trace.of(
            ["libz:deflateInit_", "libz:deflateEnd"], ["git", "hash-object", "-w", "--stdin-paths"], input: names,
            directory: folder.path)
        #expect(written.finished.outputLines.count == 40)
        let counted = try await run(["git", "count-objects"], directory: folder.path)
        #expect(counted.output.hasPrefix("40 objects"))
        #expect(written.calls(of: "deflateInit_").count == 40)
        #expect(written.calls(of: "deflateEnd").map(\.returned) == Array(repeating: 0, count: 40))

        let read = try await Trace.of(
            ["libz:inflateInit_", "libz:inflateEnd"], ["git", "cat-file", "--batch-all-objects", "--batch-check"],
            directory: folder.path)
        #expect(read.finished.outputLines.count == 40)
        #expect(read.calls(of: "inflateInit_").count == 40)
        #expect(read.calls(of: "inflateEnd").count == 40)
        #expect(read.calls.allSatisfy { $0.returned == 0 })
    }

    @Test("the calls of write are those that strace sees, with the same arguments and results")
    func strace() async throws {
        let folder = try Folder()
        let command = ["/usr/bin/python3", "-c", "import os\nfor i in range(60): os.write(1, b'x' * (i * 7 % 50))\nos.write(2, b'')"]
        let other = try await run(["strace", "-f", "-e", "trace=write", "-o", "\(folder.path)/strace"] + command)
        try #require(other.status == 0, "strace: \(other.errors)")
        // `PID write(1, "…", 7) = 7`
        let seen = try folder.text("strace").split(separator: "\n").filter { $0.contains(" write(") }.map { line -> String in
            let descriptor = line.split(separator: "(")[1].prefix { $0 != "," }
            let call = line.components(separatedBy: " = ")
            let count = call[0].split(separator: " ").last?.prefix { $0.isNumber } ?? ""
            return "\(descriptor) \(count) \(call[call.count - 1])"
        }
        let trace = try await Trace.of(["libc:write"], command)
        let ours: [String] = trace.calls.map { call in
            "\(Int32(truncatingIfNeeded: call.arguments[0])) \(call.arguments[2]) \(call.returned ?? .max)"
        }
        #expect(ours.count == 61)
        #expect(ours == seen)
    }

    @Test("ltrace counts as many malloc and free in sqlite3")
    func ltrace() async throws {
        let folder = try Folder()
        let script = "create table t(a); insert into t values(1),(2),(3); select * from t;\n"
        let other = try await run(
            ["ltrace", "-o", "\(folder.path)/ltrace", "-x", "malloc@libc.so*+free@libc.so*", "-L", "sqlite3", ":memory:"],
            input: script, environment: ["HOME": folder.path])
        try #require(other.status == 0, "ltrace: \(other.errors)")
        let lines = try folder.text("ltrace").split(separator: "\n")
        let trace = try await Trace.of(["libc:malloc", "libc:free"], ["sqlite3", ":memory:"], input: script)
        for name in ["malloc", "free"] {
            let count = lines.filter { $0.contains("\(name)@libc") && !$0.contains("resumed") }.count
            #expect(count > 100)
            #expect(trace.calls(of: name).count == count)
        }
    }
}
