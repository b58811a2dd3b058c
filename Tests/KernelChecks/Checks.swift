import FSession
import Glibc
import KernelEngine

/// A line of what a session means in the kernel, and how to see that it is so. The same on every kernel, whether
/// sessions are its own or split.
struct Check: Sendable {
    let name: String
    let run: @Sendable () async throws -> Void

    init(_ name: String, _ run: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.run = run
    }

    /// What a session means: the same in the kernel and in a process.
    static let meaning = context + cookies + order + limits + running
    static let all = meaning + links + relocations + tracing + kinds + many + maps + prints

    // MARK: Entry and exit

    static let context = [
        Check("ctx holds the arguments, then the return value, which reads 0 at entry") {
            let bed = try await Bed("context")
            let calls = try Calls(.fentry)
            try calls.run()
            let link = try await bed.attach("context")
            try await bed.attach("called")
            for _ in 0..<10 { try calls.run() }
            try bed.expect(["entries": 10, "exits": 10, "read_at_entry": 0, "read_at_exit": 5])
            try bed.expect("at_entry", [2, 3, 0], try bed.numbers("at_entry"))
            try bed.expect("at_exit", [2, 3, 5], try bed.numbers("at_exit"))
            try await bed.session.remove(link)
            try calls.run()
            try bed.expect(["entries": 10, "exits": 10])
            try await bed.end()
        },
        Check("fentry, fexit and session programs return 0; the verifier proves it") {
            for program in ["answers_fentry", "answers_fexit", "answers_session", "answers_with_cookie"] {
                let complaint = try await Bed.refusal(of: program, in: "answers")
                guard complaint.contains("R0"), complaint.contains("answers.bpf.c:") else {
                    throw Failure("no reason with a source line: \(complaint)")
                }
            }
        },
        Check("variables that are set before loading are what the verifier and the program see") {
            var object = try BPFObject(contentsOf: "constants.bpf.o")
            try object.set("steps", to: 4)
            try object.set("text", to: "abc")
            try object.set("rounds", to: 100)
            let bed = try await Bed(object)
            try await bed.attach("constants")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["rounds": 112, "seen": 0x636261])
            try await bed.end()
        },
        Check("bpf_get_func_ip, _arg, _arg_cnt, _ret and bpf_get_attach_cookie work at both ends") {
            let bed = try await Bed("helpers")
            try await bed.attach("asks", cookie: 0x1_0000_0007)
            let calls = try Calls(.fentry)
            for _ in 0..<2 { try calls.run() }
            let address = try await bed.session.functions(matching: Ground.current.pattern("bpf_fentry_test2")).first?.address ?? 0
            let invalid = UInt64(bitPattern: -22)
            // The address may be that of the symbol, or behind its endbr64.
            for (variable, result) in [("at_entry", UInt64(0)), ("at_exit", 5)] {
                let answers = try bed.numbers(variable)
                guard address != 0, answers[0] &- address <= 4 else { throw Failure("\(variable): the address is \(answers[0])") }
                try bed.expect(variable, [2, 2, 3, invalid, 0, result, 0x1_0000_0007], Array(answers.dropFirst()))
            }
            try await bed.end()
        },
    ]

    // MARK: Links

    static let links = [
        Check("a session is one link natively and two where it is split") {
            let bed = try await Bed("context")
            try await bed.attach("context")
            let types = try KernelLinks.tracing().sorted()
            let expected: [UInt32] = KernelEngine.hasNativeSessions ? [58] : [24, 25]
            try bed.expect("the links' types", expected, types)
            try await bed.end()
        }
    ]

    // MARK: Cookies

    static let cookies = [
        Check("a cookie is private to one program and one call, zero at entry: on all CPUs at once") {
            let bed = try await Bed("cookies")
            for program in ["first", "plain", "second"] { try await bed.attach(program) }
            let calls = try Calls(.fentry)
            try await onCPUs(2) { _ in for _ in 0..<1000 { try calls.run() } }
            try bed.expect([
                "entries": 4000, "exits": 4000, "plain_entries": 2000, "plain_exits": 2000, "not_zero": 0, "wrong": 0,
            ])
            try await bed.end()
        }
    ]

    // MARK: Order and fmod_ret

    static let order = [
        Check("a new node goes to the head of its list: entries, function, exits") {
            let bed = try await Bed("order")
            for program in ["fentry_a", "session_a", "fexit_a", "fentry_b", "session_b", "fexit_b"] {
                try await bed.attach(program, to: Ground.current.pattern("bpf_fentry_test2"))
            }
            try Calls(.fentry).run()
            try bed.expect("steps", [20, 2, 10, 1, 4, 21, 3, 11], try bed.steps())
            try bed.expect(["returned": 5])
            try await bed.end()
        },
        Check("fmod_ret: non-zero skips the function, becomes its return value, the exits still run") {
            let bed = try await Bed("order")
            guard try await modifies(bed) else { return }
            let calls = try Calls(.modifyReturn)
            let plain = try calls.run()
            for program in ["fentry_a", "session_a", "fexit_a", "modify_a", "fentry_b", "session_b", "modify_b", "fexit_b"] {
                try await bed.attach(program)
            }
            try bed.expect("the result", plain, try calls.run())
            try bed.expect("steps", [20, 2, 10, 1, 6, 5, 4, 21, 3, 11], try bed.steps())
            try bed.expect(["returned": 4])
            guard let answers = bed.session.variable(named: "answers") else { throw Failure("no variable answers") }
            try answers.set([1, 0, 0, 0, 0, 0, 0, 0])
            let changed = try calls.run()
            // modify_b is at the head: the first that is not zero decides, and modify_a does not run.
            try bed.expect("the return value", 6000 + plain & 0xffff - 4, changed & 0xffff)
            try bed.expect("the functions that ran", plain >> 16 - 1, changed >> 16)
            try bed.expect(["returned": 6000])
            try bed.expect("steps", [20, 2, 10, 1, 6, 4, 21, 3, 11], Array(try bed.steps().dropFirst(10)))
            try await bed.end()
        },
    ]

    /// Whether this kernel lets programs modify return values; where not, that it says so and nothing is attached.
    private static func modifies(_ bed: Bed) async throws -> Bool {
        do {
            _ = try Calls(.modifyReturn)
            return true
        } catch {
            let complaint = try await bed.complaint("modify_a")
            guard complaint.contains("not modifiable"), complaint.contains("modify_a") else { throw Failure(complaint) }
            try await bed.end()
            return false
        }
    }

    // MARK: Limits

    static let limits = [
        Check("at most 38 nodes, a session counts as two; one more is E2BIG and leaves nothing behind") {
            let bed = try await Bed("nodes")
            let names = ["a", "b", "c", "d"].flatMap { letter in (0..<5).map { "\(letter)\($0)" } }
            var attached: UInt64 = 0
            var complaint = ""
            for name in names {
                do throws(SessionError) {
                    try await bed.session.attach(name)
                    attached += 1
                } catch {
                    complaint = error.description
                    break
                }
            }
            // The code of all must fit into a page, which the nodes of native sessions fill sooner.
            guard complaint.contains("E2BIG"), complaint.contains("38"), attached <= 19,
                attached == 19 || Ground.current.hasNativeSessions && attached >= 16
            else { throw Failure("\(attached) sessions, then: \(complaint)") }
            if let count = try Ground.current.linkCount() {
                try bed.expect("links", Int(attached) * (KernelEngine.hasNativeSessions ? 1 : 2), count)
            }
            try Calls(.fentry).run()
            try bed.expect(["entries": attached, "exits": attached, "singles": 0])
            try await bed.end()
        },
        Check("the same program twice on one function is EBUSY; on another function it is not") {
            let bed = try await Bed("cookies")
            let link = try await bed.attach("first")
            let complaint = try await bed.complaint("first")
            guard complaint.contains("EBUSY") else { throw Failure(complaint) }
            try await bed.attach("first", to: Ground.current.pattern("bpf_fentry_test4"))
            let calls = try Calls(.fentry)
            try calls.run()
            try bed.expect(["entries": 2, "exits": 2, "not_zero": 0, "wrong": 0])
            // Detached, it can come back.
            try await bed.session.remove(link)
            try calls.run()
            try bed.expect(["entries": 3, "exits": 3])
            try await bed.attach("first")
            try calls.run()
            try bed.expect(["entries": 5, "exits": 5, "not_zero": 0, "wrong": 0])
            try await bed.end()
        },
        Check("functions that do not return take entry programs only") {
            let bed = try await Bed("sleep")
            let complaint = try await bed.complaint("session_exit")
            guard complaint.contains("never returns"), complaint.contains("fentry") else { throw Failure(complaint) }
            try await bed.attach("enters_exit")
            try await bed.end()
        },
    ]

    // MARK: Calls that are running

    static let running = [
        Check("programs come and go while calls are inside: never the cookie of another call") {
            let bed = try await Bed("sleep")
            try await Ground.current.whileSleeping(threads: 6) {
                for _ in 0..<6 {
                    let first = try await bed.attach("first")
                    usleep(20_000)
                    let second = try await bed.attach("second")
                    usleep(20_000)
                    try await bed.session.remove(first)
                    usleep(20_000)
                    try await bed.session.remove(second)
                }
            }
            try bed.expect(["not_zero": 0, "wrong": 0])
            let (entries, exits) = (try bed.number("entries"), try bed.number("exits"))
            let skipped = try bed.number("skipped")
            guard exits > 0, exits <= entries + skipped else {
                throw Failure("\(entries) entries, \(exits) exits, \(skipped) of them alone")
            }
            try await bed.end()
        },
        Check("a sleepable session runs at both ends, or is refused by a kernel that has no place for it") {
            let bed = try await Bed("sleep")
            do {
                try await bed.attach("sleepable")
            } catch let error as SessionError {
                // A kernel built without error injection allows sleepable programs at none of its functions.
                guard error.description.contains("bpf_fentry_test1 is not sleepable") else { throw error }
                return try await bed.end()
            }
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect(["sleepable_entries": 3, "sleepable_exits": 3])
            try await bed.end()
        },
    ]

    // MARK: Relocations

    static let relocations = [
        Check("CO-RE relocations and weak symbols mean what this kernel has") {
            let bed = try await Bed("core")
            try await bed.attach("relocated")
            try Calls(.fentry).run()
            try bed.expect([
                "pid_wrong": 0, "member_exists": 1, "other_exists": 0, "struct_exists": 1, "missing_exists": 0,
                "array_type": 2, "missing_type": 0, "list_size": 16, "matches": 1, "mismatches": 0, "bit": 0, "weak_function": 0, "weak_variable": 0,
            ])
            guard try bed.number("address") >> 47 == 0x1ffff else { throw Failure("init_task is nowhere") }
            // A bit-field of ours that can be changed: SCHED_OTHER with SCHED_RESET_ON_FORK.
            var parameters = sched_param()
            guard sched_setscheduler(0, 0x4000_0000, &parameters) == 0 else { throw Failure("the scheduler cannot be set") }
            try Calls(.fentry).run()
            try bed.expect(["bit": 1])
            sched_setscheduler(0, 0, &parameters)
            try await bed.end()
        }
    ]

    // MARK: Tracing

    static let tracing = [
        Check("under load, events and drops together are the calls, exactly") {
            let (numbers, events) = try await traceLoad { body in try await onCPUs(2) { _ in try body(4000) } }
            let drops = numbers.drops.reduce(0) { $0 + $1.count }
            guard numbers.calls == 16_000, events + drops == 16_000, numbers.missed == 0 else {
                throw Failure("\(numbers.calls) calls, \(events) events, \(drops) drops, \(numbers.missed) missed")
            }
        },
        Check("runs that the kernel skipped are counted: entries, exits and skipped ones are two for each call") {
            let (numbers, events) = try await traceLoad { body in try await onThreads(8) { _ in try body(1000) } }
            let drops = numbers.drops.reduce(0) { $0 + $1.count }
            let returned = numbers.counts.reduce(0) { $0 + ($1.returned ?? 0) }
            guard numbers.calls + returned + numbers.missed == 32_000, events + drops == returned else {
                throw Failure(
                    "\(numbers.calls) entries, \(returned) exits, \(events) events, \(drops) drops, \(numbers.missed) missed")
            }
        },
    ]

    /// Traces two of the test functions while `load` calls its argument on several threads; what was counted, and
    /// the events that came.
    private static func traceLoad(
        _ load: (@escaping @Sendable (Int) throws -> Void) async throws -> Void
    ) async throws -> (Session.Summary, UInt64) {
        let session = try await Session(.kernel)
        let attachment = try await session.trace(["kernel:bpf_fentry_test[12]"])
        guard attachment.links.count == 2 else { throw Failure("\(attachment.links.count) links") }
        let calls = try Calls(.fentry)
        try await load { for _ in 0..<$0 { try calls.run() } }
        async let summary = session.detach()
        var events: UInt64 = 0
        for await event in session.events {
            guard let call = event.call else { continue }
            events += 1
            let sum = call.arguments.reduce(0) { $0 + $1 & 0xffff_ffff }
            let expected = call.function.name == "bpf_fentry_test1" ? (UInt64(1), UInt64(2)) : (5, 5)
            guard sum == expected.0, call.returnValue.map({ $0 & 0xffff_ffff }) == expected.1, call.start != 0 else {
                throw Failure("\(call.function.name)(\(call.arguments)) = \(call.returnValue ?? 0)")
            }
        }
        return (try await summary, events)
    }
}
