import Foundation
import Synchronization

/// The compilers of C, C++ and BPF programs that there are.
package enum Compiler {
    /// The first of the commands that is in PATH.
    package static func find(_ names: String...) -> String? {
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        for name in names {
            if let found = path.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) { return found }
        }
        return nil
    }

    /// clang: beside the Swift compiler, or anywhere in PATH.
    package static func clang() throws -> String {
        if let swift = find("swift") {
            let beside = URL(fileURLWithPath: swift).resolvingSymlinksInPath().deletingLastPathComponent().path + "/clang"
            if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        }
        guard let clang = find("clang") else { throw Trouble("there is no clang to make BPF objects with") }
        return clang
    }

    /// Where Debian keeps `asm/types.h`.
    package static let multiarch = {
        #if arch(arm64)
        "aarch64-linux-gnu"
        #else
        "x86_64-linux-gnu"
        #endif
    }()

    /// Compiles a file; gives `output`.
    ///
    /// - Parameter compilers: the first that there is, and that can do it.
    @discardableResult
    package static func compile(
        _ source: String, with compilers: [String], _ options: [String], to output: String, directory: String? = nil
    ) throws -> String {
        var failure = ""
        for compiler in compilers {
            let result = try runBlocking([compiler, source] + options + ["-o", output], directory: directory)
            if result.status == 0 { return output }
            failure += "\(compiler): \(result.errors)"
        }
        throw Trouble("cannot compile \(source): \(failure)")
    }

    /// Makes a BPF object of a file, as a user does.
    @discardableResult
    package static func bpf(_ source: String, _ options: [String] = ["-O2", "-g"], to output: String) throws -> String {
        try compile(
            source, with: [try clang()],
            ["-target", "bpf", "-I\(Repository.path("include"))", "-I/usr/include/\(multiarch)"] + options + ["-c"], to: output)
    }

    /// A source file of BPF programs, with the usual head.
    package static func withHead(_ programs: String) -> String {
        "#include \"fsession.bpf.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n\(programs)\n"
    }

    /// Compilers of C, or of C++ where the file's name says so.
    package static func native(for source: String) -> [String] {
        source.hasSuffix(".cpp") ? ["clang++", "g++", "c++"] : ["clang", "gcc", "cc"]
    }
}

/// What tests have compiled: each once in a run.
package enum Compiled {
    private static let made = Mutex<[[String]: String]>([:])

    package static func bpf(_ source: String, _ options: [String]) throws -> String {
        try once(source, ["bpf"] + options) { try Compiler.bpf(source, ["-O2", "-g", "-Wall", "-Werror"] + options, to: $0 + ".bpf.o") }
    }

    package static func program(_ source: String, _ options: [String]) throws -> String {
        try once(source, options) { try Compiler.compile(source, with: Compiler.native(for: source), options, to: $0 + ".exe") }
    }

    /// - Parameter make: is given the path to make, which begins with the source's name, without what it ends with.
    private static func once(_ source: String, _ options: [String], _ make: (String) throws -> String) throws -> String {
        try made.withLock { made in
            let key = [source] + options
            if let path = made[key] { return path }
            let name = URL(fileURLWithPath: source).lastPathComponent
            let path = try make(TemporaryFiles.folder.appendingPathComponent("\(name)-\(made.count)").path)
            made[key] = path
            return path
        }
    }
}
