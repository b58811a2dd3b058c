import CLinux
import Engine
import LinuxProcess

/// `available_filter_functions`: what the kernel can trace, and names that stand for several functions.
struct TraceableFunctions {
    private struct Place: Hashable {
        let name: String
        let module: String
    }

    /// The file; empty where it cannot be read.
    private var bytes: [UInt8] = []
    /// How often each stands there: of all once a pattern was asked for, else of the names that were.
    private var counts: [Place: Int] = [:]
    private var asked: Set<String> = []
    private var isRead = false
    private var isComplete = false

    /// Makes ready for questions about these functions.
    mutating func read(_ glob: Glob) {
        if !isRead {
            isRead = true
            if let path = TraceFiles.path("available_filter_functions") { bytes = (try? WholeFile.bytes(path)) ?? [] }
        }
        guard !bytes.isEmpty, !isComplete else { return }
        if glob.isPattern {
            isComplete = true
            counts = [:]
            for line in bytes.split(separator: UInt8(ascii: "\n")) { add(line) }
        } else if asked.insert(glob.text).inserted {
            for line in lines(of: glob.text) { add(line) }
        }
    }

    /// The lines "NAME" and "NAME [MODULE]" of one name.
    private func lines(of name: String) -> [ArraySlice<UInt8>] {
        let wanted = [UInt8(ascii: "\n")] + Array(name.utf8)
        var found: [ArraySlice<UInt8>] = []
        bytes.withUnsafeBytes { bytes in
            var start = 0
            while let base = bytes.baseAddress, start < bytes.count {
                let place = clinux_find(base + start, bytes.count - start, wanted, wanted.count)
                guard place >= 0 else { break }
                let first = start + place + 1
                let end = bytes[first...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
                let next = first + wanted.count - 1
                if next == end || bytes[next] == UInt8(ascii: " ") { found.append(self.bytes[first..<end]) }
                start = next
            }
        }
        return found
    }

    private mutating func add(_ line: ArraySlice<UInt8>) {
        let parts = line.split(separator: UInt8(ascii: " "))
        guard let name = parts.first else { return }
        let module = parts.count > 1 ? String(decoding: parts[1].dropFirst().dropLast(), as: UTF8.self) : "kernel"
        counts[Place(name: String(decoding: name, as: UTF8.self), module: module), default: 0] += 1
    }

    /// How many functions the name stands for; nil where that cannot be known.
    func count(_ name: String, _ module: String) -> Int? {
        bytes.isEmpty ? nil : counts[Place(name: name, module: module)] ?? 0
    }

    /// All names that are known, once a pattern was asked for.
    var names: [String] { counts.keys.map(\.name) }

    /// The functions of vmlinux and of modules that a pattern matches and that are the only ones of their name.
    func unique(matching glob: Glob) -> [String] {
        var total: [String: Int] = [:]
        for (place, count) in counts where glob.matches(place.name) { total[place.name, default: 0] += count }
        return total.filter { $0.value == 1 }.keys.sorted()
    }

    /// How many functions of that name there are, of vmlinux and of modules.
    func places(of name: String) -> Int { counts.reduce(0) { $0 + ($1.key.name == name ? $1.value : 0) } }

    /// Whether the file can be read.
    var isKnown: Bool { !bytes.isEmpty }
}
