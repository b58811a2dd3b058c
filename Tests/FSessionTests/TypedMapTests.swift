import FSession
import Testing

@Suite("Maps with keys and values of Swift")
struct TypedMapTests {
    /// `struct stats`: 20 bytes, and four that C adds.
    private struct Stats: BitwiseCopyable, Equatable { var calls, sum: UInt64; var last: Int32 }

    private static let source = """
        struct stats { u64 calls, sum; s32 last; };
        struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, struct stats); } hash SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct stats); __type(value, u8); } keys SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, u64); } array SEC(".maps");
        SEC("fentry/exe:work") int BPF_PROG(watch, int x)
        {
            u32 key = x & 1, zero = 0;
            struct stats found = {7, 8, 9};
            struct stats *stats = bpf_map_lookup_elem(&hash, &key);
            u64 *calls = bpf_map_lookup_elem(&array, &zero);
            u8 *seen = bpf_map_lookup_elem(&keys, &found);
            if (stats) { stats->calls++; stats->sum += x; stats->last = -x; }
            if (calls) ++*calls;
            if (seen) ++*seen;
            return 0;
        }
        """

    @Test("programs and Swift see the same values, structs with what C adds behind them included")
    func values() async throws {
        let target = try Example.program(
            "__attribute__((noinline)) int work(int x) { __asm__ volatile(\"\"); return x * 3; }\n"
                + "int main(void) { int sum = 0; for (int i = 0; i < 10; i++) sum += work(i); return sum != 135; }")
        let object = try Example.object(Self.source)
        try await withSession(.launch(target)) { session in
            let loaded = try await session.load(object)
            let hash = try #require(loaded.maps["hash"]).typed(key: UInt32.self, value: Stats.self)
            let keys = try #require(loaded.maps["keys"]).typed(key: Stats.self, value: UInt8.self)
            let array = try #require(loaded.maps["array"]).typed(key: UInt32.self, value: UInt64.self)
            try hash.update(1, Stats(calls: 100, sum: 0, last: 0))
            try keys.update(Stats(calls: 7, sum: 8, last: 9), 200)
            try await loaded.attach()
            try await session.resume()
            #expect(await session.exitStatus() == .exited(0))
            #expect(hash.value(at: 1) == Stats(calls: 105, sum: 25, last: -9))
            #expect(hash.value(at: 0) == nil && hash.values(at: 1)?.count == 1)
            #expect(hash.entries().map(\.key) == [1] && hash.entries().first?.values == [Stats(calls: 105, sum: 25, last: -9)])
            #expect(keys.value(at: Stats(calls: 7, sum: 8, last: 9)) == 210)
            #expect(keys.entries().map(\.key) == [Stats(calls: 7, sum: 8, last: 9)])
            #expect(array.values(at: 0)?.reduce(0, +) == 10 && array.values(at: 2) == nil)
            #expect(array.entries().map(\.key) == [0])
            #expect(try hash.remove(1) && !hash.remove(1))
        }
    }

    @Test("types of another size are refused")
    func sizes() async throws {
        let object = try Example.object(Self.source)
        try await withSession(.launch("true")) { session in
            let hash = try #require(try await session.load(object).maps["hash"])
            func failure(_ body: () throws -> Void) -> String {
                do {
                    try body()
                    return "nothing"
                } catch {
                    return "\(error)"
                }
            }
            #expect(failure { _ = try hash.typed(key: UInt64.self, value: Stats.self) } == "map 'hash' has keys of 4 bytes, and UInt64 has 8")
            #expect(failure { _ = try hash.typed(key: UInt32.self, value: UInt64.self) } == "map 'hash' has values of 24 bytes, and UInt64 has 8")
            #expect(failure { _ = try hash.typed(key: Float.self, value: Stats.self) } == "nothing")
        }
    }

    @Test("an update can ask that there is no such element yet, or that there is one")
    func conditions() async throws {
        let object = try Example.object(Self.source)
        try await withSession(.launch("true")) { session in
            let loaded = try await session.load(object)
            let hash = try #require(loaded.maps["hash"]).typed(key: UInt32.self, value: Stats.self)
            let stats = Stats(calls: 1, sum: 2, last: 3), other = Stats(calls: 4, sum: 5, last: 6)
            func failure(_ body: () throws -> Void) -> String {
                do {
                    try body()
                    return "nothing"
                } catch {
                    return "\(error)"
                }
            }
            #expect(failure { try hash.update(5, stats, when: .present) } == "cannot update map 'hash': it has no element of that key")
            #expect(hash.value(at: 5) == nil)
            try hash.update(5, stats, when: .absent)
            #expect(failure { try hash.update(5, other, when: .absent) } == "cannot update map 'hash': it has an element of that key already")
            #expect(hash.value(at: 5) == stats)
            try hash.update(5, other, when: .present)
            #expect(hash.value(at: 5) == other)
            let array = try #require(loaded.maps["array"]).typed(key: UInt32.self, value: UInt64.self)
            #expect(failure { try array.update(0, 1, when: .absent) }.contains("it has an element of that key already"))
        }
    }
}
