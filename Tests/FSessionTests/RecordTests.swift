import FSession
import Testing

@Suite("Records as values of Swift")
struct RecordTests {
    private struct Pair: BitwiseCopyable, Sendable, Equatable { var x: Int32, square: Int64 }
    private struct Larger: BitwiseCopyable { var pair: Pair, more: UInt64 }

    /// A session on a command that calls `work` with 0 to 9, each of which sends a record and prints a line.
    private func withRecords<Result>(_ body: (Session) async throws -> Result) async throws -> Result {
        let target = try Example.program(
            "__attribute__((noinline)) int work(int x) { __asm__ volatile(\"\"); return x * 3; }\n"
                + "int main(void) { int sum = 0; for (int i = 0; i < 10; i++) sum += work(i); return sum != 135; }")
        let object = try Example.object(
            """
            struct pair { s32 x; s64 square; };
            struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
            SEC("fentry/exe:work") int BPF_PROG(watch, int x)
            {
                struct pair pair = {};
                pair.x = -x;
                pair.square = x * x;
                bpf_ringbuf_output(&ring, &pair, sizeof pair, 0);
                bpf_printk("%d", x);
                return 0;
            }
            """)
        return try await withSession(.launch(target)) { session in
            try await session.load(object).attach()
            try await session.resume()
            return try await body(session)
        }
    }

    private let expected = (0..<10).map { Pair(x: -$0, square: Int64($0 * $0)) }

    @Test("a record is a value of Swift, and none where it is shorter")
    func values() async throws {
        try await withRecords { session in
            var pairs: [Pair] = []
            for await event in session.events {
                guard let record = event.record else { continue }
                #expect(record.value(as: Larger.self) == nil)
                let pair = try #require(record.value(as: Pair.self))
                #expect(record.count == 16 && record.map == "ring" && record.processID == session.processID)
                #expect(record.withBytes { $0.unsafeLoad(as: Int32.self) } == pair.x)
                #expect(record.withBytes { $0.byteCount } == record.bytes.count)
                pairs.append(pair)
            }
            #expect(pairs == expected)
        }
    }

    @Test("batches hold the same events: records of one map as values, and the others")
    func batches() async throws {
        try await withRecords { session in
            var pairs: [Pair] = [], lines: [String] = []
            var status: Session.ExitStatus?
            for await batch in session.events.batches {
                #expect(!batch.isEmpty)
                let these = try batch.records(of: "ring", as: Pair.self)
                #expect(these.count == batch.filter { $0.record != nil }.count)
                pairs += these
                #expect(try batch.records(of: "other", as: Larger.self).isEmpty)
                if !these.isEmpty {
                    let error = #expect(throws: SessionError.self) { try batch.records(of: "ring", as: Larger.self) }
                    #expect(error?.description == "map 'ring' has a record of 16 bytes, and Larger has 24")
                }
                lines += batch.compactMap(\.print?.text)
                status = status ?? batch.compactMap(\.exitStatus).first
            }
            #expect(pairs == expected)
            #expect(lines == (0..<10).map { "\($0)" })
            #expect(status == .exited(0))
        }
    }
}
