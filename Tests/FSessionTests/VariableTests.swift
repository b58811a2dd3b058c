import FSession
import Foundation
import Testing

@Suite("Variables of an object, set before it is loaded")
struct VariableTests {
    private static let source = """
        enum colour { RED, GREEN = 7, BLUE = -1 };
        enum wide { HUGE = 0x8000000000000001ULL };
        struct pair { int a, b; };
        const volatile u8 a8 = 1; const volatile s8 b8 = 1; const volatile u16 a16 = 1; const volatile s16 b16 = 1;
        const volatile u32 a32 = 1; const volatile s32 b32 = 1; const volatile u64 a64 = 1; const volatile s64 b64 = 1;
        const volatile unsigned __int128 a128 = 1; const volatile __int128 b128 = 1;
        const volatile _Bool yes; const volatile enum colour colour = RED; const volatile enum wide wide = HUGE;
        const volatile char name[8] = "none"; const volatile u32 limits[3] = {1, 2, 3};
        const volatile struct pair pair; const volatile void *volatile nowhere;
        static const volatile u32 hidden = 5;
        const u32 folded = 5; u64 counter = 3; u32 zeroed;
        SEC("fentry/exe:work") int watch(void *ctx)
        {
            counter += a8 + b8 + a16 + b16 + a32 + b32 + a64 + b64 + (u64)a128 + (u64)b128 + yes + colour + (u64)wide + name[0];
            counter += limits[1] + pair.a + hidden + zeroed++;
            return 0;
        }
        """

    private func value(_ name: String, in object: BPFObject) throws -> String {
        try #require(object.variables.first { $0.name == name }, "no \(name)").description
    }

    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing"
        } catch {
            return "\(error)"
        }
    }

    @Test("integers of every width take all that they hold, and nothing beyond")
    func integers() throws {
        var object = try Example.object(Self.source)
        for bits in [8, 16, 32, 64] {
            let most = UInt64.max >> UInt64(64 - bits), half = Int64(truncatingIfNeeded: most >> 1)
            for value in [0, 1, most] {
                try object.set("a\(bits)", to: value)
                #expect(try self.value("a\(bits)", in: object) == "\(value)")
                try object.set("a\(bits)", toWritten: "0x\(String(value, radix: 16))")
                #expect(try self.value("a\(bits)", in: object) == "\(value)")
            }
            for value in [-half - 1, -1, 0, half] {
                try object.set("b\(bits)", to: value)
                #expect(try self.value("b\(bits)", in: object) == "\(value)")
                try object.set("b\(bits)", toWritten: "\(value)")
                #expect(try self.value("b\(bits)", in: object) == "\(value)")
            }
            for value in [Int128(-1), Int128(most) + 1] {
                let text = "cannot set 'const volatile u\(bits) a\(bits)': \(value) is not a number from 0 to \(most)"
                #expect(failure { try object.set("a\(bits)", to: value) } == text)
            }
            for value in [Int128(half) + 1, -Int128(half) - 2] {
                let text = "cannot set 'const volatile s\(bits) b\(bits)': \(value) is not a number from -\(most / 2 + 1) to \(half)"
                #expect(failure { try object.set("b\(bits)", to: value) } == text)
            }
            // What was refused has changed nothing.
            #expect(try value("a\(bits)", in: object) == "\(most)")
        }
        try object.set("a128", to: UInt128.max)
        #expect(try value("a128", in: object) == "0xffffffffffffffffffffffffffffffff")
        try object.set("b128", to: Int128.min)
        #expect(try value("b128", in: object) == "0x80000000000000000000000000000000")
        #expect(failure { try object.set("b128", to: UInt128.max) }.contains("is not a number from -"))
        // Their neighbours are as they were.
        #expect(try value("counter", in: object) == "3" && value("hidden", in: object) == "5")
    }

    @Test("truth, enumerators, text, arrays, bytes and times are read by the variable's type")
    func kinds() throws {
        var object = try Example.object(Self.source)
        try object.set("yes", to: true)
        #expect(try value("yes", in: object) == "true")
        try object.set("yes", toWritten: "false")
        #expect(try value("yes", in: object) == "false")
        #expect(failure { try object.set("yes", toWritten: "maybe") }.hasSuffix("'maybe' is neither true nor false"))
        #expect(failure { try object.set("a8", to: true) }.hasSuffix("true is not a number from 0 to 255"))

        try object.set("colour", to: "GREEN")
        #expect(try value("colour", in: object) == "GREEN")
        try object.set("colour", toWritten: "BLUE")
        #expect(try value("colour", in: object) == "BLUE")
        try object.set("colour", toWritten: "7")
        #expect(try value("colour", in: object) == "GREEN")
        try object.set("colour", to: 8)
        #expect(try value("colour", in: object) == "8")
        try object.set("wide", to: "HUGE")
        #expect(try value("wide", in: object) == "HUGE")
        #expect(failure { try object.set("colour", to: "BLEU") }.hasSuffix("there is no enumerator 'BLEU'; there are RED, GREEN, BLUE"))

        try object.set("name", to: "grün")
        #expect(try value("name", in: object) == "\"grün\"")
        try object.set("name", toWritten: "1234567")
        #expect(try value("name", in: object) == "\"1234567\"")
        #expect(failure { try object.set("name", to: "12345678") }.contains("room for 7 bytes and the NUL behind them, and the text has 8"))

        try object.set("limits", to: [10, 20, 30])
        #expect(try value("limits", in: object) == "[10, 20, 30]")
        try object.set("limits", toWritten: "4, 0x5,6")
        #expect(try value("limits", in: object) == "[4, 5, 6]")
        #expect(failure { try object.set("limits", toWritten: "1,2") }.hasSuffix("it has 3 elements, not 2"))
        #expect(failure { try object.set("limits", to: [1, 2, -3]) }.hasSuffix("-3 is not a number from 0 to 4294967295"))

        try object.set("pair", toBytes: [1, 0, 0, 0, 2, 0, 0, 0])
        #expect(try value("pair", in: object) == "{.a = 1, .b = 2}")
        #expect(failure { try object.set("pair", toBytes: [1]) }.hasSuffix("it has 8 bytes, not 1"))
        #expect(failure { try object.set("pair", to: 1) }.contains("only its bytes as a whole can be set"))

        for (text, nanoseconds) in [
            ("5ms", "5000000"), ("1.5s", "1500000000"), ("250ns", "250"), ("10us", "10000"), ("2min", "120000000000"),
            ("1h", "3600000000000"), ("5_000", "5000"), ("0b101", "5"),
        ] {
            try object.set("a64", toWritten: text)
            #expect(try value("a64", in: object) == nanoseconds)
        }
        try object.set("b64", to: .milliseconds(5))
        #expect(try value("b64", in: object) == "5000000")
        #expect(failure { try object.set("a32", toWritten: "5ms") }.contains("times are given to variables of 64 bits"))
        for text in ["", "5 ms", "ms", "5m", "0.5ns", "1e3", "--1", "0x", ".5s", "99999999999999999999s", "5,5"] {
            #expect(failure { try object.set("a64", toWritten: text) }.contains("'\(text)' is not a number from 0 to"), "\(text)")
        }
    }

    @Test("what is not there, and what the compiler has folded, is refused with the names that there are")
    func mistakes() throws {
        var object = try Example.object(Self.source)
        #expect(failure { try object.set("limit", to: 1) }.hasSuffix("has no variable 'limit'; did you mean 'limits'?"))
        let all = failure { try object.set("something_else", to: 1) }
        #expect(all.contains("there are ") && all.contains("'a64'") && all.contains("'counter'") && !all.contains("'folded'"))
        #expect(!object.variables.contains { $0.name == "folded" })
        var constant = try Example.object(
            "const u32 kept[3] = {1, 2, 3}; u32 at; SEC(\"fentry/exe:work\") int watch(void *ctx) { return at < 3 ? kept[at] : 0; }")
        #expect(failure { try constant.set("kept", to: [3, 2, 1]) }.contains("declare it 'const volatile'"))
        // A copy has values of its own.
        var copy = object
        try copy.set("a8", to: 200)
        #expect(try value("a8", in: copy) == "200" && value("a8", in: object) == "1")
    }

    @Test("a process's program works with what was set: constants as the verifier sees them, variables as their first value")
    func run() async throws {
        let target = try Example.program(
            "__attribute__((noinline)) int work(int x) { __asm__ volatile(\"\"); return x * 3; }\n"
                + "int main(void) { int sum = 0; for (int i = 0; i < 10; i++) sum += work(i); return sum != 135; }")
        // Only with small steps the verifier accepts it: as it stands, the loop is too long.
        var object = try Example.object(
            """
            const volatile u64 steps = 1ULL << 40;
            const volatile u8 limit = 255;
            u64 rounds = 1, large;
            SEC("fentry/exe:work") int BPF_PROG(watch, int x)
            {
                for (u64 i = 0; i < steps; i++) rounds++;
                if (x > limit) large++;
                return 0;
            }
            """)
        let refused = try await Session(.launch(target))
        await #expect(throws: SessionError.self) { try await refused.load(object) }
        try await refused.detach()
        try object.set("steps", to: 4)
        try object.set("limit", toWritten: "6")
        try object.set("rounds", to: 100)
        let session = try await Session(.launch(target))
        try await session.load(object)
        try await session.attach()
        try await session.resume()
        #expect(await session.exitStatus() == .exited(0))
        #expect(session.variable(named: "rounds")?.description == "140")
        #expect(session.variable(named: "large")?.description == "3")
        try await session.detach()
    }
}
