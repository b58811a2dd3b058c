import Foundation
import TestSupport
import Testing

@Suite("The kernel's list")
struct KernelListTests {
    private static let checks = Fixtures.package.appendingPathComponent("Tests/KernelChecks")

    @Test("The programs that show in the kernel what a session means show the same in a process", .timeLimit(.minutes(5)))
    func sameInAProcess() throws {
        let folder = Fixtures.temporary.appendingPathComponent("kernel-list")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        func place(_ built: String, as name: String) throws {
            try FileManager.default.copyItem(atPath: built, toPath: folder.appendingPathComponent(name).path)
        }
        let programs = Self.checks.appendingPathComponent("Programs")
        for name in ["constants", "context", "cookies", "helpers", "nodes", "order", "sleep"] {
            try place(Fixtures.bpf(programs.appendingPathComponent("\(name).bpf.c")), as: "\(name).bpf.o")
        }
        // An object is verified as a whole before it runs in a process: each program that is refused has its own.
        for (number, name) in ["answers_fentry", "answers_fexit", "answers_session", "answers_with_cookie"].enumerated() {
            let only = try Fixtures.bpf(programs.appendingPathComponent("answers.bpf.c"), ["-DONLY=\(number + 1)"])
            try place(only, as: "\(name).bpf.o")
        }
        try place(Fixtures.target(at: programs.appendingPathComponent("functions.c")), as: "functions")

        let run = try Fixtures.run(
            "/usr/bin/env", ["-C", folder.path, Repository.product("kernel-checks"), "process", "./functions"])
        let lines = run.output.split(separator: "\n")
        for line in lines { #expect(line.hasPrefix("ok ")) }
        // context, answers, constants, helpers, cookies, two orders, three limits, two while calls run
        #expect(lines.count == 12 && run.status == 0, "\(run.output)\(run.errors)")
    }
}
