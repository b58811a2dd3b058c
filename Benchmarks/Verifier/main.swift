// What verifying costs: for each object given, its slowest program, and over all the instructions walked in a second.
import BPF
import Verifier

#if canImport(Glibc)
import Glibc
#endif

func line(_ columns: [String]) -> String {
    let widths = [-44, 10, 8, 8, 12]
    return zip(columns, widths).map { text, width in
        let padding = String(repeating: " ", count: max(0, abs(width) - text.utf8.count))
        return width < 0 ? text + padding : padding + text
    }.joined(separator: "  ")
}

func rounded(_ number: Double) -> String {
    let tenths = Int((number * 100).rounded())
    let fraction = String(tenths % 100)
    return "\(tenths / 100).\(fraction.utf8.count < 2 ? "0" : "")\(fraction)"
}

let paths = CommandLine.arguments.dropFirst()
if paths.isEmpty {
    print("usage: verifier-bench OBJECT…")
    exit(2)
}

/// Runs often enough to be measured; the fastest run counts, because the others were disturbed.
func measure(_ input: VerifierInput) -> (verdict: Verdict, seconds: Double) {
    let clock = ContinuousClock()
    var best = Double.infinity
    var total = 0.0
    var verdict = Verifier.verify(input)
    while total < 0.2 {
        let start = clock.now
        verdict = Verifier.verify(input)
        let seconds = (clock.now - start) / .seconds(1)
        best = min(best, seconds)
        total += seconds
    }
    return (verdict, best)
}

print(line(["program", "walked", "states", "ms", "walked/s"]))
var instructions = 0
var seconds = 0.0
var slowest = 0.0
var failed = false
for path in paths {
    do {
        let object = try Object(path: path)
        for program in object.programs {
            let (verdict, time) = measure(VerifierInput(program, in: object))
            instructions += verdict.statistics.instructions
            seconds += time
            slowest = max(slowest, time)
            let file = path.split(separator: "/").last.map(String.init) ?? path
            print(
                line([
                    "\(file.prefix(24)) \(program.name)", "\(verdict.statistics.instructions)",
                    "\(verdict.statistics.states)", rounded(time * 1000),
                    rounded(Double(verdict.statistics.instructions) / time / 1e6) + " M",
                ]))
            if let failure = verdict.failure {
                failed = true
                print(verdict.log)
                print("refused: \(failure)")
            }
        }
    } catch {
        failed = true
        print("\(path): \(error)")
    }
}
print(
    "together \(instructions) instructions in \(rounded(seconds * 1000)) ms: \(rounded(Double(instructions) / seconds / 1e6)) million a second; slowest \(rounded(slowest * 1000)) ms"
)
exit(failed ? 1 : 0)
