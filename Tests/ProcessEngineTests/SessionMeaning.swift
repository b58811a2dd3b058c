import FSession
import Testing

/// The section "The meaning of a session" of the design, a case for each thing that it says.
enum SessionMeaning {
    static let all: [Meaning] = context + cookies + order + limits + relinking + noReturn + helpers

    // MARK: ctx

    static let context: [Meaning] = [
        Meaning("ctx: the arguments, then the return value, which reads 0 at entry", object: "context") { bed in
            try await bed.attach("context")
            let answer = try bed.call("add 40 2")
            #expect(answer == "42")
            #expect(try bed.numbers("at_entry") == [40, 2, 0])
            #expect(try bed.numbers("at_exit") == [40, 2, 42])
            let negative = try bed.call("add -50 8")
            #expect(negative == "-42")
            #expect(try bed.numbers("at_entry") == [UInt64(bitPattern: -50), 8, 0])
            #expect(try bed.numbers("at_exit")[2] == UInt64(bitPattern: -42))
        },
        Meaning("ctx[-1]: arguments in bits 0–7, cookie index in bits 8–15, bit 63 at exit", object: "context") { bed in
            try await bed.attach("context")
            _ = try bed.call("add 1 2")
            let entry = try bed.number("metadata_at_entry")
            let exit = try bed.number("metadata_at_exit")
            #expect(entry & 0xff == 2)
            #expect(entry >> 8 & 0xff == (try bed.number("cookie_distance")))
            #expect(entry >> 8 & 0xff > 0)
            #expect(entry >> 16 == 0)
            #expect(exit == entry | 1 << 63)
        },
        Meaning("ctx: arguments from the stack, narrow ones, and none at all", object: "context") { bed in
            try await bed.attach("context_many")
            try await bed.attach("context_nothing")
            #expect(try bed.call("many") == "20")
            let values = try bed.numbers("many_at_exit")
            #expect(try bed.number("many_metadata") & 0xff == 8)
            #expect(values[0] == 1)
            #expect(Int32(truncatingIfNeeded: values[1]) == -2)
            #expect(UInt8(truncatingIfNeeded: values[2]) == 3)
            #expect(values[4] == 5)
            #expect(Int16(truncatingIfNeeded: values[5]) == -6)
            #expect(Array(values[6...]) == [7, 8, 20])
            #expect(try bed.call("nothing") == "done")
            #expect(try bed.number("nothing_metadata") & 0xff == 0)
            #expect(try bed.number("nothing_return") == 0)
        },
        Meaning("entry and exit run once per call", object: "context") { bed in
            try await bed.attach("context")
            for i in 1...100 {
                #expect(try bed.call("add \(i) 1") == "\(i + 1)")
                #expect(try bed.number("entries") == UInt64(i))
                #expect(try bed.number("exits") == UInt64(i))
            }
            // Neither runs for another function.
            #expect(try bed.call("other 3 1") == "2")
            #expect(try bed.number("entries") == 100)
            #expect(try bed.call("executed") == "101")
        },
    ]

    // MARK: Cookies

    static let cookies: [Meaning] = [
        Meaning("a cookie is private to one program and one call, zero at entry: recursion", object: "cookies") { bed in
            for program in ["first", "plain", "second"] { try await bed.attach(program) }
            #expect(try bed.call("down 200") == "20100")
            try checkCookies(bed, calls: 201)
            #expect(try bed.call("down 3") == "6")
            try checkCookies(bed, calls: 205)
        },
        Meaning("a cookie is private to one program and one call, zero at entry: 8 threads", object: "cookies") { bed in
            for program in ["first", "plain", "second"] { try await bed.attach(program) }
            #expect(try bed.call("threads 8 2000") == "0 wrong")
            let calls = (0..<8).reduce(0) { sum, thread in sum + (0..<2000).reduce(0) { $0 + (thread + $1) % 7 + 1 } }
            try checkCookies(bed, calls: calls)
        },
    ]

    private static func checkCookies(_ bed: MeaningBed, calls: Int) throws {
        #expect(try bed.number("entries") == UInt64(2 * calls))
        #expect(try bed.number("exits") == UInt64(2 * calls))
        #expect(try bed.number("plain_entries") == UInt64(calls))
        #expect(try bed.number("plain_exits") == UInt64(calls))
        #expect(try bed.number("not_zero") == 0)
        #expect(try bed.number("wrong") == 0)
    }

    // MARK: Order and fmod_ret

    static let order: [Meaning] = [
        Meaning("a new node goes to the head of its list: entries, fmod_ret, function, exits", object: "order") { bed in
            for program in [
                "fentry_a", "session_a", "fexit_a", "modify_a", "fentry_b", "session_b", "modify_b", "fexit_b",
            ] { try await bed.attach(program) }
            #expect(try bed.call("add 20 22") == "42")
            #expect(try bed.steps() == [20, 2, 10, 1, 6, 5, 4, 21, 3, 11])
            #expect(try bed.number("returned") == 42)
        },
        Meaning("each new link shows in the next call, in any order of linking", object: "order") { bed in
            let additions: [(program: String, steps: [Int])] = [
                ("fexit_b", [4]), ("session_b", [20, 21, 4]), ("fentry_b", [2, 20, 21, 4]),
                ("fexit_a", [2, 20, 3, 21, 4]), ("session_a", [10, 2, 20, 11, 3, 21, 4]),
                ("modify_a", [10, 2, 20, 5, 11, 3, 21, 4]), ("fentry_a", [1, 10, 2, 20, 5, 11, 3, 21, 4]),
            ]
            var seen = 0
            for addition in additions {
                try await bed.attach(addition.program)
                #expect(try bed.call("add 1 1") == "2")
                #expect(try bed.steps(after: seen) == addition.steps)
                seen += addition.steps.count
            }
        },
        Meaning("fmod_ret: non-zero skips the function, becomes its return value, the exits still run", object: "order") {
            bed in
            for program in ["session_a", "modify_a", "fexit_a", "modify_b"] { try await bed.attach(program) }
            #expect(try bed.call("add 12 1") == "13")
            #expect(try bed.steps() == [10, 6, 5, 3, 11])
            #expect(try bed.call("executed") == "1")
            // modify_b is at the head: the first that is not zero decides, and modify_a does not run.
            #expect(try bed.call("add 13 1") == "6000")
            #expect(try bed.steps(after: 5) == [10, 6, 3, 11])
            #expect(try bed.number("returned") == 6000)
            #expect(try bed.call("executed") == "1")
            #expect(try bed.call("add 14 1") == "15")
            #expect(try bed.call("executed") == "2")
        },
        Meaning("fmod_ret alone skips the function as well", object: "order") { bed in
            let link = try await bed.attach("modify_a")
            #expect(try bed.call("add 13 1") == "5000")
            #expect(try bed.call("add 1 13") == "14")
            #expect(try bed.call("executed") == "1")
            try await bed.session.remove(link)
            #expect(try bed.call("add 13 1") == "14")
        },
    ]

    // MARK: Limits

    static let limits: [Meaning] = [
        Meaning("38 nodes, a session counts as two: 19 sessions run, the 20th is E2BIG", object: "nodes") { bed in
            let names = ["a", "b", "c", "d"].flatMap { letter in (0..<5).map { "\(letter)\($0)" } }
            for name in names.dropLast() { try await bed.attach(name) }
            for refused in ["d4", "entry0", "exit0", "modify0"] {
                let complaint = await bed.session.complaint(refused)
                #expect(complaint.contains("E2BIG") && complaint.contains("38"), "\(complaint)")
            }
            #expect(try bed.call("add 40 2") == "42")
            #expect(try bed.number("entries") == 19)
            #expect(try bed.number("exits") == 19)
            #expect(try bed.number("singles") == 0)
        },
        Meaning("the 38th node may be a single one; a session needs two places", object: "nodes") { bed in
            let names = ["a", "b", "c", "d"].flatMap { letter in (0..<5).map { "\(letter)\($0)" } }
            for name in names.prefix(18) { try await bed.attach(name) }
            let link = try await bed.attach("entry0")
            let complaint = await bed.session.complaint("d3")
            #expect(complaint.contains("E2BIG") && complaint.contains("37"), "\(complaint)")
            try await bed.attach("exit0")
            #expect(await bed.session.complaint("modify0").contains("E2BIG"))
            #expect(try bed.call("add 40 2") == "42")
            #expect(try bed.number("entries") == 18)
            #expect(try bed.number("singles") == 2)
            // A node that goes makes room again.
            try await bed.session.remove(link)
            try await bed.attach("modify0")
            #expect(try bed.call("add 40 2") == "42")
            #expect(try bed.number("singles") == 4)
        },
        Meaning("the same program twice on one function is EBUSY; on another function it is not", object: "order") { bed in
            for program in ["session_a", "fentry_a", "fexit_a", "modify_a"] {
                try await bed.attach(program)
                let complaint = await bed.session.complaint(program)
                #expect(complaint.contains("EBUSY"), "\(complaint)")
            }
            #expect(try bed.call("add 40 2") == "42")
            #expect(try bed.steps() == [1, 10, 5, 3, 11])
            try await bed.session.attach("session_a", to: "exe:other")
            #expect(try bed.call("other 40 2") == "38")
            #expect(try bed.steps(after: 5) == [10, 11])
        },
        Meaning("a program can be attached again after it was detached", object: "order") { bed in
            var seen = 0
            for _ in 0..<5 {
                let link = try await bed.attach("session_a")
                #expect(try bed.call("add 40 2") == "42")
                #expect(try bed.steps(after: seen) == [10, 11])
                seen += 2
                try await bed.session.remove(link)
                #expect(try bed.call("add 40 2") == "42")
                #expect(try bed.steps(after: seen) == [])
            }
            // Beside another one, it comes back at the head.
            let link = try await bed.attach("session_a")
            try await bed.attach("session_b")
            try await bed.session.remove(link)
            try await bed.attach("session_a")
            #expect(try bed.call("add 40 2") == "42")
            #expect(try bed.steps(after: seen) == [10, 20, 11, 21])
        },
    ]

    // MARK: Relinking

    static let relinking: [Meaning] = [
        Meaning("calls inside the old image finish there when one more program is linked", object: "relink") { bed in
            try await bed.attach("a")
            #expect(try bed.call("enter 4") == "4 inside")
            try await bed.attach("b")
            #expect(try bed.number("a_entries") == 4)
            #expect(try bed.call("leave") == "1 11 21 31")
            #expect(try bed.number("a_exits") == 4)
            #expect(try bed.number("a_returned") == 64)
            #expect(try bed.number("a_cookies") == 460)
            #expect(try bed.number("b_entries") == 0)
            #expect(try bed.number("b_exits") == 0)
            #expect(try bed.call("enter 2") == "2 inside")
            #expect(try bed.call("leave") == "1 11")
            #expect(try bed.numbers("a_exits") == [6])
            #expect(try bed.number("b_entries") == 2)
            #expect(try bed.number("b_exits") == 2)
        },
        Meaning("calls inside the old image finish there when a program is taken away", object: "relink") { bed in
            let a = try await bed.attach("a")
            let b = try await bed.attach("b")
            #expect(try bed.call("enter 3") == "3 inside")
            try await bed.session.remove(a)
            #expect(try bed.number("a_exits") == 0)
            #expect(try bed.call("leave") == "1 11 21")
            #expect(try bed.number("a_exits") == 3)
            #expect(try bed.number("b_exits") == 3)
            #expect(try bed.call("enter 1") == "1 inside")
            // Now the last one goes: the function gets its own bytes back, the call inside still its exit.
            try await bed.session.remove(b)
            #expect(try bed.call("leave") == "1")
            #expect(try bed.number("a_entries") == 3)
            #expect(try bed.number("b_exits") == 4)
            #expect(try bed.call("enter 1") == "1 inside")
            #expect(try bed.call("leave") == "1")
            #expect(try bed.number("b_entries") == 4)
            // And comes back.
            try await bed.attach("a")
            #expect(try bed.call("enter 1") == "1 inside")
            #expect(try bed.call("leave") == "1")
            #expect(try bed.number("a_exits") == 4)
        },
        Meaning("programs come and go while 8 threads call: every call is whole, in one image", object: "cookies") { bed in
            try await bed.attach("first")
            let perRound = (0..<8).reduce(0) { sum, thread in
                sum + (0..<50_000).reduce(0) { $0 + (thread + $1) % 7 + 1 }
            }
            var calls = 0
            var entries: UInt64 = 0
            // On a busy machine the threads may be done before the second session comes: again, until it saw some.
            for round in 1...100 {
                bed.start("threads 8 50000")
                for _ in 0..<3 {
                    let link = try await bed.attach("second")
                    try await bed.attach("plain").detach(from: bed.session)
                    try await bed.session.remove(link)
                }
                #expect(try bed.answer() == "0 wrong")
                calls += perRound
                entries = try bed.number("entries")
                if round >= 4, entries > UInt64(calls) { break }
            }
            let summary = await bed.session.summary()
            #expect(summary.calls == UInt64(calls))
            // Some of them ran the second session as well, not all.
            #expect(entries > UInt64(calls) && entries < UInt64(2 * calls))
            #expect(try bed.number("exits") == entries)
            #expect(try bed.number("plain_exits") == (try bed.number("plain_entries")))
            #expect(try bed.number("not_zero") == 0)
            #expect(try bed.number("wrong") == 0)
        },
        Meaning("the whole session can be detached while calls are inside", object: "relink") { bed in
            try await bed.attach("a")
            #expect(try bed.call("enter 2") == "2 inside")
            let summary = try await bed.session.detach()
            #expect(summary.calls == 2)
            #expect(summary.counts.first?.unreturned == 2)
            #expect(summary.keptCode)
            #expect(try bed.call("leave") == "1 11")
            #expect(try bed.call("add 40 2") == "42")
        },
    ]

    // MARK: Functions that do not return

    static let noReturn: [Meaning] = [
        Meaning("functions that do not return take entry programs only: exit", object: "noreturn") { bed in
            for refused in ["session_exit", "leaves_exit", "modifies_exit"] {
                let complaint = await bed.session.complaint(refused)
                #expect(complaint.contains("never returns") && complaint.contains("fentry"), "\(complaint)")
            }
            let exit = try await bed.session.functions(matching: "libc:exit").first
            #expect(exit?.refusal == nil)
            #expect(exit?.entryOnlyReason != nil)
            try await bed.attach("enters_exit")
            #expect(bed.end("quit 7") == 7)
            #expect(try bed.number("statuses") == 1007)
        },
        Meaning("functions that do not return take entry programs only: longjmp, which leaves a session", object: "noreturn") {
            bed in
            try await bed.session.attach("enters_longjmp")
            try await bed.attach("around_leap")
            for (line, answer) in [("leap 0", "returned 0"), ("leap 5", "leapt 5"), ("leap 6", "leapt 6"), ("leap 0", "returned 0")] {
                #expect(try bed.call(line) == answer)
            }
            #expect(try bed.number("leaps") == 2)
            #expect(try bed.number("leap_entries") == 4)
            #expect(try bed.number("leap_exits") == 2)
            let leap = await bed.session.summary().counts.first { $0.function.name == "leap" }
            #expect(leap?.entered == 4)
            #expect(leap?.returned == 2)
            #expect(await bed.session.complaint("session_exit", to: "longjmp").contains("fentry"))
        },
    ]

    // MARK: Helpers

    static let helpers: [Meaning] = [
        Meaning("bpf_get_func_ip, _arg, _arg_cnt, _ret and bpf_get_attach_cookie work in all kinds", object: "helpers") {
            bed in
            for (index, program) in ["asks_fentry", "asks_fexit", "asks_fmod_ret", "asks_session"].enumerated() {
                try await bed.attach(program, cookie: 0x1_0000_0000 * UInt64(index + 1) + 7)
            }
            let address = try #require(try await bed.session.functions(matching: "exe:add").first).address
            for _ in 0..<2 { #expect(try bed.call("add 40 2") == "42") }
            let unsupported = UInt64(bitPattern: -95)
            let expected: [(variable: String, returned: UInt64, result: UInt64, cookie: UInt64)] = [
                // As the kernel has it: fentry has no return value at all, the others read 0 before there is one.
                ("in_fentry", 4711, unsupported, 1), ("in_fexit", 42, 0, 2), ("in_fmod_ret", 0, 0, 3),
                ("at_session_entry", 0, 0, 4), ("at_session_exit", 42, 0, 4),
            ]
            for (variable, returned, result, cookie) in expected {
                let answers = try bed.numbers(variable)
                #expect(
                    answers == [
                        2, address, 2, 40, 2, 0, 0, UInt64(bitPattern: -22), returned, result, cookie << 32 + 7,
                    ], "\(variable)")
            }
        }
    ]
}
