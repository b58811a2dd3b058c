// What a session is given and what it gives: a constant of the object, a command whose output nobody wants to see, a map with
// values of Swift, and an end in any case.
//
//   clang -target bpf -O2 -g -Iinclude -I/usr/include/$(uname -m)-linux-gnu \
//       -c Examples/ByThread/by_thread.bpf.c -o by_thread.bpf.o
//   swift run -c release by-thread by_thread.bpf.o libc:write 10us sh -c 'echo a; echo b'
import FSession
import Glibc

/// `struct stats` of the program.
struct Stats: BitwiseCopyable {
    var calls, slow, nanoseconds: UInt64
}

let arguments = CommandLine.arguments
guard arguments.count > 4 else {
    print("usage: by-thread by_thread.bpf.o [MODULE:]FUNCTION LIMIT COMMAND [ARGUMENT…]")
    exit(2)
}

func run() async throws {
    var object = try BPFObject(contentsOf: arguments[1])
    // As the user wrote it: 5ms, 10us. In a program's own words: object.set("limit", to: .milliseconds(5))
    try object.set("limit", toWritten: arguments[3])

    var command = Session.Command(arguments[4], Array(arguments[5...]))
    command.output = .null

    // Detached when the body returns or throws, or this Task is cancelled.
    try await withSession(.command(command)) { session in
        let loaded = try await session.load(object)
        try await loaded.attach(to: arguments[2])
        // Throws where the sizes of key and value are not those of the map.
        guard let threads = try loaded.maps["threads"]?.typed(key: UInt32.self, value: Stats.self) else {
            return print("there is no map 'threads' in \(arguments[1])")
        }
        try await session.resume()
        print(await session.exitStatus())
        for (thread, values) in threads.entries() {
            guard let stats = values.first else { continue }
            print("thread \(thread): \(stats.calls) calls, \(stats.slow) slow, \(stats.nanoseconds / 1000) us")
        }
    }
}

do {
    try await run()
} catch {
    print("by-thread: \(error)")
    exit(1)
}
