import ArgumentParser

/// Options that take one value, given twice: of two processes, say, only the last one would be traced, and nothing said.
enum RepeatedOptions {
    private struct Option {
        let long: String
        var short: Character?
        /// The only command that takes one value.
        var command: String?
        /// What to do where more than one is wanted.
        var advice = "give it once"
    }

    private static let options = [
        Option(long: "pid", short: "p", command: "dump"),
        Option(long: "output", short: "o"),
        Option(long: "at", advice: "give one pattern that matches all functions, or start one fsession for each"),
        Option(long: "program", advice: "without it, all programs are attached"),
        Option(long: "limit"), Option(long: "duration"), Option(long: "arguments"),
    ]

    /// Looks at what stands before the command to launch.
    static func check(_ arguments: some Sequence<String>) throws {
        var counts: [String: Int] = [:]
        let options = options.filter { [command = arguments.first { _ in true }] in $0.command == nil || $0.command == command }
        for argument in arguments {
            if argument == "--" { break }
            let name = argument.prefix { $0 != "=" }
            for option in options where isNamed(option, name) { counts[option.long, default: 0] += 1 }
        }
        for option in options where counts[option.long, default: 0] > 1 {
            let name = option.short.map { "-\($0)" } ?? "--\(option.long)"
            throw ValidationError("'\(name)' is given \(counts[option.long, default: 0]) times: \(option.advice).")
        }
    }

    /// Short options may stand together: `-qp 4711`.
    private static func isNamed(_ option: Option, _ argument: Substring) -> Bool {
        if argument.hasPrefix("--") { return argument.dropFirst(2) == option.long }
        guard argument.hasPrefix("-"), let short = option.short else { return false }
        return argument.dropFirst().contains(short)
    }
}
