import ArgumentParser
import FSession

struct DumpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Show programs as BPF assembly, and what of them is in a process.",
        discussion: """
            With an object: its programs in the syntax of the kernel's log, the source lines between. With -p PID and \
            a function that some fsession traces there: the machine code of its trampoline and of the programs, \
            beside their BPF assembly.

              fsession dump latency.bpf.o
              fsession dump -p 4711 deflate
            """)

    @Option(name: [.short, .customLong("pid")], help: ArgumentHelp("A process that is being traced.", valueName: "PID"))
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
