import Engine
import Foundation
import Glibc
import TargetRuntime
import TargetRuntimeTestSupport
import Testing

@Suite struct HelperTests {
    let session: Session

    init() throws { session = try Session() }

    // MARK: Text

    private func format(_ format: String, _ arguments: [UInt64], capacity: Int = 256) -> (result: Int64, text: String) {
        var buffer = [UInt8](repeating: 0xee, count: capacity + 1)
        let result = buffer.withUnsafeMutableBytes { buffer in
            format.withCString { format in
                arguments.withUnsafeBytes { arguments in
                    session.call(
                        BPF_FUNC_snprintf, buffer.address, UInt64(capacity), address(of: format), arguments.address,
                        UInt64(arguments.count))
                }
            }
        }
        #expect(buffer[capacity] == 0xee, "written beyond the buffer")
        return (result, String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self))
    }

    private func libc(_ format: String, _ arguments: [any CVarArg]) -> String {
        var buffer = [CChar](repeating: 0, count: 2000)
        let length = withVaList(arguments) { vsnprintf(&buffer, 2000, format, $0) }
        return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static let numbers: [UInt64] = [
        0, 1, 7, 9, 10, 42, 255, 256, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000,
        0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, .max, 1_234_567_890_123,
    ]

    @Test("numbers are printed as libc prints them")
    func numbers() {
        var cases = 0
        for flags in ["", "-", "0", "+", " ", "#", "-0", "+0", "#0", "- ", "+-#"] {
            for width in ["", "1", "5", "12", "25"] {
                for precision in ["", ".", ".0", ".1", ".4", ".22"] {
                    for length in ["", "h", "hh", "l", "ll"] {
                        for conversion in ["d", "i", "u", "x", "X", "o"] {
                            let specification = "<%" + flags + width + precision + length + conversion + ">"
                            for number in Self.numbers {
                                let expected = libc(specification, [number])
                                let got = format(specification, [number])
                                cases += 1
                                if got.text != expected || got.result != Int64(expected.utf8.count) + 1 {
                                    Issue.record("\(specification) of \(number): \(got), libc: \(expected)")
                                }
                            }
                        }
                    }
                }
            }
        }
        #expect(cases > 10_000)
    }

    @Test("characters, addresses and strings are printed as libc prints them")
    func strings() {
        for specification in ["%c", "%5c|", "%-5c|", "%%", "a%%b%c"] {
            #expect(format(specification, [65]).text == libc(specification, [65]))
        }
        for specification in ["%p", "%20p|", "%-20p|"] {
            for value in [0, 0x1234, .max] as [UInt64] {
                let expected = libc(specification, [value])
                #expect(format(specification, [value]).text == expected)
            }
        }
        let long = String(repeating: "0123456789", count: 60)
        for text in ["", "x", "hello", long] {
            text.withCString { pointer in
                for specification in ["%s", "<%10s>", "<%-10s>", "%.3s|", "%8.3s|", "%-8.3s|", "%.0s|", "%.700s", "%s%s"] {
                    let expected = libc(specification, [pointer, pointer])
                    let got = format(specification, [address(of: pointer), address(of: pointer)], capacity: 2000)
                    #expect(got.text == expected)
                    #expect(got.result == Int64(expected.utf8.count) + 1)
                }
                #expect(format("%pks %pus", [address(of: pointer), address(of: pointer)], capacity: 2000).text == text + " " + text)
            }
        }
        #expect(format("[%s][%s]", [0, 8]).text == "[][]")
        #expect(format("[%4s][%-4s]", [0, 8]).text == "[    ][    ]")
        let border = test_border()
        #expect(format("%s!", [address(of: border)]).text == "!")
        border?[-1] = 65
        #expect(format("%s!", [address(of: border) - 1]).text == "!")
        #expect(format("%.1s!", [address(of: border) - 1]).text == "A!")
    }

    @Test("text that does not fit is cut, and its length told")
    func cut() {
        #expect(format("%d", [123456], capacity: 4) == (7, "123"))
        #expect(format("%d", [123456], capacity: 1) == (7, ""))
        let untouched = Memory<UInt8>(7)
        let argument = Memory<UInt64>(123456)
        let result = "%d".withCString {
            session.call(BPF_FUNC_snprintf, untouched.address, 0, address(of: $0), argument.address, 8)
        }
        #expect(result == 7 && untouched.value == 7)
        #expect(format("%4000d", [1]).result == 4001)
        #expect(format("%99999999999d", [1]).result <= 4097)
    }

    @Test(
        "a format that is not understood is refused",
        arguments: ["%", "%d%", "%y", "%f", "%n", "%l", "%*d", "%lld %d %d %d", "\u{1}", "\u{e4}"])
    func badFormats(text: String) {
        #expect(format(text, [1, 2, 3]).result == error(EINVAL))
    }

    @Test("printk puts time, process, thread and text into the session's ring")
    func printk() throws {
        let text = Memory(Array("x=%d y=%s\n".utf8CString))
        let name = strdup("why")
        defer { free(name) }
        func print() -> Int64 {
            session.call(BPF_FUNC_trace_printk, text.address, UInt64(text.count), 5, address(of: name), 0)
        }
        #expect(print() == error(ENOENT))
        let ring = try session.ring(8192)
        session.state.pointee.print_ring_offset = Int64(bitPattern: ring.address &- address(of: session.state))
        var reader = ring.reader()
        let before = test_clock(CLOCK_MONOTONIC)
        #expect(print() == 10)
        let next = reader.next()
        let record = try #require(next)
        #expect(String(decoding: record.dropFirst(MemoryLayout<fs_print_record>.size), as: UTF8.self) == "x=5 y=why\n")
        record.withUnsafeBytes {
            let time = Int64($0.load(as: UInt64.self)) - Int64(before)
            #expect(abs(time) < 500_000_000)
            guard case .print(_, let process, let thread, "x=5 y=why\n") = PrintRecord.decode($0, endsLine: false) else {
                return #expect(Bool(false), "the controller reads another text")
            }
            #expect(process == getpid() && thread == Int32(test_thread_id()))
            #expect($0.load(as: fs_print_record.self).length == 11, "with its zero")
        }
        // Without its terminator, or with more arguments than there are.
        #expect(session.call(BPF_FUNC_trace_printk, text.address, UInt64(text.count) - 1, 5, 0, 0) == error(EINVAL))
        let numbers = Memory<UInt64>([1, 2, 3, 4, 5])
        let format = Memory(Array("%d %d %d %d %d".utf8CString))
        let wide = Memory(Array("%4000d".utf8CString))
        func printv(_ bytes: UInt64, _ format: Memory<CChar>) -> Int64 {
            session.call(BPF_FUNC_trace_vprintk, format.address, UInt64(format.count), numbers.address, bytes)
        }
        #expect(printv(40, format) == 9)
        #expect(reader.next().map { String(decoding: $0.dropFirst(MemoryLayout<fs_print_record>.size), as: UTF8.self) } == "1 2 3 4 5")
        #expect(printv(32, format) == error(EINVAL))
        #expect(printv(39, format) == error(EINVAL))
        #expect(printv(8, wide) == Int64(FS_PRINT_MAXIMUM))
        #expect(reader.next()?.count == MemoryLayout<fs_print_record>.size + Int(FS_PRINT_MAXIMUM))
        var last: Int64 = 0
        for _ in 0..<100 where last >= 0 { last = printv(8, wide) }
        #expect(last == error(EAGAIN))
        #expect(ring.pointer.pointee.dropped == 1)
    }

    @Test(
        "strncmp",
        arguments: [
            ("abc", "abc", 3, 0), ("abc", "abd", 3, -1), ("abd", "abc", 3, 1), ("abc", "abd", 2, 0), ("ab", "abc", 9, -1), ("ab", "ab", 9, 0),
            ("é", "e", 2, 1),
        ] as [(String, String, UInt64, Int64)])
    func compare(one: String, other: String, size: UInt64, expected: Int64) {
        let result = one.withCString { one in
            other.withCString { session.call(BPF_FUNC_strncmp, address(of: one), size, address(of: $0)) }
        }
        #expect(result.signum() == expected)
    }

    // MARK: Time and identity

    @Test("the clocks agree with the kernel's, with and without the counter", arguments: [0, 1] as [UInt32])
    func clocks(byCounter: UInt32) {
        session.state.pointee.clock_is_tsc = byCounter
        for (helper, clock) in [
            (BPF_FUNC_ktime_get_ns, CLOCK_MONOTONIC), (BPF_FUNC_ktime_get_coarse_ns, CLOCK_MONOTONIC),
            (BPF_FUNC_ktime_get_boot_ns, CLOCK_BOOTTIME), (BPF_FUNC_ktime_get_tai_ns, CLOCK_TAI),
        ] {
            // Preemption between the readings makes them differ: the best of some tries.
            let difference = (0..<50).map { _ in abs(session.call(helper) - Int64(test_clock(Int32(clock)))) }.min() ?? .max
            #expect(difference < 1_000_000)
        }
        let state = session.state
        state.pointee.nanoseconds_per_jiffy = 1_000_000
        state.pointee.jiffies_at_boot = 5_000_000_000
        #expect(abs(session.call(BPF_FUNC_jiffies64) - 5_000_000_000 - Int64(test_clock(CLOCK_BOOTTIME) / 1_000_000)) < 500)
    }

    @Test("the clock uses the slot that the index names, before its base as well as after")
    func clockSlots() {
        let state = session.state
        state.pointee.clock.1 = fs_clock(base_tsc: 1 << 63, base_ns: 1 << 60, mult: 1 << 32, reserved: 0)
        let first = session.call(BPF_FUNC_ktime_get_ns)
        state.pointee.clock_index = 1
        // A counter of 2^63 comes in decades: the time is before the base, and still grows.
        let second = session.call(BPF_FUNC_ktime_get_ns)
        let third = session.call(BPF_FUNC_ktime_get_ns)
        #expect(second < 1 << 60 && second != first)
        #expect(third > second)
    }

    @Test("process, thread, user, name and CPU are the caller's")
    func identity() throws {
        let expected = Int64(getpid()) << 32 | Int64(test_thread_id())
        #expect(session.call(BPF_FUNC_get_current_pid_tgid) == expected)
        #expect(session.call(BPF_FUNC_get_current_pid_tgid) == expected)
        #expect(test_other_process_pid_tgid(session.state) == 1)
        let offset = session.state.pointee.thread_id_offset
        #expect(offset != 0)
        session.state.pointee.thread_id_offset = 0
        session.state.pointee.process_id_address = 0
        #expect(session.call(BPF_FUNC_get_current_pid_tgid) == expected)
        #expect(session.call(BPF_FUNC_get_current_uid_gid) == Int64(getgid()) << 32 | Int64(getuid()))
        let name = Memory([CChar](repeating: 0x55, count: 20))
        #expect(session.call(BPF_FUNC_get_current_comm, name.address, 16) == 0)
        var expectedName = [CChar](repeating: 0, count: 16)
        #expect(test_thread_name(&expectedName) == 0)
        #expect(Array(name.array.prefix(16)) == expectedName)
        #expect(name.array[16] == 0x55)
        #expect(session.call(BPF_FUNC_get_current_comm, name.address, 3) == 0)
        #expect(Array(name.array.prefix(3)) == [expectedName[0], expectedName[1], 0])
        #expect(session.call(BPF_FUNC_get_current_comm, name.address, 0) == error(EINVAL))
        // The thread may move between two questions, but not every time.
        #expect(
            (0..<100).contains { _ in
                let before = test_cpu()
                return session.call(BPF_FUNC_get_smp_processor_id) == Int64(before)
            })
        #expect(session.call(BPF_FUNC_get_numa_node_id) < 1024)
    }

    @Test("random numbers differ and fill 32 bits")
    func random() {
        let numbers = (0..<1000).map { _ in session.call(BPF_FUNC_get_prandom_u32) }
        #expect(Set(numbers).count > 990)
        #expect(numbers.reduce(0, |) == 0xffff_ffff)
        #expect(numbers.reduce(.max, &) == 0)
    }

    // MARK: Memory

    private static let readers = [BPF_FUNC_probe_read, BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_kernel, BPF_FUNC_copy_from_user]
    private static let stringReaders = [BPF_FUNC_probe_read_str, BPF_FUNC_probe_read_user_str, BPF_FUNC_probe_read_kernel_str]

    @Test("bad pointers give EFAULT and zeros")
    func badPointers() throws {
        let memory = try #require(test_border())
        let border = address(of: memory)
        for helper in Self.readers + Self.stringReaders {
            for bad in [0, 1, 0x1000, border, border - 3, border + 4095, 1 << 47, 0xffff_8000_0000_0000, .max, .max - 7] as [UInt64] {
                if bad == border - 3 {
                    // Up to the border all is there, but no terminator.
                    memset(memory - 3, 65, 3)
                }
                let buffer = Memory([UInt8](repeating: 0xaa, count: 24))
                #expect(session.call(helper, buffer.address, 16, bad) == error(EFAULT))
                let untouched = [UInt8](repeating: 0xaa, count: 8)
                #expect(buffer.array == [UInt8](repeating: 0, count: 16) + untouched)
            }
            #expect(session.call(helper, 0, 0, 0) == 0)
        }
    }

    @Test("memory that is there is read, up to the border of what is not")
    func goodPointers() throws {
        let border = try #require(test_border())
        for index in 0..<300 { border[index - 300] = CChar(index % 100 + 1) }
        for helper in Self.readers {
            for size in [1, 7, 8, 300] {
                let buffer = Memory([CChar](repeating: 0, count: 300))
                #expect(session.call(helper, buffer.address, UInt64(size), address(of: border - size)) == 0)
                #expect((0..<size).allSatisfy { buffer.array[$0] == border[$0 - size] })
            }
        }
    }

    @Test("strings are read to their end, and nothing behind it is touched")
    func strings2() throws {
        let border = try #require(test_border())
        for helper in Self.stringReaders {
            for length in [0, 1, 10, 255, 256, 257, 1000] {
                let start = border - length - 1
                memset(start, 66, length)
                border[-1] = 0
                for size in [1, 2, 16, 255, 256, 257, 1001, 1500] {
                    let memory = Memory([UInt8](repeating: 0xaa, count: 1600))
                    let result = session.call(helper, memory.address, UInt64(size), address(of: start))
                    let buffer = memory.array
                    let copied = min(length + 1, size)
                    #expect(result == Int64(copied))
                    #expect(buffer[0..<(copied - 1)].allSatisfy { $0 == 66 })
                    #expect(buffer[copied - 1] == 0)
                    #expect(buffer[copied...].allSatisfy { $0 == 0xaa })
                }
            }
        }
    }

    @Test("memory is written only if that was allowed, and only where it may be")
    func write() {
        let target = Memory<UInt64>(1)
        let source = Memory<UInt64>(2)
        #expect(session.call(BPF_FUNC_probe_write_user, target.address, source.address, 8) == error(EPERM))
        #expect(target.value == 1)
        session.state.pointee.allow_write = 1
        #expect(session.call(BPF_FUNC_probe_write_user, target.address, source.address, 8) == 0)
        #expect(target.value == 2)
        for bad in [0, address(of: test_border()), address(of: test_read_only_page()), .max - 3] as [UInt64] {
            #expect(session.call(BPF_FUNC_probe_write_user, bad, source.address, 8) == error(EFAULT))
        }
    }

    // MARK: The call

    @Test("arguments, result, address and cookie come from ctx")
    func call() {
        // ctx[-4] … ctx[-1], then two arguments and the result.
        var frame: [UInt64] = [0, 77, 0x4000, 2, 11, 22, 33]
        frame.withUnsafeMutableBytes {
            let ctx = $0.address + 32
            let value = Memory<UInt64>(0)
            #expect(session.call(BPF_FUNC_get_func_ip, ctx) == 0x4000)
            #expect(session.call(BPF_FUNC_get_attach_cookie, ctx) == 77)
            #expect(session.call(BPF_FUNC_get_func_arg_cnt, ctx) == 2)
            #expect(session.call(BPF_FUNC_get_func_arg, ctx, 1, value.address) == 0)
            #expect(value.value == 22)
            // The verifier takes the value for written, so it is.
            for number in [2, .max] as [UInt64] {
                value.value = 0x7fff_0000_1234
                #expect(session.call(BPF_FUNC_get_func_arg, ctx, number, value.address) == error(EINVAL))
                #expect(value.value == 0)
            }
            $0.storeBytes(of: 2 | 5 << 8 | 1 << 63, toByteOffset: 24, as: UInt64.self)
            #expect(session.call(BPF_FUNC_get_func_arg_cnt, ctx) == 2)
            #expect(session.call(BPF_FUNC_get_func_ret, ctx, value.address) == 0)
            #expect(value.value == 33)
        }
    }

    @Test("get_stack gives the traced function and what its callers return to", arguments: [2, 5, 50] as [UInt32])
    func stack(depth: UInt32) {
        var expected = [UInt64](repeating: 0, count: 64)
        var addresses = [UInt64](repeating: 7, count: 128)
        func stack(_ size: UInt32, _ flags: UInt64) -> Int64 {
            test_stack(session.state, nil, &addresses, size, flags, depth, &expected)
        }
        let size = stack(1016, 256)
        #expect(size >= Int64(depth + 1) * 8 && size % 8 == 0)
        #expect(addresses[0] == 0x1234)
        #expect(Array(addresses[1...Int(depth)]) == Array(expected[0..<Int(depth)]))
        #expect(addresses[(Int(size) / 8)..<127].allSatisfy { $0 == 0 } && addresses[127] == 7)
        // Skipping, and less room than there are frames.
        #expect(stack(16, 1) == 16)
        #expect(addresses[0] == expected[0])
        #expect(stack(8, 256 | 2) == 8)
        #expect(addresses[0] == expected[1])
        #expect(stack(12, 0) == error(EINVAL))
        #expect(stack(16, 1 << 11) == error(EINVAL))
        #expect(stack(0, 0) == 0)
    }

    @Test("get_stackid numbers stacks; the map holds what get_stack gives")
    func stackID() throws {
        let map = try session.map(FS_MAP_STACK_TRACE, key: 4, value: 64, entries: 100)
        var expected = [UInt64](repeating: 0, count: 64)
        func number(_ depth: UInt32, _ flags: UInt64 = 0) -> Int64 {
            test_stack(session.state, map.pointer, nil, 0, flags, depth, &expected)
        }
        var numbers: [Int64] = []
        for _ in 0..<3 { numbers.append(number(9)) }
        let first = numbers[0]
        #expect(first >= 0 && first < 128)
        #expect(numbers == [first, first, first])
        let (result, values) = map.read(UInt64(first))
        #expect(result == 0)
        #expect(Array(values[0..<8]) == [0x1234] + expected[0..<7])
        #expect(map.elements().count == 1)
        #expect(number(9, 1 << 20) == error(EINVAL))
        var view = map.view
        var key = UInt32(first)
        #expect(fs_view_delete(&view, &key) == 0)
        #expect(fs_view_delete(&view, &key) == -ENOENT)
        #expect(map.read(UInt64(first)).result == -ENOENT)
        #expect(map.read(1000).result == -ENOENT)

        // One bucket: the second stack collides, unless it may replace the first.
        let single = try session.map(FS_MAP_STACK_TRACE, key: 4, value: 64, entries: 1)
        func collide(_ skip: UInt64, _ flags: UInt64) -> Int64 {
            test_stack(session.state, single.pointer, nil, 0, skip | flags, 9, &expected)
        }
        var results: [Int64] = []
        for (skip, flags) in [(0, 0), (1, 0), (1, 1 << 10)] as [(UInt64, UInt64)] { results.append(collide(skip, flags)) }
        #expect(results == [0, error(EEXIST), 0])
        #expect(single.read(0).values[0] != 0x1234)
        for round in 0..<1000 as Range<UInt64> { #expect(collide(round % 2, 1 << 10) == 0, "no node is lost") }
    }

    // MARK: The engine's own programs

    @Test("find_fde finds the range that holds the address")
    func findFDE() {
        let table = Memory<UInt64>([3, 100, 200, 1, 200, 300, 2, 500, 501, 3])
        let bases = Memory<UInt64>([9, 9, 9])
        func find(_ pc: UInt64) -> UInt64 {
            var frame: [UInt64] = [0, table.address, 0, 0, pc, bases.address, 0]
            return frame.withUnsafeMutableBytes {
                test_call_native("find_fde", $0.baseAddress?.advanced(by: 32).assumingMemoryBound(to: UInt64.self))
            }
        }
        #expect([99, 300, 499, 501, 0, .max].map(find) == [0, 0, 0, 0, 0, 0])
        #expect(bases.array == [9, 9, 9])
        #expect([100, 199, 200, 299, 500].map(find) == [1, 1, 2, 2, 3])
        #expect(bases.array == [0, 0, 500])
        table.value = 0
        #expect(find(100) == 0)
    }

    @Test("library_event waits while the controller's beat moves, not much longer, and only once in vain")
    func libraryEvent() {
        var watch = fs_library_watch()
        watch.limit_ns = 30_000_000_000
        #expect(test_library_event(&watch, 20_000_000, 0) >= 20_000_000)
        #expect(watch.generation == 1 && watch.acknowledged == 1 && watch.controller_gone == 0 && watch.sleeping == 0)
        #expect(test_library_event(&watch, 20_000_000, 1) >= 20_000_000, "a signal must not end the wait")
        #expect(test_library_event(&watch, 1_500_000_000, 0) >= 1_500_000_000, "the controller is at it")
        #expect(watch.hasty == 0)
        let inVain = test_library_event(&watch, 0, 0)
        #expect(inVain >= 200_000_000 && inVain < 5_000_000_000)
        #expect(watch.controller_gone == 1 && watch.hasty == 1)
        #expect(test_library_event(&watch, 0, 0) < 200_000_000)
        #expect(watch.generation == 5 && watch.hasty == 2)
        fs_library_acknowledge(&watch, 5)
        #expect(test_library_event(&watch, 1_000_000, 0) >= 1_000_000)
        #expect(watch.controller_gone == 0 && watch.hasty == 2)
    }

    @Test("library_event waits no longer than its limit, also for a controller that lives, and not at all for one that has left")
    func libraryEventLimit() {
        var watch = fs_library_watch()
        watch.limit_ns = 100_000_000
        let took = test_library_event(&watch, 3_000_000_000, 0)
        #expect(took >= 100_000_000 && took < 3_000_000_000)
        #expect(watch.hasty == 1)
        fs_library_leave(&watch)
        #expect(test_library_event(&watch, 0, 0) < 90_000_000)
    }
}
