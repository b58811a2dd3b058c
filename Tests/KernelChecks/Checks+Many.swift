import BPF
import CLinux
import Engine
import FSession
import Glibc
import KernelEngine

extension Check {
    /// Many functions, and what is left when something goes wrong.
    static let many = [
        Check("fsession.multi, fentry.multi and fexit.multi are at many functions, whether the kernel has such links or not") {
            let bed = try await Bed("multi")
            let links = try await bed.session.attach("at_many", cookie: 3).links
            guard links.count == 5 else { throw Failure("\(links.count) functions") }
            let types = try KernelLinks.tracing().sorted()
            let isMulti = Set(links.map(\.id)).count == 1
            // Of a link at many functions the kernel does not tell that.
            let expected: [UInt32] = isMulti ? [0] : Array(repeating: 24, count: 5) + Array(repeating: 25, count: 5)
            try bed.expect("the links' types", expected, types)
            try await bed.session.attach("enters")
            try await bed.session.attach("leaves")
            let calls = try Calls(.fentry)
            for _ in 0..<3 { try calls.run() }
            try bed.expect([
                "entries": 15, "exits": 15, "wrong": 0, "arguments": 3 * (1 + 2 + 4 + 7 + 11), "cookie_sum": 45,
                "results": 3 * (2 + 5 + 15 + 34 + 65), "other_entries": 6, "ended": 6,
            ])
            // One link of the kernel's goes from all its functions.
            try await bed.session.remove(links[0])
            try calls.run()
            try bed.expect(["entries": isMulti ? 15 : 19])
            try await bed.end()
        },
        Check("a program that reads ctx gets a link for each function of a pattern") {
            let bed = try await Bed("multi")
            let links = try await bed.session.attach("reads_context").links
            guard Set(links.map(\.id)).count == 5 else { throw Failure("\(links.count) functions") }
            try Calls(.fentry).run()
            try bed.expect(["other_entries": 1 + 2 + 4 + 7 + 11])
            try await bed.end()
        },
        Check("trace records many functions: each with its own arguments and result") {
            let session = try await Session(.kernel)
            try await session.trace(["kernel:bpf_fentry_test[1-6]"])
            try Calls(.fentry).run()
            let events = Events(session)
            let calls = try await events.calls
            let results = Dictionary(uniqueKeysWithValues: calls.map { ($0.function.name, ($0.returnValue ?? 0) & 0xff) })
            guard
                results == [
                    "bpf_fentry_test1": 2, "bpf_fentry_test2": 5, "bpf_fentry_test3": 15, "bpf_fentry_test4": 34,
                    "bpf_fentry_test5": 65, "bpf_fentry_test6": 111,
                ], calls.first(where: { $0.function.name == "bpf_fentry_test3" })?.arguments.map({ $0 & 0xff }) == [4, 5, 6]
            else { throw Failure("\(results)") }
        },
        Check("an error half-way through 1,000 attachments leaves nothing behind") {
            let before = try KernelObjects()
            // Enough for the first functions, and no more: taking them out again takes longest.
            let room = try await Descriptors.limited(to: 250) { () async throws -> String in
                var options = KernelOptions(usesMulti: false)
                options.descriptors = 0
                return try await complaint(options)
            }
            guard room.contains("too many open files") else { throw Failure(room) }
            try await nothingIsLeft(before)
        },
        Check("attaching that is interrupted leaves nothing behind") {
            let before = try KernelObjects()
            let engine = try KernelEngine(KernelOptions(usesMulti: false))
            let watch = Task.detached {
                while engine.session.progress.counts.done < 20 { usleep(10_000) }
                engine.session.progress.cancel()
            }
            do throws(EngineError) {
                _ = try await engine.traceCalls(of: [try FunctionPattern("kernel:tcp_*")])
                throw EngineError.request("it was attached")
            } catch {
                guard error.description.contains("interrupted") else { throw Failure(error.description) }
            }
            await watch.value
            _ = await engine.end()
            try await nothingIsLeft(before)
        },
        Check("many functions are traced at once, 1,000 and more by one link, and nothing is left afterwards") {
            let before = try KernelObjects()
            let session = try await Session(.kernel)
            // A link each would take minutes in a virtual machine: these are fewer.
            let (patterns, count) =
                KernelEngine.hasMulti ? (["kernel:tcp_*", "kernel:ip*", "kernel:udp*", "kernel:sk_*"], 1000) : (["kernel:udp_*"], 20)
            let attached = try await session.trace(patterns)
            guard attached.links.count >= count else { throw Failure("\(attached.links.count) functions") }
            try Flood.send(200)
            let summary = try await session.detach()
            guard summary.counts.contains(where: { $0.function.name == "udp_sendmsg" && $0.entered == 200 }) else {
                throw Failure("the calls of udp_sendmsg were not counted")
            }
            try await nothingIsLeft(before)
            // Whether or not somebody still holds the session.
            withExtendedLifetime(session) {}
        },
        Check("a terminal shows how far attaching is, once it has taken a second") {
            _ = system("mkdir -p /dev/pts && mount -t devpts pts /dev/pts 2>/dev/null")
            let master = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            guard master >= 0 else { throw Failure("there are no terminals here") }
            defer { close(master) }
            // TIOCSPTLCK and TIOCGPTN
            var (unlocked, number): (Int32, UInt32) = (0, 0)
            guard clinux_syscall(16, UInt(master), 0x4004_5431, withUnsafePointer(to: &unlocked) { UInt(bitPattern: $0) }, 0, 0, 0) == 0,
                clinux_syscall(16, UInt(master), 0x8004_5430, withUnsafeMutablePointer(to: &number) { UInt(bitPattern: $0) }, 0, 0, 0) == 0
            else { throw Failure("the terminal has no name") }
            let terminal = "/dev/pts/\(number)"
            let patterns = KernelEngine.hasMulti ? "'kernel:tcp_*' 'kernel:ip*' 'kernel:udp*' 'kernel:sk_*'" : "'kernel:tcp_[ac]*'"
            let isOver = Flag()
            async let isDone: Void = BlockingThread.run("check-bar") {
                defer { isOver.set() }
                return Result { try Shell.run("fsession trace --duration 0.1 \(patterns) >/dev/null 2>\(terminal)") }
            }.get()
            let reader = try await BlockingThread.run("check-tty") { [master] () -> String in
                var text: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 4096)
                while true {
                    let isLast = isOver.isSet
                    var entry = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
                    _ = poll(&entry, 1, 100)
                    let count = entry.revents & Int16(POLLIN) != 0 ? read(master, &buffer, buffer.count) : 0
                    if count > 0 {
                        text += buffer[..<count]
                    } else if isLast {
                        break
                    } else if entry.revents != 0 {
                        // Nobody has the other end open, yet or any more.
                        usleep(100_000)
                    }
                }
                return String(decoding: text, as: UTF8.self)
            }
            try await isDone
            guard reader.contains("attaching ["), reader.contains(" functions") else { throw Failure("it shows '\(reader)'") }
        },
        Check("a network flood: events, drops and skipped runs are the calls, exactly, also when the ring is far too small") {
            for ringBytes in [UInt32(8 << 20), 4096] {
                let engine = try KernelEngine(KernelOptions(ringBytes: ringBytes))
                _ = try await engine.traceCalls(of: [try FunctionPattern("kernel:udp_sendmsg"), try FunctionPattern("kernel:udp_*rcv*")])
                try await onCPUs(2) { _ in try Flood.send(4000) }
                let summary = await engine.end()
                var events: UInt64 = 0
                while let batch = await engine.session.queue.next() {
                    for event in batch { if case .call = event { events += 1 } }
                }
                let sent = summary.counts.first { $0.function.name == "udp_sendmsg" }
                let entered = summary.counts.reduce(0) { $0 + $1.entered }
                let returned = summary.counts.reduce(0) { $0 + $1.returned }
                let drops = summary.drops.reduce(0) { $0 + $1.count }
                guard events + drops == returned, returned > 0, entered + returned + summary.missed >= 2 * entered,
                    let sent, sent.entered + summary.missed >= 8000, sent.entered <= 8000, ringBytes > 4096 || drops > 0
                else {
                    throw Failure(
                        "\(entered) entries, \(returned) returns, \(events) events, \(drops) drops, \(summary.missed) skipped; udp_sendmsg: \(sent?.entered ?? 0)"
                    )
                }
                say("   ring of \(ringBytes): \(entered) calls, \(returned) returned, \(events) events, \(drops) drops, \(summary.missed) skipped")
            }
        },
        Check("calls that find no room for a cookie are counted and shown") {
            let engine = try KernelEngine(KernelOptions(cookies: 4))
            let object = try BPF.Object(path: "sleep.bpf.o")
            let loaded = try await engine.loadObject(object, LoadOptions())
            guard let first = loaded.programs.first(where: { $0.name == "first" }) else { throw Failure("no program") }
            _ = try await engine.attach([AttachRequest(program: first)])
            try await onThreads(12) { _ in usleep(4_000_000) }
            let summary = await engine.end()
            let lost = summary.drops.first { $0.map.contains("cookies") }?.count ?? 0
            // A session of the kernel's own has room for each call.
            guard KernelEngine.hasNativeSessions ? lost == 0 : lost >= 6 && lost <= 9 else { throw Failure("\(lost) calls") }
        },
    ]

    /// Attaches to over a thousand functions; what goes wrong.
    private static func complaint(_ options: KernelOptions) async throws -> String {
        let engine = try KernelEngine(options)
        var text = "nothing went wrong"
        do throws(EngineError) {
            _ = try await engine.traceCalls(of: ["tcp_*", "ip*", "udp*", "sk_*"].map { FunctionPattern(module: "kernel", function: $0) })
        } catch {
            text = error.description
        }
        _ = await engine.end()
        return text
    }

    /// Programs let go of their maps in the background: the kernel waits until no CPU is in them, and then for its turn
    /// behind the trampolines, whose code it takes apart one by one.
    private static func nothingIsLeft(_ before: KernelObjects) async throws {
        let start = ContinuousClock.now
        var now = try KernelObjects()
        while now != before, ContinuousClock.now - start < .seconds(300) {
            // Not usleep: who holds the session is a thread that may be ours.
            try await Task.sleep(for: .milliseconds(100))
            now = try KernelObjects()
        }
        guard now == before else {
            throw Failure("before: \(before); now: \(now); this process holds \(Descriptors.held)")
        }
        say("   all gone after \(Int((ContinuousClock.now - start) / .milliseconds(1))) ms")
    }
}

/// All calls of a session, which ends with it.
struct Events {
    let session: Session
    init(_ session: Session) { self.session = session }

    var calls: [Session.Call] {
        get async throws {
            async let summary = session.detach()
            var calls: [Session.Call] = []
            for await event in session.events { if let call = event.call { calls.append(call) } }
            _ = try await summary
            return calls
        }
    }
}

enum Descriptors {
    /// What this process has open of BPF: "bpf-map", "bpf-prog", "bpf_link".
    static var held: [String] {
        (0..<4096).compactMap { number in
            var target = [UInt8](repeating: 0, count: 64)
            let count = readlink("/proc/self/fd/\(number)", &target, target.count)
            let name = String(decoding: target.prefix(max(count, 0)), as: UTF8.self)
            return name.contains("bpf") ? name : nil
        }
    }

    /// RLIMIT_NOFILE
    static func limited<Value>(to count: UInt, _ body: () async throws -> Value) async throws -> Value {
        var old = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        getrlimit(resource, &old)
        var new = old
        new.rlim_cur = count
        new.rlim_max = count
        // Root may raise it again.
        guard setrlimit(resource, &new) == 0 else { throw Failure("the limit cannot be set") }
        defer { _ = setrlimit(resource, &old) }
        return try await body()
    }
}

/// Packets to ourselves.
enum Flood {
    static func send(_ count: Int) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(9).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var payload: UInt64 = 0
        for _ in 0..<count {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = sendto(descriptor, &payload, 8, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }
}
