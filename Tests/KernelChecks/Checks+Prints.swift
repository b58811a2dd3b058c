import FSession
import Glibc
import KernelEngine

extension Check {
    /// What programs print, and functions of the kernel that they call.
    static let prints = [
        Check("bpf_printk: every line comes through, word for word, with its process and thread, and what it returns") {
            let bed = try await Bed("prints")
            try await bed.attach("prints")
            try await bed.attach("prints_elsewhere")
            let calls = try Calls(.fentry)
            for _ in 0..<2 { try calls.run() }
            try bed.expect(["length": 8, "vlength": 15])
            let lines = try await prints(bed)
            let once = [
                "no value\n", "one: 1\n", "three: 2 feee text\n", "five: 1 2 3 4 5\n", "two\nlines\n", "not more: 3\n", "round 0\n",
                "round 1\n",
            ]
            try bed.expect("the lines", once + once, lines.map(\.text))
            guard lines.allSatisfy({ $0.processID == ProcessID(getpid()) && $0.time > 0 }) else { throw Failure("\(lines)") }
            guard zip(lines, lines.dropFirst()).allSatisfy({ $0.time <= $1.time }) else { throw Failure("not in order: \(lines)") }
        },
        Check("a format on the stack is printed, too, by way of trace_pipe") {
            let bed = try await Bed("prints")
            try await bed.attach("prints_from_stack")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            var (lines, warnings): ([String], [String]) = ([], [])
            async let summary = bed.session.detach()
            for await event in bed.session.events {
                if let line = event.print { lines.append(line.text) }
                if let text = event.warning { warnings.append(text) }
            }
            _ = try await summary
            try bed.expect("the lines", Array(repeating: "from the stack: 4\n", count: 3), lines.filter { $0.hasPrefix("from") })
            guard warnings.count == 1, warnings[0].contains("trace_pipe") else { throw Failure("\(warnings)") }
        },
        Check("lines that find no room are counted: lines and drops are what was printed") {
            let bed = try await Bed("prints")
            try await bed.attach("prints_much")
            try Calls(.fentry).run()
            async let summary = bed.session.detach()
            var lines: UInt64 = 0
            for await event in bed.session.events { if event.print != nil { lines += 1 } }
            let lost = try await summary.drops.reduce(0) { $0 + $1.count }
            guard lines + lost == 8000, lines > 0 else { throw Failure("\(lines) lines, \(lost) lost") }
            say("   \(lines) lines, \(lost) lost")
        },
        Check("what came with later kernels is what this one has not") {
            guard let running = KernelVersion.running else { throw Failure("what Linux is this?") }
            let (wrong, count) = try KernelHistory.contradictions(of: running)
            guard wrong.isEmpty, count > 100 else { throw Failure("\(wrong) of \(count)") }
        },
        Check("a weak function of a module is there once the module is loaded") {
            for isLoaded in [false, true] {
                if isLoaded { try Shell.run("insmod /modules/tcp_bbr.ko") }
                let bed = try await Bed("weak_kfunc")
                try await bed.attach("asks_for_kfunc")
                try Calls(.fentry).run()
                try bed.expect(["is_there": isLoaded ? 1 : 2])
                try await bed.end()
            }
            try Shell.run("rmmod tcp_bbr")
        },
    ]

    /// All that a session printed; it ends with that.
    private static func prints(_ bed: Bed) async throws -> [Session.Print] {
        async let summary = bed.session.detach()
        var lines: [Session.Print] = []
        for await event in bed.session.events { if let line = event.print { lines.append(line) } }
        _ = try await summary
        return lines
    }
}
