import ArgumentParser
import FSession
import PlainText

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine's kernel lets fsession do, and what to change.",
        discussion: "Each answer comes from trying it. The exit status is 1 if sessions in the kernel are not possible.")

    @Flag(help: "Print an object per line, in JSON.")
    var json = false

    func run() async throws {
        let output = try Output(path: nil, launches: false)
        let findings = Doctor.examineKernel()
        let width = findings.map(\.what.count).max() ?? 0
        for finding in findings {
            if json {
                output.object(["what": JSON(finding.what), "good": JSON(finding.isGood), "text": JSON(finding.text)])
            } else {
                let mark = finding.isGood ? output.styled("ok", .green) : output.styled("no", .red)
                let padding = String(repeating: " ", count: width - finding.what.count)
                output.line("\(mark)  \(finding.what)\(padding)  \(finding.text)")
            }
        }
        try output.finish()
        if findings.contains(where: { $0.what == "sessions" && $0.isGood }) == false { throw ExitWith(1) }
    }
}
