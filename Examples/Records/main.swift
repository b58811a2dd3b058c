// A stream of records, taken in batches: the shortest, longest and mean duration of a function's calls.
//
//   clang -target bpf -O2 -g -Iinclude -I/usr/include/$(uname -m)-linux-gnu \
//       -c Examples/Records/records.bpf.c -o records.bpf.o
//   swift run -c release records records.bpf.o libz:crc32 gzip -k file
import FSession
import Glibc

/// `struct sample` of the program. What C adds at the end of a struct may be left out.
struct Sample: BitwiseCopyable {
    var start, duration: UInt64
    var thread: UInt32
}

let arguments = CommandLine.arguments
guard arguments.count > 3 else {
    print("usage: records records.bpf.o [MODULE:]FUNCTION COMMAND [ARGUMENT…]")
    exit(2)
}

func run() async throws {
    let object = try BPFObject(contentsOf: arguments[1])
    try await withSession(.launch(arguments[3], Array(arguments[4...]))) { session in
        try await session.load(object).attach(to: arguments[2])
        try await session.resume()

        var (count, total) = (UInt64(0), UInt64(0))
        var (shortest, longest) = (UInt64.max, UInt64(0))
        for await batch in session.events.batches {
            // The records lie in one piece of memory, and are read there.
            for sample in try batch.records(of: "samples", as: Sample.self) {
                count += 1
                total += sample.duration
                shortest = min(shortest, sample.duration)
                longest = max(longest, sample.duration)
            }
        }

        print("\(count) calls")
        if count > 0 { print("shortest \(shortest) ns, longest \(longest) ns, mean \(total / count) ns") }
        for drop in try await session.detach().drops { print("\(drop.count) records of '\(drop.map)' found no room") }
    }
}

do {
    try await run()
} catch {
    print("records: \(error)")
    exit(1)
}
