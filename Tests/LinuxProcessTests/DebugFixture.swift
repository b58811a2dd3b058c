import Foundation
import LinuxProcess
import TestSupport
import Testing

/// Programs that the debug information tests compile.
enum DebugFixture {
    struct Compiler: Sendable, CustomTestStringConvertible {
        var command: String
        var isCPlusPlus: Bool
        var options: [String]
        var testDescription: String { ([command] + options).joined(separator: " ") }
    }

    static func compilers(cPlusPlus: Bool, optimizations: [String]) -> [Compiler] {
        var result: [Compiler] = []
        for command in cPlusPlus ? ["clang++", "g++"] : ["clang", "gcc"] where TestSupport.Compiler.find(command) != nil {
            for version in ["-gdwarf-4", "-gdwarf-5"] {
                for optimization in optimizations {
                    result.append(
                        Compiler(command: command, isCPlusPlus: cPlusPlus, options: [version, optimization]))
                }
            }
        }
        return result
    }

    /// A new folder that is removed after `body`.
    static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        try withTemporaryFolder { try body($0.path) }
    }

    /// Compiles and links `source`.
    static func build(
        _ source: String, with compiler: Compiler, options: [String] = [], in folder: String
    ) throws -> String {
        let file = folder + (compiler.isCPlusPlus ? "/source.cpp" : "/source.c")
        try source.write(toFile: file, atomically: false, encoding: .utf8)
        let program = folder + "/program"
        return try TestSupport.Compiler.compile(file, with: [compiler.command], compiler.options + options + ["-w"], to: program)
    }

    /// The addresses of the functions of a program by `nm`, by symbol name.
    static func functions(of program: String, demangled: Bool = false) throws -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        let lines = try runBlocking(["nm"] + (demangled ? ["-C"] : []) + ["--defined-only", program]).output
        for line in lines.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 2)
            guard parts.count == 3, "tTwW".contains(parts[1]), let address = UInt64(parts[0], radix: 16) else {
                continue
            }
            result[String(parts[2])] = address
        }
        return result
    }

    /// A prototype as a line of text.
    static func line(_ prototype: FunctionPrototype) -> String {
        var parameters = prototype.parameters.map { parameter in
            (parameter.isArtificial ? "[" : "") + parameter.type.name + (parameter.name.map { " " + $0 } ?? "")
                + (parameter.isArtificial ? "]" : "")
        }
        if prototype.isVariadic { parameters.append("...") }
        return (prototype.noReturn ? "noreturn " : "") + (prototype.returnType?.name ?? "void") + " " + prototype.name
            + "(" + parameters.joined(separator: ", ") + ")"
    }
}
