import ArgumentParser
import FSession
import PlainText

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Prove the programs of an object safe, without running them.",
        discussion: """
            'fsession run' does the same first. A program that could crash or hang its process is refused; the log shows how it \
            gets to the fault, in the kernel's format. The exit status is 1 if a program is refused.

              fsession check latency.bpf.o
              fsession check -v latency.bpf.o
            """)

    @Argument(help: ArgumentHelp("The BPF object file.", valueName: "prog.bpf.o"))
    var object: String

    @OptionGroup var variables: VariableOptions

    @Flag(name: .shortAndLong, help: "Print the whole log: every instruction on every path.")
    var verbose = false

    @Flag(help: "Print an object per line, in JSON.")
    var json = false

    @Option(help: ArgumentHelp("How many words of arguments the functions have (default: 64, more than any has).", valueName: "words"))
    var arguments: Int?

    func validate() throws {
        if let arguments, !(0...64).contains(arguments) { throw ValidationError("--arguments takes a number from 0 to 64.") }
    }

    func run() async throws {
        let output = try Output(path: nil, launches: false)
        let results = try variables.object(at: object).verify(argumentWords: arguments, detailed: verbose)
        for result in results { show(result, output) }
        try output.finish()
        if results.contains(where: { !$0.isSafe }) { throw ExitWith(1) }
    }

    private func show(_ result: BPFObject.Verification, _ output: Output) {
        let milliseconds = fixed(result.duration / .milliseconds(1))
        if json {
            output.object([
                "program": JSON(result.program), "section": JSON(result.section), "safe": JSON(result.isSafe),
                "fault": result.fault.map { JSON($0) } ?? .null, "instructions": JSON(result.instructions), "states": JSON(result.states),
                "peak_memory": JSON(result.peakMemory), "stack": JSON(result.stackDepth), "milliseconds": JSON(text: milliseconds),
                "log": JSON(result.log),
            ])
            return
        }
        if verbose || !result.isSafe, !result.log.isEmpty { output.line("\(lines: result.log)") }
        let verdict = result.isSafe ? output.styled("safe", .green) : output.styled("refused", .red)
        let costs =
            "\(result.instructions) instructions walked, \(result.states) states, \((result.peakMemory + 1023) / 1024) KiB, "
            + "\(result.stackDepth) bytes of stack, \(milliseconds) ms"
        output.line("\(output.styled(result.program, .bold)) (\(result.section)): \(verdict), \(costs)")
        if let fault = result.fault { output.line("  \(fault)") }
    }

    /// With two digits behind the point.
    private func fixed(_ number: Double) -> String {
        let hundredths = Int((number * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }
}
