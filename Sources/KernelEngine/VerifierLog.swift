import BPF
import LinuxBPF

/// What matters of the kernel's verifier's log: its last complaint, and the source line that it is about.
enum VerifierLog {
    /// One line: what the verifier says, or else what the error number means.
    static func reason(_ log: String, _ error: Errno, of program: ObjectProgram) -> String {
        let lines = log.split(separator: "\n").map(String.init)
        let said = lines.filter { !isStatistics($0) && !isState($0) && !isSource($0) }
        guard let complaint = said.last else { return "the kernel says: \(KernelAdvice.text(error))" }
        var text = "the kernel's verifier says: \(complaint)"
        if let advice = advice(complaint) { text += " (\(advice))" }
        // What the split of a session put around the program is not its author's matter.
        let sources = lines.filter(isSource).map(code).filter { $0 != SessionSplit.line }
        if let source = sources.last {
            let line = program.lines.first { trimmed($0.text) == source }
            text += " at: " + (line.map { "\(name(of: $0.file)):\($0.line) " } ?? "") + "'\(source)'"
        }
        return text
    }

    /// "; return *cookie; @ prog.bpf.c:12", without the place on older kernels: the line itself.
    private static func code(_ line: String) -> String {
        let text = line[...].drop { $0 == ";" || $0 == " " || $0 == "\t" }
        var end = text.endIndex
        var rest = text
        while let at = rest.range(of: " @ ") {
            end = at.lowerBound
            rest = rest[at.upperBound...]
        }
        return trimmed(String(text[..<end]))
    }

    private static func trimmed(_ text: String) -> String {
        var part = text[...].drop { $0 == " " || $0 == "\t" || $0 == ";" }
        while let last = part.last, last == " " || last == "\t" { part.removeLast() }
        return String(part)
    }

    private static func name(of path: String) -> Substring { path.split(separator: "/").last ?? path[...] }

    /// "processed 12 insns (limit …", the numbers behind it, and marks between states.
    private static func isStatistics(_ line: String) -> Bool {
        [
            "processed ", "verification time", "stack depth", "mark_precise", "from ", "last_idx", "regs=", "parent ", "reg type unsupported",
            "Func#", "func#", "Validating ", "caller:", "callee:", "returning from", "to caller",
        ].contains { line.hasPrefix($0) }
    }

    /// "12: (79) r1 = *(u64 *)(r6 +8)   ; R1_w=scalar()" and "12: R1=ctx()"
    private static func isState(_ line: String) -> Bool {
        guard let colon = line.firstIndex(of: ":") else { return false }
        return colon > line.startIndex && line[..<colon].allSatisfy(\.isNumber)
    }

    /// "; return *cookie; @ prog.bpf.c:12"
    private static func isSource(_ line: String) -> Bool { line.hasPrefix(";") }

    private static func advice(_ complaint: String) -> String? {
        if complaint.contains("invalid func") || complaint.contains("unknown func") {
            // "unknown func bpf_user_ringbuf_drain#209"
            guard let mark = complaint.lastIndex(of: "#"), let number = UInt32(complaint[mark...].dropFirst().prefix { $0.isNumber }) else {
                return "this kernel does not have that helper"
            }
            return KernelHistory.advice(onHelper: number)
        }
        if complaint.contains("program of this type cannot use helper") {
            return "programs of this kind do not have that helper"
        }
        if complaint.contains("calling kernel function") { return "programs of this kind do not have that kfunc" }
        return nil
    }
}

extension Substring {
    /// The first place of a piece of text.
    func range(of piece: String) -> Range<Substring.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(piece) { return start..<index(start, offsetBy: piece.count) }
            start = index(after: start)
        }
        return nil
    }
}
