import BTF
import Glibc
import LinuxProcess

// Writes the structures of bpf(2) and perf_event_open(2) in Swift, from a kernel's own types (`make linux-bpf`).
//
//     generate-linux-bpf BTF VERSION >Sources/LinuxBPF/Structures+Generated.swift
//     generate-linux-bpf BTF VERSION Sources/LinuxBPF/Structures+Generated.swift
//
// What that kernel does not have is left out and told on stderr. With a file it says what that kernel has elsewhere than the file
// says, which may be made from another one; of the same version nothing may be missing, either.

func say(_ text: String) {
    let bytes = Array("generate-linux-bpf: \(text)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

func fail(_ text: String) -> Never {
    say(text)
    exit(1)
}

let arguments = CommandLine.arguments
guard (3...4).contains(arguments.count) else { fail("usage: generate-linux-bpf BTF VERSION [FILE]") }
let version = arguments[2]
do {
    var generator = Generator(types: try BTFIndex(bytes: try WholeFile.bytes(arguments[1])))
    let text = generator.file(version: version)
    if arguments.count == 3 {
        print(text, terminator: "")
        for name in generator.missing { say("this kernel has no \(name)") }
    } else {
        let file = try WholeFile.text(arguments[3])
        let comparison = Comparison(text, file, isSameVersion: file.hasPrefix(text.prefix { $0 != "\n" }))
        for line in comparison.differences { print(line) }
        print("\(comparison.common) members are where they are in Linux \(version)\(comparison.differences.isEmpty ? "" : ", or not")")
        exit(comparison.differences.isEmpty ? 0 : 1)
    }
} catch {
    fail("\(error)")
}
