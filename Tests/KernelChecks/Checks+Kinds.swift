import FSession
import Glibc
import KernelEngine

/// What probes of files are attached to.
@_silgen_name("probed_function")
@inline(never)
public func probedFunction(_ number: Int) -> Int { getpid() > 0 ? number + 1 : 0 }

extension Check {
    /// Programs of other sections than those at functions.
    static let kinds = [
        Check("kprobe, kretprobe and ksyscall programs run, with their attach cookie") {
            let bed = try await Bed("kinds")
            try await bed.attach("at_kprobe", cookie: 42)
            try await bed.attach("at_kretprobe")
            try await bed.attach("at_offset")
            let link = try await bed.attach("at_ksyscall")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["kprobes": 3, "kretprobes": 3, "returned": 5, "offsets": 3, "cookie_seen": 42])
            _ = getppid()
            guard try bed.number("ksyscalls") > 0 else { throw Failure("no system call was seen") }
            try await bed.session.remove(link)
            try await bed.end()
        },
        Check("one link of kprobe.multi is at many functions, where the kernel was built with it") {
            let bed = try await Bed("kinds")
            guard try await bed.attaches("at_multi_return", else: "CONFIG_FPROBE") else { return }
            let links = try await bed.session.attach("at_multi", cookie: 7).links
            guard links.count == 4, Set(links.map(\.id)).count == 1 else { throw Failure("\(links.count) functions") }
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["multis": 12, "multi_returns": 12, "multi_cookie": 7])
            try await bed.end()
        },
        Check("kprobe.session runs at both ends, or the kernel that has it is named") {
            let bed = try await Bed("kinds")
            guard try await bed.attaches("at_kprobe_session", else: "Linux 6.10") else { return }
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["session_entries": 12, "session_exits": 12])
            try await bed.end()
        },
        Check("uprobe and uretprobe programs run in every process that has the file") {
            let bed = try await Bed("kinds")
            try await bed.attach("at_uprobe")
            try await bed.attach("at_uretprobe")
            for number in 0..<5 { _ = probedFunction(number) }
            try bed.expect(["uprobes": 5, "uretprobes": 5])
            try await bed.end()
        },
        Check("uprobe.multi and uprobe.session, or the kernels that have them are named") {
            let bed = try await Bed("kinds")
            let isMulti = try await bed.attaches("at_umulti", else: "Linux 6.6", ends: false)
            let isSession = try await bed.attaches("at_uprobe_session", else: "Linux 6.13", ends: false)
            for number in 0..<5 { _ = probedFunction(number) }
            try bed.expect([
                "umultis": isMulti ? 5 : 0, "usession_entries": isSession ? 5 : 0, "usession_exits": isSession ? 5 : 0,
            ])
            try await bed.end()
        },
        Check("tracepoint, raw_tp and tp_btf programs see the same events") {
            let bed = try await Bed("kinds")
            for program in ["at_tracepoint", "at_raw", "at_typed"] { try await bed.attach(program) }
            for _ in 0..<100 { _ = getppid() }
            for counter in ["tracepoints", "raws", "typed"] {
                let count = try bed.number(counter)
                guard count >= 100 else { throw Failure("\(counter): \(count)") }
            }
            try await bed.end()
        },
        Check("an lsm program runs at its hook where BPF is an active security module; else it says what to boot with") {
            let bed = try await Bed("kinds")
            guard try await bed.attaches("at_hook", else: "boot with lsm=") else { return }
            for _ in 0..<3 { close(open("/proc/self/status", O_RDONLY)) }
            guard try bed.number("hooks") >= 3 else { throw Failure("\(try bed.number("hooks")) files opened") }
            try await bed.end()
        },
        Check("an iterator's text is read and becomes an event") {
            let bed = try await Bed("kinds")
            try await bed.attach("at_iterator")
            async let summary = bed.session.detach()
            var text = ""
            for await event in bed.session.events {
                if let print = event.print { text += print.text }
            }
            _ = try await summary
            guard text.contains("task \(getpid())\n") else { throw Failure("our process is not in '\(text.prefix(200))'") }
            try bed.expect("lines", UInt64(text.split(separator: "\n").count), try bed.number("listed"))
        },
        Check("a perf_event program runs at the samples of all CPUs") {
            let bed = try await Bed("kinds")
            try await bed.attach("at_sample")
            // 99 a second of a CPU that is busy.
            let start = ContinuousClock.now
            while try bed.number("samples") < 20, ContinuousClock.now - start < .seconds(300) {}
            guard try bed.number("samples") >= 20 else { throw Failure("\(try bed.number("samples")) samples") }
            try await bed.end()
        },
        Check("what programs of other sections cannot be attached to is said in one line") {
            let bed = try await Bed("kinds")
            for (program, piece) in [
                ("at_unknown", "no function matches 'no_such_function_here'"), ("at_half", "no instruction starts at that offset"),
                ("at_misspelt", "did you mean 'sched/sched_switch'"),
                ("at_misspelt_typed", "did you mean 'sched_switch'"), ("at_misspelt_hook", "did you mean 'file_open'"),
                ("at_nowhere", "does not say what to attach it to"),
            ] {
                let complaint = try await bed.complaint(program)
                guard complaint.contains(piece), !complaint.contains("\n") else { throw Failure("\(program): \(complaint)") }
            }
            try await bed.end()
        },
    ]
}

extension Bed {
    /// Attaches a program of a kind that not every kernel has; false where `reason` is given, as it must be then.
    func attaches(_ program: String, else reason: String, ends: Bool = true) async throws -> Bool {
        do throws(SessionError) {
            try await session.attach(program)
            return true
        } catch {
            guard error.description.contains(reason) else { throw error }
            if ends { try await end() }
            return false
        }
    }
}
