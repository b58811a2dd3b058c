import Foundation
import Testing

import LinuxProcess

/// Programs that the debug information tests compile.
enum DebugFixture {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    struct Compiler: Sendable, CustomTestStringConvertible {
        var command: String
        var isCPlusPlus: Bool
        var options: [String]
        var testDescription: String { ([command] + options).joined(separator: " ") }
    }

    static func compilers(cPlusPlus: Bool, optimizations: [String]) -> [Compiler] {
        var result: [Compiler] = []
        for command in cPlusPlus ? ["clang++", "g++"] : ["clang", "gcc"] where find(command) != nil {
            for version in ["-gdwarf-4", "-gdwarf-5"] {
                for optimization in optimizations {
                    result.append(
                        Compiler(command: command, isCPlusPlus: cPlusPlus, options: [version, optimization]))
                }
            }
        }
        return result
    }

    static func find(_ command: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { "\($0)/\(command)" }.first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }

    /// Runs a command to its end and returns what it wrote to its standard output.
    @discardableResult
    static func run(_ command: String, _ arguments: [String]) throws -> String {
        guard let path = command.hasPrefix("/") ? command : find(command) else {
            throw Failure(description: "\(command) is not installed")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(command) \(arguments.joined(separator: " ")): \(process.terminationStatus)")
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// A new folder that is removed after `body`.
    static func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = NSTemporaryDirectory() + "fsession-debug-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try body(folder)
    }

    /// Compiles and links `source`.
    static func build(
        _ source: String, with compiler: Compiler, options: [String] = [], in folder: String
    ) throws -> String {
        let file = folder + (compiler.isCPlusPlus ? "/source.cpp" : "/source.c")
        try source.write(toFile: file, atomically: false, encoding: .utf8)
        let program = folder + "/program"
        try run(compiler.command, compiler.options + options + ["-w", "-o", program, file])
        return program
    }

    /// The addresses of the functions of a program by `nm`, by symbol name.
    static func functions(of program: String, demangled: Bool = false) throws -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        let lines = try run("nm", (demangled ? ["-C"] : []) + ["--defined-only", program])
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
