import CLinux
import Engine
import Glibc
import LinuxProcess

/// The kernel's `trace_pipe`, of which the lines of `bpf_printk` are taken where a program cannot print into a ring.
///
/// All programs of the machine write there. The lines of ours cannot be told from those of others; what was there
/// before the session is thrown away, and what other tracers write is left out.
final class TracePipe: KernelSource, @unchecked Sendable {
    let name = "trace_pipe"
    private let file: FileDescriptor
    private var rest: [UInt8]
    /// A text with a newline inside goes on in the next line of the file.
    private var isInside: Bool

    init() throws(EngineError) {
        file = try Self.open()
        rest = []
        isInside = false
        // Others may go on printing meanwhile.
        var rounds = 0
        while rounds < 1000, !readBytes().isEmpty { rounds += 1 }
    }

    var descriptors: [Int32] { [file.rawValue] }

    private static func open() throws(EngineError) -> FileDescriptor {
        guard let path = TraceFiles.path("trace_pipe") else {
            throw .kernel(
                doing: "read what programs print", because: TraceFiles.problem)
        }
        do throws(ProcessError) {
            return try FileDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK)
        } catch {
            throw .kernel(doing: "read what programs print", because: "\(error)")
        }
    }

    private func readBytes() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = buffer.withUnsafeMutableBytes { Glibc.read(file.rawValue, $0.baseAddress, $0.count) }
        return count > 0 ? Array(buffer[..<count]) : []
    }

    /// What was printed since the last time.
    func read(_ limit: Int) -> EventBatch {
        var events: [EngineEvent] = []
        while true {
            let bytes = readBytes()
            if bytes.isEmpty { return EventBatch(events) }
            rest += bytes
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: rest[..<end], as: UTF8.self)
                rest.removeSubrange(...end)
                if let event = event(line) { events.append(event) }
            }
        }
    }

    private func event(_ line: String) -> EngineEvent? {
        // "            ping-123     [000] b..21   12.345678: bpf_trace_printk: text"
        let parts = line.split(separator: " ", omittingEmptySubsequences: true)
        if let head = Head(parts) {
            isInside = head.isPrint
            guard head.isPrint, let start = line[...].range(of: "bpf_trace_printk: ") else { return nil }
            return .print(
                time: head.time, processID: head.thread, threadID: head.thread,
                text: String(line[start.upperBound...]) + "\n")
        }
        // The newline that a text ends with makes an empty line.
        guard isInside, !line.isEmpty else { return nil }
        return .print(time: 0, processID: 0, threadID: 0, text: line + "\n")
    }

    /// What stands before the text.
    private struct Head {
        let thread: Int32
        let time: UInt64
        let isPrint: Bool

        init?(_ parts: [Substring]) {
            // A command's name may hold spaces: the CPU in brackets is the place to go by.
            guard let cpu = parts.firstIndex(where: { $0.hasPrefix("[") && $0.hasSuffix("]") && $0.dropFirst().dropLast().allSatisfy(\.isNumber) }),
                cpu > 0, parts.count > cpu + 3, parts[cpu + 2].hasSuffix(":"),
                let dash = parts[cpu - 1].lastIndex(of: "-"),
                let thread = Int32(parts[cpu - 1][parts[cpu - 1].index(after: dash)...])
            else { return nil }
            let clock = parts[cpu + 2].dropLast().split(separator: ".")
            guard clock.count == 2, let seconds = UInt64(clock[0]), let micro = UInt64(clock[1]) else { return nil }
            self.thread = thread
            time = seconds &* 1_000_000_000 &+ micro &* 1000
            isPrint = parts[cpu + 3] == "bpf_trace_printk:"
        }
    }
}
