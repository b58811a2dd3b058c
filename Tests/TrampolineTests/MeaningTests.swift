import Glibc
import Testing
import Trampoline
import TrampolineFunctions

#if arch(x86_64)
extension TrampolineSuite {
    /// The meaning of links, lists and cookies.
    @Suite struct Meaning {
        static let two = CallingConvention(arguments: [.register(0), .register(1)])

        @Test("a session runs once at the entry and once at the exit, and sees arguments and return value")
        func session() throws {
            let traced = try TracedFunction("t_add", Self.two)
            try traced.link(.session, "t_session_program", cookie: 0x1234_5678_9ABC, usesCookie: true)
            try traced.install()
            t_log_clear()
            #expect(t_add(40, 2) == 42)
            let events = recordedEvents()
            try #require(events.count == 2)
            for event in events {
                #expect(event.argumentCount == 2)
                #expect(event.argument(0) == 40 && event.argument(1) == 2)
                #expect(event.ip == traced.address)
                #expect(event.attach_cookie == 0x1234_5678_9ABC)
                #expect(event.cookieIndex == 5)
            }
            #expect(!events[0].isReturn && events[0].return_value == 0 && events[0].cookie == 0)
            #expect(events[1].isReturn && events[1].return_value == 42)
            #expect(events[1].cookie == 0x1234_5678_9ABC << 32 | 40)
            traced.remove()
            #expect(t_add(40, 2) == 42)
            #expect(t_log_count() == 2)
        }

        @Test("a session without a cookie that asks for one is not given an argument of the function")
        func noCookie() throws {
            let traced = try TracedFunction("t_add", Self.two)
            // The program writes to where its cookie is.
            try traced.link(.session, "t_session_program", cookie: 0x1234)
            try traced.install()
            t_log_clear()
            for a in 40...42 as ClosedRange<Int64> { #expect(t_add(a, 2) == a + 2) }
            let events = recordedEvents()
            #expect(events.count == 6)
            #expect(events.allSatisfy { $0.argument(1) == 2 && (40...42).contains($0.argument(0)) && $0.argumentCount == 2 })
            traced.remove()
        }

        @Test("programs run in the kernel's order: entry list, fmod_ret, function, exit list, newest first")
        func order() throws {
            let traced = try TracedFunction("t_add", Self.two)
            try traced.link(.fentry, "t_program", cookie: 1)
            try traced.link(.fexit, "t_program", cookie: 2)
            try traced.link(.session, "t_session_program", cookie: 3, usesCookie: true)
            try traced.link(.fmodRet, "t_modify_program", cookie: 4)
            try traced.link(.session, "t_session_program", cookie: 5, usesCookie: true)
            try traced.link(.fmodRet, "t_modify_program", cookie: 6)
            try traced.link(.fexit, "t_program", cookie: 7)
            try traced.link(.fentry, "t_program", cookie: 8)
            try traced.install()
            t_set_modified_value(0)
            t_log_clear()
            #expect(t_add(1, 2) == 3)
            let events = recordedEvents()
            #expect(events.map(\.label) == ["8", "5", "3", "1", "6", "4", "7!", "5!", "3!", "2!"])
            #expect(events.map(\.return_value) == [0, 0, 0, 0, 0, 0, 3, 3, 3, 3])
            // Cookies are private: each session reads its own, at its own place, zero at entry.
            let three = events.filter { $0.attach_cookie == 3 }
            let five = events.filter { $0.attach_cookie == 5 }
            #expect(three.map(\.cookie) == [0, 3 << 32 | 1] && five.map(\.cookie) == [0, 5 << 32 | 1])
            #expect(three[0].cookie_address == three[1].cookie_address)
            #expect(three[0].cookie_address != five[0].cookie_address)
        }

        @Test("any mix of links runs each program as often as its kind says")
        func mixes() throws {
            let kinds = TrampolineProgramKind.allCases
            for mix in 0..<(1 << 8) {
                let traced = try TracedFunction("t_add", Self.two)
                var expected: (entry: [String], modify: [String], exit: [String]) = ([], [], [])
                for bit in 0..<8 where mix >> bit & 1 == 1 {
                    let kind = kinds[bit % 4]
                    let cookie = UInt64(bit + 1)
                    let usesCookie = kind == .session && bit < 4
                    let program =
                        switch kind {
                        case .session where usesCookie: "t_session_program"
                        case .fmodRet: "t_modify_program"
                        default: "t_program"
                        }
                    try traced.link(kind, program, cookie: cookie, usesCookie: usesCookie)
                    if kind == .fentry || kind == .session { expected.entry.insert("\(cookie)", at: 0) }
                    if kind == .fmodRet { expected.modify.insert("\(cookie)", at: 0) }
                    if kind == .fexit || kind == .session { expected.exit.insert("\(cookie)!", at: 0) }
                }
                try traced.install()
                t_set_modified_value(0)
                t_log_clear()
                #expect(t_add(20, 22) == 42)
                #expect(recordedEvents().map(\.label) == expected.entry + expected.modify + expected.exit)
            }
        }

        @Test("a non-zero fmod_ret result skips the function and becomes its return value; exits still run")
        func skip() throws {
            var stored: Int64 = 7
            let traced = try TracedFunction("t_store", Self.two)
            try traced.link(.fmodRet, "t_modify_program", cookie: 1)
            try traced.link(.fmodRet, "t_modify_program", cookie: 2)
            try traced.link(.session, "t_session_program", cookie: 3, usesCookie: true)
            try traced.link(.fexit, "t_program", cookie: 4)
            try traced.install()
            t_set_modified_value(99)
            t_log_clear()
            t_store(&stored, 8)
            #expect(stored == 7)
            let events = recordedEvents()
            #expect(events.map(\.label) == ["3", "2", "4!", "3!"])
            #expect(events.map(\.return_value) == [0, 0, 99, 99])
            t_set_modified_value(0)
            t_store(&stored, 8)
            #expect(stored == 8)

            let add = try TracedFunction("t_add", Self.two)
            try add.link(.fmodRet, "t_modify_program")
            try add.install()
            t_set_modified_value(0xFFFF_FFFF_0000_0000)
            #expect(t_add(1, 2) == -0x1_0000_0000)
            t_set_modified_value(0)
            #expect(t_add(1, 2) == 3)
        }

        @Test("a skipped function of a floating-point result returns the program's bits")
        func skipDouble() throws {
            let traced = try TracedFunction(
                "t_mix",
                CallingConvention(
                    arguments: [.vector(0), .vector(1), .register(0), .vector(2)], returnValue: .vector))
            try traced.link(.fmodRet, "t_modify_program")
            try traced.link(.fexit, "t_program")
            try traced.install()
            t_set_modified_value(2.5.bitPattern)
            t_log_clear()
            #expect(t_mix(1, 2, 3, 4) == 2.5)
            #expect(recordedEvents().last?.return_value == 2.5.bitPattern)
            t_set_modified_value(0)
            #expect(t_mix(1, 2, 3, 4) == 1234)
        }

        @Test("cookies are private to a call under recursion, and zero at each entry")
        func recursion() throws {
            let traced = try TracedFunction("t_depth", CallingConvention(arguments: [.register(0)]))
            try traced.link(.session, "t_session_program", cookie: 1, usesCookie: true)
            try traced.install()
            t_log_clear()
            #expect(t_depth(50) == 50)
            let events = recordedEvents()
            try #require(events.count == 102)
            #expect(events.prefix(51).allSatisfy { !$0.isReturn && $0.cookie == 0 })
            for (index, event) in events.suffix(51).enumerated() {
                #expect(event.isReturn && event.argument(0) == UInt64(index))
                #expect(event.cookie == 1 << 32 | UInt64(index) && event.return_value == UInt64(index))
            }
        }

        @Test("the tail call count is zero for each program that uses it, attach cookies are each link's own")
        func perLinkWords() throws {
            let traced = try TracedFunction("t_add", Self.two)
            for cookie: UInt64 in [1, 0xFFFF_FFFF_FFFF_FFFF, 0x8000_0000, 0x1234_5678_9ABC_DEF0] {
                try traced.link(.session, "t_tail_program", cookie: cookie, usesTailCalls: true)
            }
            try traced.link(.fexit, "t_tail_program", cookie: 1, usesTailCalls: true)
            try traced.install()
            t_log_clear()
            #expect(t_add(1, 1) == 2)
            let cookies: [UInt64] = [0x1234_5678_9ABC_DEF0, 0x8000_0000, 0xFFFF_FFFF_FFFF_FFFF, 1]
            #expect(recordedEvents().map(\.attach_cookie) == cookies + [1] + cookies)
            #expect(recordedEvents().allSatisfy { $0.tail_calls == 0 })
        }

        @Test("38 nodes fit, one more is E2BIG; a session counts twice")
        func tooMany() throws {
            let traced = try TracedFunction("t_add", Self.two)
            for index in 0..<18 {
                try traced.link(.session, "t_session_program", cookie: UInt64(index), usesCookie: true)
            }
            try traced.link(.fentry, "t_program")
            #expect(traced.lists.nodeCount == 37)
            let error = #expect(throws: TrampolineError.self) { try traced.link(.session, "t_program") }
            #expect(error?.errno == 7)
            #expect(traced.lists.nodeCount == 37)
            try traced.link(.fexit, "t_program")
            #expect(throws: TrampolineError.tooManyNodes(present: 38, added: 1)) {
                try traced.link(.fentry, "t_program")
            }
            try traced.install()
            t_log_clear()
            #expect(t_add(3, 4) == 7)
            #expect(t_log_count() == 38)
            let sessions = recordedEvents().filter { $0.cookieIndex != 0 }
            #expect(Set(sessions.map(\.cookie_address)).count == 18)
            #expect(sessions.allSatisfy { $0.cookie == ($0.isReturn ? $0.attach_cookie << 32 | 3 : 0) })
        }

        @Test("the same program twice on a function is EBUSY, after unlinking it may come back")
        func busy() throws {
            var lists = TrampolineLists()
            for kind in TrampolineProgramKind.allCases {
                let link = TrampolineLink(id: 1, programID: 9, kind: kind, programAddress: 1)
                try lists.link(link)
                let error = #expect(throws: TrampolineError.programAlreadyLinked(programID: 9)) {
                    try lists.link(TrampolineLink(id: 2, programID: 9, kind: .session, programAddress: 1))
                }
                #expect(error?.errno == 16)
                #expect(lists.unlink(id: 1) == link)
                #expect(lists.isEmpty && lists.unlink(id: 1) == nil)
            }
        }

        @Test("a function that never returns takes fentry programs only")
        func neverReturns() throws {
            var lists = TrampolineLists(functionReturns: false)
            for kind in [TrampolineProgramKind.fexit, .fmodRet, .session] {
                #expect(throws: TrampolineError.functionNeverReturns(kind: kind)) {
                    try lists.link(TrampolineLink(id: 1, programID: 1, kind: kind, programAddress: 1))
                }
            }
            try lists.link(TrampolineLink(id: 1, programID: 1, kind: .fentry, programAddress: 1))
            #expect(lists.isEntryOnly && lists.nodeCount == 1)
        }

        @Test("calls inside the old image finish there, later calls run the new one")
        func relink() throws {
            let traced = try TracedFunction(
                "t_wait", CallingConvention(arguments: [.register(0), .register(1), .register(2)]))
            let first = try traced.link(.session, "t_quiet_program", cookie: 1)
            try traced.install()
            let words = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
            words.initialize(repeating: 0, count: 2)
            defer { words.deallocate() }
            t_clear_counts()
            let calls = (0..<2).compactMap { call_wait_in_thread(words, words + 1, Int64($0)) }
            while words[0] < 2 { sched_yield() }
            traced.lists.unlink(id: first)
            try traced.link(.fentry, "t_program", cookie: 2)
            try traced.install()
            #expect(t_counts().entries == 2 && t_counts().exits == 0)
            words[1] = 1
            #expect(calls.map { join_wait($0) } == [1, 2])
            #expect(t_counts().entries == 2 && t_counts().exits == 2)
            t_log_clear()
            #expect(t_wait(words, words + 1, 10) == 11)
            #expect(recordedEvents().map(\.label) == ["2"])
            #expect(t_counts().entries == 2)
        }

        @Test("eight threads at once: every call has its own cookie, and is counted once in and once out")
        func threads() throws {
            let traced = try TracedFunction("t_fibonacci")
            try traced.link(.session, "t_strict_session", cookie: 11, usesCookie: true)
            try traced.link(.session, "t_strict_session", cookie: 22, usesCookie: true)
            let counters = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
            counters.initialize(repeating: 0, count: 2)
            defer { counters.deallocate() }
            traced.counters = UInt64(UInt(bitPattern: counters))
            try traced.install()
            t_clear_counts()
            var results = [Int64](repeating: 0, count: 8)
            call_fibonacci_in_threads(8, 15, &results)
            #expect(results == [Int64](repeating: 610, count: 8))
            let calls: UInt64 = 8 * 1973
            #expect(t_counts().errors == 0)
            #expect(t_counts().entries == 2 * calls && t_counts().exits == 2 * calls)
            #expect(counters[0] == calls && counters[1] == calls)
        }
    }
}
#endif
