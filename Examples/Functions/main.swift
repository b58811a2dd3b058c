// What can be traced: the functions of a program or library on disk that a pattern matches, and why some cannot be traced; and
// whether the programs of an object are safe. Nothing is started, and nothing loaded.
//
//   swift run -c release functions '*' /usr/bin/gzip
//   swift run -c release functions slow_calls.bpf.o
import FSession
import Glibc

let arguments = CommandLine.arguments

func list(_ pattern: String, _ file: String) throws {
    var refused = 0
    for function in try Session.Function.functions(matching: pattern, inFile: file) {
        if let refusal = function.refusal {
            refused += 1
            print("\(PrintableText.line(function.displayName)): \(refusal)")
        } else {
            let note = function.entryOnlyReason.map { ", only its entry: \($0)" } ?? ""
            print("\(PrintableText.line(function.displayName)), \(function.size) bytes\(note)")
        }
    }
    print("\(refused) cannot be traced")
}

func verify(_ file: String) throws {
    for result in try BPFObject(contentsOf: file).verify() {
        print("\(result.program) (\(result.section)): \(result.fault ?? "safe, \(result.instructions) instructions walked")")
    }
}

do {
    switch arguments.count {
    case 2: try verify(arguments[1])
    case 3: try list(arguments[1], arguments[2])
    default:
        print("usage: functions PATTERN FILE")
        print("       functions OBJECT")
        exit(2)
    }
} catch {
    print("functions: \(error)")
    exit(1)
}
