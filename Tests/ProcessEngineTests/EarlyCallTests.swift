import FSession
import Foundation
import Testing

/// What a launched command calls before its `main`: constructors of its libraries and `.preinit_array` are traced like all else.
@Suite("Early calls", .serialized, .timeLimit(.minutes(3)))
struct EarlyCallTests {
    private static let source = Fixtures.folder.appendingPathComponent("Targets/early.c")
    private static let library: Set = ["early_library_constructor", "early_library_first"]
    private static let program: Set = ["early_program_constructor", "early_program_first", "early_program_main"]

    /// The functions that are seen, each with how often it was.
    private func calls(of program: String, environment: [String] = []) throws -> [String: Int] {
        let trace = Fixtures.temporary.appendingPathComponent("early.trace").path
        let untraced = try Fixtures.run("/usr/bin/env", environment + [program])
        let result = try Fixtures.run(
            "/usr/bin/env", environment + [HardProgram.fsessionPath, "trace", "-q", "-o", trace, "*:early_*", "--", program])
        #expect(result.status == untraced.status, "\(result.errors)")
        let text = try String(contentsOfFile: trace, encoding: .utf8)
        return text.split(separator: "\n").reduce(into: [:]) { counts, line in
            if let name = line.split(separator: " ").dropFirst(2).first?.prefix(while: { $0 != "(" }) {
                counts[String(name), default: 0] += 1
            }
        }
    }

    private func expect(_ calls: [String: Int], _ names: Set<String>) {
        #expect(Set(calls.keys) == names && calls.values.allSatisfy { $0 == 1 }, "\(calls)")
    }

    @Test("glibc", arguments: [[], ["-no-pie"], ["-Wl,-z,now"], ["-Wl,-z,lazy"]])
    func glibc(options: [String]) throws {
        let library = try Fixtures.target(at: Self.source, ["-shared", "-fPIC", "-DLIBRARY"])
        let program = try Fixtures.target(at: Self.source, options + [library])
        expect(try calls(of: program), Self.library.union(Self.program).union(["early_library_ordinary", "early_program_preinit"]))
    }

    @Test("A preloaded library, beside an auditor")
    func preloaded() throws {
        let library = try Fixtures.target(at: Self.source, ["-shared", "-fPIC", "-DLIBRARY"])
        let program = try Fixtures.target(at: Self.source, ["-DALONE"])
        let own = Self.program.union(["early_program_preinit"])
        expect(try calls(of: program), own)
        let auditor = Fixtures.temporary.appendingPathComponent("auditor.c")
        try "unsigned la_version(unsigned v) { return v; }".write(to: auditor, atomically: true, encoding: .utf8)
        let audit = try Fixtures.target(at: auditor, ["-shared", "-fPIC"])
        for variables in [["LD_PRELOAD=\(library)"], ["LD_AUDIT=\(audit)"], ["LD_PRELOAD=\(library)", "LD_AUDIT=\(audit)"]] {
            let seen = try calls(of: program, environment: variables)
            expect(seen, variables[0].hasPrefix("LD_PRELOAD") ? own.union(Self.library) : own)
        }
    }

    @Test("musl, dynamic and static")
    func musl() throws {
        let compiler = try #require(Musl.compiler)
        let library = try Musl.compile(compiler, Self.source, ["-O1", "-shared", "-fPIC", "-DLIBRARY"])
        // musl knows no .preinit_array.
        let program = try Musl.compile(compiler, Self.source, ["-O1", "-DNO_PREINIT", library])
        expect(try calls(of: program), Self.library.union(Self.program).union(["early_library_ordinary"]))
        let alone = try Musl.compile(compiler, Self.source, ["-O1", "-DNO_PREINIT", "-DALONE", "-static"])
        expect(try calls(of: alone), Self.program)
    }

    @Test("Static programs of glibc", arguments: [["-static"], ["-static-pie", "-fPIE"]])
    func staticPrograms(options: [String]) throws {
        let program = try Fixtures.target(at: Self.source, ["-DALONE"] + options)
        expect(try calls(of: program), Self.program.union(["early_program_preinit"]))
    }

    @Test("Everything is traced from there on, and the program does what it does without")
    func everything() throws {
        let library = try Fixtures.target(at: Self.source, ["-shared", "-fPIC", "-DLIBRARY"])
        let program = try Fixtures.target(at: Self.source, [library])
        let untraced = try Fixtures.run(program, [])
        for _ in 0..<3 {
            let result = try Fixtures.run(HardProgram.fsessionPath, ["trace", "-o", "/dev/null", "*", "--", program])
            #expect(result.status == untraced.status, "\(result.errors)")
            #expect(!result.errors.contains("try again"), "\(result.errors)")
        }
    }
}
