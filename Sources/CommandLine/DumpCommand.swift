import ArgumentParser
import FSession

struct DumpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Show programs as BPF assembly, and their machine code in a process.",
        discussion: """
            With an object file: its programs in the syntax of the kernel's verifier log, with their source lines. With \
            -p PID and a function that another fsession traces there: the machine code of its trampoline and programs, \
            with their BPF assembly.

              fsession dump latency.bpf.o
              fsession dump -p 4711 deflate
            """)

    @Option(name: [.short, .customLong("pid")], help: ArgumentHelp("A process that another fsession traces.", valueName: "PID"))
    var processID: Int32?

    @Argument(help: ArgumentHelp("The object file; with -p, the function.", valueName: "prog.bpf.o | function"))
    var subject: String

    func run() async throws {
        let output = try Output(path: nil, launches: false)
        if let processID {
            output.write("\(lines: try InstalledCode(of: subject, in: ProcessID(processID)).listing)")
        } else {
            let object = try BPFObject(contentsOf: subject)
            for program in object.programs {
                output.line(output.styled("\(program.section): \(program.name)", .bold))
                output.write("\(lines: program.listing)")
                output.line("")
            }
        }
        try output.finish()
    }
}
