import Foundation
import TestSupport
import Testing

@Suite("The examples, built and run as a user would")
struct ExampleTests {
    @Test("The article's programs print what the article says, at every call", arguments: [1, 3])
    func article(packets: Int) throws {
        let target = try Example.compile("Article/packets.c")
        let expected = [
            "entry_exit": "fsession entry.\nfsession exit.\n",
            "cookie": "fsession cookie: 0xdeadbeef\n",
        ]
        for (name, text) in expected {
            let object = try Example.compileBPF("Article/\(name).bpf.c")
            let result = try runBlocking([Repository.product("fsession"), "run", object, "--", target, "\(packets)"])
            #expect(result.status == 0)
            // The command's own output is left alone; ours goes to stderr, a summary last.
            #expect(result.output == (0..<packets).map { "packet \($0): \($0)\n" }.joined())
            let lines = result.errors.split(separator: "\n", omittingEmptySubsequences: false)
            let printed = lines.filter { !$0.hasPrefix("fsession: ") }.joined(separator: "\n")
            #expect(printed == String(repeating: text, count: packets))
            #expect(lines.dropLast().last?.hasPrefix("fsession: \(packets) call") == true, "\(result.errors)")
        }
    }

    @Test("SlowCalls: the library from opening a target to detaching")
    func slowCalls() throws {
        let object = try Example.compileBPF("SlowCalls/slow_calls.bpf.c")
        let target = try Example.compile("SlowCalls/work.c")
        let result = try runBlocking([Repository.product("slow-calls"), object, "exe:work", target, "50"])
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines.contains { $0.hasPrefix("watching work in ") })
        #expect(lines.contains("sum \((0..<50).reduce(0) { $0 + $1 * $1 })"))
        for item in [3, 13, 23, 33, 43] {
            #expect(lines.contains { $0.hasPrefix("slow: (\(item)) = \(item * item) took ") }, "\(result.output)")
        }
        #expect(lines.contains("exited with status 0"))
        #expect(lines.contains("calls = 50"))
        let slow = try #require(lines.first { $0.hasPrefix("slow = ") }.flatMap { Int($0.dropFirst(7)) })
        #expect((5...50).contains(slow))
        #expect(lines.filter { $0.hasPrefix("slow: ") }.count == slow)
        let longest = try #require(lines.first { $0.hasPrefix("longest = ") }.flatMap { Int($0.dropFirst(10)) })
        #expect(longest >= 30_000_000)
        // The histogram holds every call.
        let histogram = lines.filter { $0.hasPrefix("  ") }.compactMap { $0.split(separator: ":").last }
        #expect(histogram.compactMap { Int($0.drop { $0 == " " }) }.reduce(0, +) == 50)
        #expect(lines.last == "50 calls, 0 records dropped")
    }

    @Test("ByThread: a constant, a command's output, and a map with values of Swift")
    func byThread() throws {
        let object = try Example.compileBPF("ByThread/by_thread.bpf.c")
        let target = try Example.compile("SlowCalls/work.c")
        for (limit, isSlow) in [("1ns", true), ("1h", false)] {
            let result = try runBlocking([Repository.product("by-thread"), object, "exe:work", limit, target, "50"])
            #expect(result.status == 0, "\(result.output)\(result.errors)")
            let lines = result.output.split(separator: "\n")
            // Nothing of what the command prints.
            #expect(lines.count == 2 && lines.first == "exited with status 0", "\(result.output)")
            #expect(lines.last?.contains(": 50 calls, \(isSlow ? 50 : 0) slow, ") == true, "\(result.output)")
        }
        let wrong = try runBlocking([Repository.product("by-thread"), object, "exe:work", "soon", target])
        #expect(wrong.status == 1 && wrong.output.hasPrefix("by-thread: cannot set 'const volatile u64 limit': 'soon' is not a number"))
    }

    @Test("Calls: the calls of a command with an environment of its own")
    func calls() throws {
        let target = try Example.compile("SlowCalls/work.c")
        let result = try runBlocking([Repository.product("calls"), "exe:work", target, "4"])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(
            result.output.split(separator: "\n").map(String.init)
                == (0..<4).map { "work(item=\($0)) = \($0 * $0)" } + ["exited with status 0", "work: 4 calls"])
        let executing = try runBlocking([Repository.product("calls"), "libc:getenv", "sh", "-c", "exec true"])
        #expect(executing.output.contains(" executes ") && executing.output.contains("true, untraced"), "\(executing.output)")
    }

    @Test("Records: all records of a stream, in batches")
    func records() throws {
        let object = try Example.compileBPF("Records/records.bpf.c")
        let target = try Example.compile("SlowCalls/work.c")
        let result = try runBlocking([Repository.product("records"), object, "exe:work", target, "14"])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        // The command's own output comes first.
        let lines = result.output.split(separator: "\n").filter { !$0.hasPrefix("sum ") }
        #expect(lines.count == 2 && lines.first == "14 calls", "\(result.output)")
        let longest = lines.last?.split(separator: " ").dropFirst(4).first.flatMap { Int($0) }
        #expect(try #require(longest) >= 30_000_000, "\(result.output)")
    }

    @Test("Functions: what can be traced in a file, and what the verifier says of an object")
    func functions() throws {
        let program = Repository.product("functions")
        let list = try runBlocking([program, "*", try Example.compile("SlowCalls/work.c")])
        #expect(list.status == 0 && list.output.contains("work, ") && list.output.contains("cannot be traced\n"), "\(list.output)")
        let verdict = try runBlocking([program, try Example.compileBPF("Records/records.bpf.c")])
        #expect(verdict.status == 0 && verdict.output.hasPrefix("record (fsession): safe, "), "\(verdict.output)")
        let wrong = try runBlocking([program, "wrok", try Example.compile("SlowCalls/work.c")])
        #expect(wrong.status == 1 && wrong.output == "functions: no function matches 'wrok'\n", "\(wrong.output)")
    }

    @Test("Kernel: what the machine has, and then calls or why there are none")
    func kernel() throws {
        let result = try runBlocking([Repository.product("kernel"), "do_sys_openat2"])
        #expect(result.output.hasPrefix("good: ") || result.output.hasPrefix("missing: "))
        let last = try #require(result.output.split(separator: "\n").last)
        #expect(result.status == 0 ? last.hasSuffix(" not seen") : last.hasPrefix("kernel: "), "\(result.output)")
    }

    @Test("SlowCalls says in one line what is wrong")
    func mistakes() throws {
        let object = try Example.compileBPF("SlowCalls/slow_calls.bpf.c")
        let target = try Example.compile("SlowCalls/work.c")
        let program = Repository.product("slow-calls")
        let noFunction = try runBlocking([program, object, "exe:wrok", target])
        #expect(noFunction.status == 1)
        #expect(noFunction.output.contains("slow-calls: no function matches 'exe:wrok'"))
        #expect(noFunction.output.split(separator: "\n").count == 1)
        let noObject = try runBlocking([program, target, "exe:work", target])
        #expect(noObject.status == 1)
        #expect(noObject.output.hasPrefix("slow-calls: ") && noObject.output.split(separator: "\n").count == 1)
        #expect(try runBlocking([program]).status == 2)
    }
}
