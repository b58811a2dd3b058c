import Foundation
import Testing

/// glibc has an implementation of memcpy, strlen and their kin for each kind of processor. Which one is called depends on the
/// machine: these tests call all that this one can run.
@Suite("Variants of the C library's functions", .serialized)
struct VariantsTests {
    static let libc = "/lib/x86_64-linux-gnu/libc.so.6"

    /// Names and addresses of all variants, and of those that cannot be traced the reasons. Debian keeps the symbols in libc6-dbg.
    private func variants() throws -> [(name: String, address: Int, reason: String?)] {
        try functions("*", [Self.libc]).filter {
            $0.name.firstMatch(of: #/^__(w?mem|raw|str|stp|wcs)[a-z_]*_(sse|ssse3|avx|evex|erms)/#) != nil
        }
    }

    private func functions(_ pattern: String, _ target: [String]) throws -> [(name: String, address: Int, reason: String?)] {
        let list = try Fixtures.run(HardProgram.fsessionPath, ["list", "--json", pattern] + target)
        return try list.output.split(separator: "\n").compactMap { line in
            let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            guard let name = object["function"] as? String, let address = object["address"] as? Int else { return nil }
            return (name, address, object["reason"] as? String)
        }
    }

    /// What the functions of the file are called in a process: those that were chosen there have the plain names.
    private func namesInProcess(_ program: String) throws -> [String: String] {
        let file = try functions("*", [Self.libc])
        let process = try functions("libc:*", ["--", program])
        let known = try #require(file.first { $0.name == "qsort" })
        let there = try #require(process.first { $0.name == "qsort" })
        let names = Dictionary(process.map { ($0.address - there.address, $0.name) }) { first, _ in first }
        return Dictionary(file.map { ($0.name, names[$0.address - known.address] ?? $0.name) }) { first, _ in first }
    }

    @Test("every variant of every processor can be traced")
    func traceable() throws {
        let variants = try variants()
        // None of them: libc6-dbg is not installed, or belongs to another libc6.
        try #require(variants.count > 150, "\(variants.count) variants: install the libc6-dbg that belongs to libc6")
        for variant in variants { #expect(variant.reason == nil, "\(variant.name)") }
    }

    @Test("all that this processor can run, called directly with a session on all at once, do what they do untraced", .timeLimit(.minutes(5)))
    func called() throws {
        let program = try Fixtures.target("variants", ["-ldl"])
        let list = Fixtures.temporary.appendingPathComponent("variants.txt").path
        let variants = try variants()
        try variants.map { "\($0.name) \($0.address)\n" }.joined().write(toFile: list, atomically: true, encoding: .utf8)
        let plain = try Fixtures.run(program, [list])
        #expect(plain.status == 0 && plain.output.contains(" 0 wrong"), "\(plain.output)")
        let agreeing = plain.output.split(separator: "\n").filter { $0.hasSuffix(" agrees") }.map { String($0.dropLast(" agrees".count)) }
        #expect(agreeing.count > 60)

        let object = try Fixtures.bpf(Fixtures.package.appendingPathComponent("Benchmarks/cookie.bpf.c"))
        let log = Fixtures.temporary.appendingPathComponent("variants.json").path
        let traced = try Fixtures.run(
            HardProgram.fsessionPath, ["run", "--json", "-o", log, "--at", "libc:*", object, "--", program, list])
        #expect(traced.status == 0 && traced.output == plain.output, "\(traced.output.suffix(2000)) \(traced.errors)")
        // Each was seen, as often as it was called, and seen to return.
        let text = try String(contentsOfFile: log, encoding: .utf8)
        let last = try #require(text.split(separator: "\n").last)
        let summary = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
        let functions = try #require(summary["functions"] as? [[String: Any]])
        var counts: [String: (calls: Int, returned: Int)] = [:]
        for function in functions {
            guard let name = function["function"] as? String, let calls = function["calls"] as? Int else { continue }
            counts[name] = (calls, function["returned"] as? Int ?? 0)
        }
        let names = try namesInProcess(program)
        for name in agreeing {
            let count = try #require(counts[names[name] ?? name], "\(name)")
            #expect(count.calls >= 200 && count.returned == count.calls, "\(name): \(count)")
        }
    }
}
