import FSession
import TestSupport
import Testing

/// Maps, global variables and helpers as objects of clang use them, in a running process.
@Suite("Objects in a process", .timeLimit(.minutes(1)))
struct ObjectTests {
    /// A running target with one object in it.
    private struct Bed {
        let target: DrivenProcess
        let session: Session

        init(_ object: String, allowsWriting: Bool = false) async throws {
            target = try DrivenProcess(try Fixtures.target("calls", ["-fno-omit-frame-pointer"]))
            session = try await Session(.process(target.pid))
            try await session.load(try Fixtures.object(object), allowsWriting: allowsWriting)
        }

        func map(_ name: String) throws -> BPFMap { try #require(session.map(named: name)) }

        func text(_ variable: String) throws -> String {
            try #require(session.variable(named: variable)).description
        }

        func signed(_ variable: String) throws -> [Int64] {
            try session.numbers(variable).map { Int64(bitPattern: $0) }
        }
    }

    private func bytes(_ values: [UInt64]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    }

    private func key(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    private func number(_ bytes: [UInt8]?) -> UInt64? { bytes?.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    // MARK: Maps

    @Test("hash, LRU hash and array: what the program writes is read, by bytes and by type; and back")
    func elements() async throws {
        let bed = try await Bed("maps")
        try await bed.session.attach("fill")
        for (a, b) in [(1, 5), (1, -9), (2, 5), (3, 99), (-4, 1)] { _ = try bed.target.ask("add \(a) \(b)") }
        let hash = try bed.map("by_argument")
        let texts = Set(hash.entries().map(\.description))
        #expect(
            texts == [
                "1: {.calls = 2, .last = -8}", "2: {.calls = 1, .last = 7}", "18446744073709551612: {.calls = 1, .last = -3}",
            ])
        #expect(hash.entries().contains { $0.json == "{\"key\": 2, \"value\": {\"calls\":1,\"last\":7}}" })
        #expect(hash.values(at: bytes([3])) == nil)
        // The program goes on with what we write.
        try hash.update(bytes([2]), bytes([40, 0]))
        #expect(try hash.remove(bytes([1])))
        #expect(try !hash.remove(bytes([1])))
        for _ in 0..<2 { _ = try bed.target.ask("add 2 1") }
        #expect(hash.values(at: bytes([2])) == [bytes([42, 3])])
        #expect(hash.values(at: bytes([1])) == nil)
        // Full: eight elements, the others are counted.
        for a in 100..<110 { _ = try bed.target.ask("add \(a) 1") }
        #expect(hash.entries().count == 8)
        #expect(try bed.session.number("full") == 4)
        #expect(hash.dropped == 4)
        #expect(throws: SessionError.self) { try hash.update([1], [2]) }

        let squares = try bed.map("squares")
        #expect(squares.entries().map(\.description) == ["1: 1", "2: 4", "3: 9"])
        let recent = try bed.map("recent")
        #expect(number(recent.values(at: key(109))?.first) == 109 * 109)
        // Older elements make room in an LRU hash; the last ones stay.
        for a in 1000..<1200 { _ = try bed.target.ask("add \(a) 1") }
        #expect((1...64).contains(recent.entries().count))
        #expect(number(recent.values(at: key(1199))?.first) == 1199 * 1199)
        try await bed.session.detach()
    }

    @Test("per-CPU maps: eight threads add to values of their own, and nothing is lost")
    func perThread() async throws {
        let bed = try await Bed("maps")
        try await bed.session.attach("depth")
        #expect(try bed.target.ask("threads 8 1400") == "0 wrong")
        // Each thread comes to each depth from 0 to 6 two hundred times, and to all below.
        let depths = try #require(try bed.map("depths").values(at: key(0)))
        let calls: UInt64 = 8 * 200 * 28
        #expect(depths.compactMap(number).reduce(0, +) == calls)
        #expect(depths.count { number($0) != 0 } >= 1)
        let counts = try bed.map("depth_counts")
        for depth in 0..<7 as Range<UInt64> {
            let values = try #require(counts.values(at: bytes([depth])))
            let calls: UInt64 = 1600 * (7 - depth)
            #expect(values.compactMap(number).reduce(0, +) == calls)
        }
        #expect(counts.entries().count == 7)
        try await bed.session.detach()
    }

    @Test("queue, stack, ring buffer and perf event array")
    func sequences() async throws {
        let bed = try await Bed("maps")
        try await bed.session.attach("fill")
        for a in 1...6 { _ = try bed.target.ask("add \(a) 10") }
        // The fifth finds the queue full, and the program takes the first out, which makes room for the sixth. The
        // stack stays as it is: one without locks cannot drop its bottom.
        #expect(try bed.session.number("popped") == 1)
        #expect(try bed.session.number("peeked") == 4)
        try await bed.session.detach()
        var ring: [[UInt8]] = []
        var perf: [[UInt8]] = []
        for await event in bed.session.events {
            guard let record = event.record else { continue }
            #expect(record.processID == ProcessID(bed.target.pid))
            if record.map == "ring" { ring.append(record.bytes) } else if record.map == "perf" { perf.append(record.bytes) }
        }
        var expected: [[UInt8]] = []
        for a in 1...6 as ClosedRange<UInt64> {
            expected.append(bytes([a, a + 10]))
            if a % 2 == 0 { expected.append(bytes([1, 10, 3])) }
        }
        #expect(ring == expected)
        let expectedPerf = (1...6 as ClosedRange<UInt64>).map { bytes([$0]) }
        #expect(perf.map { Array($0.prefix(8)) } == expectedPerf)
    }

    @Test(".data, .bss and .rodata: initial values, changes, types")
    func variables() async throws {
        let bed = try await Bed("maps")
        #expect(try bed.text("counter") == "1000")
        #expect(try bed.text("last_name") == "\"none yet\"")
        #expect(try bed.text("total") == "{.calls = 0, .last = 0}")
        try await bed.session.attach("fill")
        for _ in 0..<4 { _ = try bed.target.ask("add 1 1") }
        #expect(try bed.text("counter") == "1012")
        #expect(try bed.text("total") == "{.calls = 4, .last = 11}")
        #expect(try #require(bed.session.variable(named: "total")).json == "{\"calls\":4,\"last\":11}")
        #expect(try bed.text("last_name").hasPrefix("\"calls.c"))
        #expect(bed.session.variable(named: "scale") == nil)
        // They stay readable after the end.
        try await bed.session.detach()
        #expect(try bed.text("counter") == "1012")
        _ = try bed.target.ask("add 1 1")
        #expect(try bed.text("counter") == "1012")
    }

    // MARK: Calls

    @Test("for_each_map_elem and bpf_loop call back, until the callback says stop")
    func callbacks() async throws {
        let bed = try await Bed("calls")
        try await bed.session.attach("callbacks")
        #expect(try bed.target.ask("add 1 2") == "3")
        let expected: [(String, UInt64)] = [
            ("visited", 10), ("sum", 4500), ("visited_until", 4), ("place_sum", 600), ("looped", 1001),
            ("loop_sum", 500_500), ("loop_until", 6), ("too_many", UInt64(bitPattern: -7)),
        ]
        for (name, value) in expected { #expect(try bed.session.number(name) == value, "\(name)") }
        try await bed.session.detach()
    }

    @Test("static and global subprograms, one inside the other, each with its stack")
    func subprograms() async throws {
        let bed = try await Bed("calls")
        try await bed.session.attach("subprograms")
        #expect(try bed.target.ask("add 4 5") == "9")
        #expect(try bed.session.number("static_result") == 27 + 11)
        #expect(try bed.session.number("global_result") == 12 + 5 + 60 + 5)
        try await bed.session.detach()
    }

    @Test("tail calls: to a program, to nothing, and no more than 33 in a row")
    func tailCalls() async throws {
        let bed = try await Bed("calls")
        try await bed.session.attach("jumps_off")
        try await bed.session.attach("again")
        #expect(try bed.target.ask("other 42 0") == "42")
        #expect(try bed.session.number("jumped_to") == 142)
        #expect(try bed.session.number("jump_fell_through") == 0)
        // An empty slot, and one beyond the array.
        for index in [1, 3, 4, 1000, -1] { _ = try bed.target.ask("other 7 \(index)") }
        #expect(try bed.session.number("jumped_to") == 142)
        #expect(try bed.session.number("jump_fell_through") == 5)
        #expect(try bed.target.ask("nothing") == "done")
        #expect(try bed.session.number("rounds") == 34)
        #expect(try bed.session.number("after_rounds") == 1)
        #expect(try bed.target.ask("nothing") == "done")
        #expect(try bed.session.number("rounds") == 68)
        try await bed.session.detach()
    }

    // MARK: Memory

    @Test("extern __ksym variables are the target's symbols; strings are read from it; bad pointers give EFAULT")
    func reading() async throws {
        let bed = try await Bed("memory")
        try await bed.session.attach("reads")
        for _ in 0..<3 { _ = try bed.target.ask("add 1 1") }
        #expect(try bed.target.ask("many") == "20")
        #expect(try bed.session.number("executed_value") == 3)
        #expect(try bed.text("text") == "\"hello from the target\"")
        #expect(try bed.signed("text_length") == [22])
        #expect(try bed.text("argument") == "\"four\"")
        #expect(try bed.signed("argument_length") == [5])
        #expect(try bed.text("part") == "\"fou\"")
        #expect(try bed.signed("part_length") == [4])
        #expect(try bed.session.number("weak_address") == 0)
        #expect(try bed.signed("comparison") == [0])
        let fault = [Int64](repeating: -14, count: 6)
        #expect(try bed.signed("bad") == fault)
        #expect(try bed.signed("bad_string") == [-14])
        #expect(try bed.signed("good") == [0])
        let value = bed.session.variable(named: "bad_value")
        #expect(value?.bytes == Array("hello fr".utf8))
        #expect(try bed.text("formatted") == "\"four has 4 letters, beef\"")
        #expect(try bed.signed("formatted_length") == [25])
        try await bed.session.detach()
        #expect(try bed.target.ask("many") == "20")
    }

    @Test("probe_write_user is refused unless writing is allowed", arguments: [false, true])
    func writing(allowed: Bool) async throws {
        let bed = try await Bed("memory", allowsWriting: allowed)
        try await bed.session.attach("writes")
        #expect(try bed.target.ask("writable") == "before")
        #expect(try bed.target.ask("add 1 1") == "2")
        #expect(try bed.target.ask("writable") == (allowed ? "after" : "before"))
        #expect(try bed.signed("written") == [allowed ? 0 : -1])
        #expect(try bed.signed("bad_write") == [allowed ? -14 : -1])
        try await bed.session.detach()
    }

    @Test("get_stackid and get_stack: the traced function and its callers, up to main")
    func stacks() async throws {
        let bed = try await Bed("memory")
        let down = try #require(try await bed.session.functions(matching: "exe:down").first)
        let main = try #require(try await bed.session.functions(matching: "exe:main").first)
        func holds(_ function: Session.Function, _ address: UInt64) -> Bool {
            address >= function.address && address < function.address + function.size
        }
        try await bed.session.attach("walks")
        #expect(try bed.target.ask("down 3") == "6")
        let id = try #require(try bed.signed("stack_id").first)
        #expect(id >= 0)
        #expect(try bed.signed("same_id") == [id])
        let value = try #require(try bed.map("stacks").values(at: key(UInt32(id)))?.first)
        let words = stride(from: 0, to: value.count, by: 8).compactMap { number(Array(value[$0..<($0 + 8)])) }
        let addresses = try bed.session.numbers("addresses")
        #expect(words == addresses)
        let depth = Int(try #require(try bed.signed("stack_bytes").first)) / 8
        #expect(depth > 0 && words[..<depth].allSatisfy { $0 != 0 })
        #expect(words[depth...].allSatisfy { $0 == 0 })
        // down(0), called by down(1), down(2), down(3), main: frames of ours are between them and not told.
        #expect(holds(down, words[0]))
        #expect(words.count { holds(down, $0) } == 4)
        #expect(words.count { holds(main, $0) } == 1)
        #expect(words.firstIndex { holds(main, $0) } == 4)
        try await bed.session.detach()
    }

    @Test("printk becomes events, in order, with thread and time")
    func printing() async throws {
        let bed = try await Bed("memory")
        try await bed.session.attach("prints")
        #expect(try bed.target.ask("other 50 8") == "42")
        try await bed.session.detach()
        var lines: [Session.Print] = []
        for await event in bed.session.events {
            if let line = event.print { lines.append(line) }
        }
        #expect(lines.map(\.text) == ["other(50, 8) and 4", "other returns 42"])
        #expect(lines.allSatisfy { $0.processID == ProcessID(bed.target.pid) && $0.threadID == ThreadID(bed.target.pid) })
        #expect(lines.count == 2 && lines[0].time < lines[1].time)
    }

    @Test("a helper that a process does not have is refused by name, before anything is attached")
    func unsupportedHelper() async throws {
        let target = try DrivenProcess(try Fixtures.target("calls"))
        let session = try await Session(.process(target.pid))
        let object = try Fixtures.object("unsupported")
        await #expect {
            try await session.load(object)
        } throws: { error in
            "\(error)".contains("bpf_send_signal") && "\(error)".contains("'signals'")
        }
        #expect(try target.ask("add 1 2") == "3")
        try await session.detach()
    }
}
