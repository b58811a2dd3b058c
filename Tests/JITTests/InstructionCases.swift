import Testing

/// A program, what it must return, and what it must leave in memory. r1 points at the memory, r2 is its size.
struct InstructionCase: Sendable, CustomTestStringConvertible {
    let program: String
    let result: UInt64
    var memory: [UInt8] = []
    var memoryAfter: [UInt8]?

    var testDescription: String { program }

    init(_ program: String, _ result: UInt64, memory: [UInt8] = [], after: [UInt8]? = nil) {
        // `exit` at the end of every case, where it is not said.
        let instructions = program.split(separator: ";").map { $0.drop { $0 == " " } }
        let isEnded = instructions.last == "exit"
        self.program = instructions.joined(separator: "\n") + (isEnded ? "\n" : "\nexit\n")
        self.result = result
        self.memory = memory
        memoryAfter = after
    }
}

/// What RFC 9669 says, worked out by hand. Interpreter and JIT run the same cases.
enum InstructionCases {
    private static let bytes: [UInt8] = [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]

    static let all: [InstructionCase] =
        moves + arithmetic + division + shifts + byteOrder + memory + atomics + jumps + calls

    static let moves: [InstructionCase] = [
        .init("r0 = 0", 0),
        .init("r0 = -1", .max),
        .init("w0 = -1", 0xffff_ffff),
        .init("r0 = 0x123456789abcdef0", 0x1234_5678_9abc_def0),
        .init("r0 = 0xffffffff80000000", 0xffff_ffff_8000_0000),
        .init("r0 = 0x80000000", 0x8000_0000),
        .init("r1 = 0x1ffffffff; w0 = w1", 0xffff_ffff),
        .init("r0 = 0x1ffffffff; w0 = w0", 0xffff_ffff),
        .init("r1 = 0x180; r0 = (s8)r1", 0xffff_ffff_ffff_ff80),
        .init("r1 = 0x18000; r0 = (s16)r1", 0xffff_ffff_ffff_8000),
        .init("r1 = 0x180000000; r0 = (s32)r1", 0xffff_ffff_8000_0000),
        .init("r1 = 0x180; w0 = (s8)w1", 0xffff_ff80),
        .init("r1 = 0x18000; w0 = (s16)w1", 0xffff_8000),
        .init("r1 = 0x17f; r0 = (s8)r1", 0x7f),
    ]

    static let arithmetic: [InstructionCase] = [
        .init("r0 = 0xffffffff; r0 += 1", 0x1_0000_0000),
        .init("r0 = 0xffffffff; w0 += 1", 0),
        .init("r0 = 5; r0 += 128", 133),
        .init("r0 = 5; r0 -= 128", 5 &- 128),
        .init("r0 = 5; w0 -= 6", 0xffff_ffff),
        .init("r0 = 0; r0 -= -2147483648", 0x8000_0000),
        .init("r0 = 0x100000005; w0 += 0", 5),
        .init("r1 = 7; r0 = r1; r0 += -3", 4),
        .init("r1 = 7; r2 = 8; r0 = r1; r0 += r2", 15),
        .init("r1 = 0xffffffff; w0 = w1; w0 += 2", 1),
        .init("r1 = 7; r0 = r1; r0 += r0", 14),
        .init("r0 = 3; r0 *= -5", 0 &- 15),
        .init("r0 = 0x100000003; w0 *= 8", 24),
        .init("r0 = 0x100000003; r0 *= 9", 0x9_0000_001b),
        .init("r0 = 3; r1 = 0x100000001; w0 *= w1", 3),
        .init("r0 = 7; r0 *= 0", 0),
        .init("r0 = 0x1ff; r0 &= 255", 0xff),
        .init("r0 = 0x123456789; r0 &= -1", 0x1_2345_6789),
        .init("r0 = 0x123456789; w0 &= -1", 0x2345_6789),
        .init("r0 = 0x1ffffffff; r0 &= 0x7fffffff".replacing("0x7fffffff", with: "2147483647"), 0x7fff_ffff),
        .init("r0 = 0xff00000000; r0 &= -256", 0xff_0000_0000),
        .init("r0 = 0x100000001; r0 |= 2", 0x1_0000_0003),
        .init("r0 = 1; r0 |= -2147483648", 0xffff_ffff_8000_0001),
        .init("r0 = 0x100000001; w0 |= 0", 1),
        .init("r0 = 0x100000001; r0 ^= -1", 0xffff_fffe_ffff_fffe),
        .init("r0 = 0x100000001; w0 ^= -1", 0xffff_fffe),
        .init("r0 = 1; r0 = -r0", .max),
        .init("r0 = 0x100000001; w0 = -w0", 0xffff_ffff),
    ]

    static let division: [InstructionCase] = [
        .init("r0 = 7; r0 /= 2", 3),
        .init("r0 = -7; r0 /= 2", 0x7fff_ffff_ffff_fffc),
        .init("r0 = -7; w0 /= 2", 0x7fff_fffc),
        .init("r0 = -7; r0 s/= 2", 0 &- 3),
        .init("r0 = -7; w0 s/= 2", 0xffff_fffd),
        .init("r0 = -7; r0 s%= 2", .max),
        .init("r0 = 7; r0 s%= -2", 1),
        .init("r0 = -7; w0 s%= 4", 0xffff_fffd),
        .init("r0 = 100; r1 = 7; r0 %= r1", 2),
        .init("r0 = 9; r0 /= 0", 0),
        .init("r0 = 9; r1 = 0; r0 /= r1", 0),
        .init("r0 = 9; r1 = 0; w0 /= w1", 0),
        .init("r0 = 9; r1 = 0x100000000; w0 /= w1", 0),
        .init("r0 = 9; r1 = 0; r0 s/= r1", 0),
        .init("r0 = 9; r1 = 0; r0 %= r1", 9),
        .init("r0 = 0x100000009; r1 = 0; r0 %= r1", 0x1_0000_0009),
        .init("r0 = 0x100000009; r1 = 0; w0 %= w1", 9),
        .init("r0 = 0x100000009; w0 %= 0", 9),
        .init("r0 = -9; r1 = 0; r0 s%= r1", 0 &- 9),
        .init("r0 = -9; r1 = 0; w0 s%= w1", 0xffff_fff7),
        .init("r0 = 0x8000000000000000; r1 = -1; r0 s/= r1", 1 << 63),
        .init("r0 = 0x8000000000000000; r0 s/= -1", 1 << 63),
        .init("r0 = 0x8000000000000000; r1 = -1; r0 s%= r1", 0),
        .init("r0 = 0x80000000; r1 = -1; w0 s/= w1", 0x8000_0000),
        .init("r0 = 0x80000000; w0 s/= -1", 0x8000_0000),
        .init("r0 = 0x80000000; r1 = 0xffffffff; w0 s%= w1", 0),
        .init("r0 = 0x8000000000000000; r1 = -1; r0 /= r1", 0),
        .init("r0 = 0xffffffffffffffff; r0 /= -2", 1),
        // Every register as divisor and dividend, whatever the machine does with its own.
        .init("r3 = 42; r0 = 5; r3 /= r0; r0 = r3", 8),
        .init("r3 = 42; r4 = 5; r3 %= r4; r0 = r3", 2),
        .init("r3 = 5; r0 = 42; r0 /= r3; r0 *= 10; r0 += r3", 85),
        .init("r3 = 9; r3 /= r3; r0 = r3", 1),
        .init("r0 = 9; r3 = 1000; r6 = 100; r6 /= 7; r0 += r3; r0 += r6", 1023),
    ]

    static let shifts: [InstructionCase] = [
        .init("r0 = 1; r0 <<= 63", 1 << 63),
        .init("r0 = 1; r1 = 64; r0 <<= r1", 1),
        .init("r0 = 1; r1 = 65; r0 <<= r1", 2),
        .init("r0 = 1; r1 = 33; w0 <<= w1", 2),
        .init("r0 = 0x1ffffffff; w0 <<= 0", 0xffff_ffff),
        .init("r0 = -16; r0 >>= 4", 0x0fff_ffff_ffff_ffff),
        .init("r0 = -16; w0 >>= 4", 0x0fff_ffff),
        .init("r0 = -16; r0 s>>= 4", .max),
        .init("r0 = 0x80000000; w0 s>>= 4", 0xf800_0000),
        .init("r0 = 0x80000000; r1 = 36; w0 s>>= w1", 0xf800_0000),
        .init("r4 = 3; r0 = 1; r0 <<= r4; r0 += r4", 11),
        .init("r4 = 3; r1 = 2; r4 <<= r1; r0 = r4", 12),
        .init("r4 = 3; r4 <<= r4; r0 = r4", 24),
        .init("r4 = 3; r1 = 2; r3 = 1; r3 <<= r1; r0 = r4; r0 += r3", 7),
        .init("r0 = 0x1234567887654321; r0 <<= 32; r0 >>= 32", 0x8765_4321),
        .init("r0 = 0x1234567887654321; r0 <<= 32; r0 s>>= 32", 0xffff_ffff_8765_4321),
        .init("r0 = 0x12348765; r0 <<= 48; r0 s>>= 48", 0xffff_ffff_ffff_8765),
        .init("r0 = 0x1234; r0 <<= 56; r0 >>= 56", 0x34),
        .init("r0 = 0xff34; r0 <<= 48; r0 >>= 56", 0xff),
        .init("r0 = 0x81; goto +1; r0 <<= 56; r0 s>>= 56", 0),
    ]

    static let byteOrder: [InstructionCase] = [
        .init("r0 = 0x1122334455667788; r0 = be16 r0", 0x8877),
        .init("r0 = 0x1122334455667788; r0 = be32 r0", 0x8877_6655),
        .init("r0 = 0x1122334455667788; r0 = be64 r0", 0x8877_6655_4433_2211),
        .init("r0 = 0x1122334455667788; r0 = le16 r0", 0x7788),
        .init("r0 = 0x1122334455667788; r0 = le32 r0", 0x5566_7788),
        .init("r0 = 0x1122334455667788; r0 = le64 r0", 0x1122_3344_5566_7788),
        .init("r0 = 0x1122334455667788; r0 = bswap16 r0", 0x8877),
        .init("r0 = 0x1122334455667788; r0 = bswap32 r0", 0x8877_6655),
        .init("r8 = 0x1122334455667788; r8 = bswap64 r8; r0 = r8", 0x8877_6655_4433_2211),
    ]

    static let memory: [InstructionCase] = [
        .init("r0 = *(u8 *)(r1 +0)", 0x88, memory: bytes),
        .init("r0 = *(u16 *)(r1 +1)", 0xaa99, memory: bytes),
        .init("r0 = *(u32 *)(r1 +4)", 0xffee_ddcc, memory: bytes),
        .init("r0 = *(u64 *)(r1 +0)", 0xffee_ddcc_bbaa_9988, memory: bytes),
        .init("r0 = *(s8 *)(r1 +0)", 0xffff_ffff_ffff_ff88, memory: bytes),
        .init("r0 = *(s16 *)(r1 +1)", 0xffff_ffff_ffff_aa99, memory: bytes),
        .init("r0 = *(s32 *)(r1 +4)", 0xffff_ffff_ffee_ddcc, memory: bytes),
        .init("r1 += 8; r0 = *(u8 *)(r1 -1)", 0xff, memory: bytes),
        .init("r0 = r2", 8, memory: bytes),
        .init(
            "*(u8 *)(r1 +1) = -2; *(u16 *)(r1 +2) = 4660; r0 = 0", 0, memory: bytes,
            after: [0x88, 0xfe, 0x34, 0x12, 0xcc, 0xdd, 0xee, 0xff]),
        .init("*(u32 *)(r1 +0) = -2; r0 = 0", 0, memory: bytes, after: [0xfe, 0xff, 0xff, 0xff, 0xcc, 0xdd, 0xee, 0xff]),
        .init("*(u64 *)(r1 +0) = -2; r0 = 0", 0, memory: bytes, after: [0xfe] + .init(repeating: 0xff, count: 7)),
        .init(
            "r2 = 0x1122334455667788; *(u8 *)(r1 +7) = r2; *(u32 *)(r1 +2) = r2; r0 = 0", 0, memory: bytes,
            after: [0x88, 0x99, 0x88, 0x77, 0x66, 0x55, 0xee, 0x88]),
        .init("*(u64 *)(r10 -512) = 5; r0 = *(u64 *)(r10 -512)", 5),
        .init("*(u64 *)(r10 -8) = -1; r3 = r10; r3 += -4; *(u16 *)(r3 +2) = 0; r0 = *(u64 *)(r10 -8)", 0xffff_ffff_ffff),
    ]

    private static let number: [UInt8] = [0x0f, 0, 0, 0x80, 1, 0, 0, 0]  // 0x0000_0001_8000_000f

    static let atomics: [InstructionCase] = [
        .init("r2 = 1; lock *(u64 *)(r1 +0) += r2; r0 = *(u64 *)(r1 +0)", 0x1_8000_0010, memory: number),
        .init("r2 = -1; lock *(u32 *)(r1 +0) += r2; r0 = *(u64 *)(r1 +0)", 0x1_8000_000e, memory: number),
        .init("r2 = 0x30; lock *(u64 *)(r1 +0) |= r2; r0 = *(u64 *)(r1 +0)", 0x1_8000_003f, memory: number),
        .init("r2 = 3; lock *(u64 *)(r1 +0) &= r2; r0 = *(u64 *)(r1 +0)", 3, memory: number),
        .init("r2 = 3; lock *(u32 *)(r1 +0) &= r2; r0 = *(u64 *)(r1 +0)", 0x1_0000_0003, memory: number),
        .init("r2 = 3; lock *(u64 *)(r1 +0) ^= r2; r0 = *(u64 *)(r1 +0)", 0x1_8000_000c, memory: number),
        .init("r2 = 1; r2 = atomic64_fetch_add((u64 *)(r1 +0), r2); r0 = r2", 0x1_8000_000f, memory: number),
        .init("r2 = -1; r2 = atomic_fetch_add((u32 *)(r1 +0), r2); r0 = r2", 0x8000_000f, memory: number),
        .init(
            "r2 = 0x30; r2 = atomic64_fetch_or((u64 *)(r1 +0), r2); r0 = r2", 0x1_8000_000f, memory: number,
            after: [0x3f, 0, 0, 0x80, 1, 0, 0, 0]),
        .init(
            "r0 = 7; r2 = 3; r2 = atomic_fetch_and((u32 *)(r1 +0), r2); r0 += r2", 0x8000_0016, memory: number,
            after: [3, 0, 0, 0, 1, 0, 0, 0]),
        .init(
            "r0 = -1; r0 = atomic_fetch_xor((u32 *)(r1 +0), r0)", 0x8000_000f, memory: number,
            after: [0xf0, 0xff, 0xff, 0x7f, 1, 0, 0, 0]),
        .init(
            "r0 = r1; r2 = 1; r2 = atomic64_fetch_xor((u64 *)(r0 +0), r2); r0 -= r1; r0 += r2", 0x1_8000_000f,
            memory: number, after: [0x0e, 0, 0, 0x80, 1, 0, 0, 0]),
        .init(
            "r2 = -2; r2 = atomic_xchg((u32 *)(r1 +0), r2); r0 = r2", 0x8000_000f, memory: number,
            after: [0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0]),
        .init(
            "r0 = 0x18000000f; r2 = 5; r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", 0x1_8000_000f, memory: number,
            after: [5, 0, 0, 0, 0, 0, 0, 0]),
        .init(
            "r0 = 4; r2 = 5; r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", 0x1_8000_000f, memory: number, after: number),
        // The comparison of 32 bits ignores the upper half of r0 and clears it, exchanged or not.
        .init(
            "r0 = 0x78000000f; r2 = 5; r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)", 0x8000_000f, memory: number,
            after: [5, 0, 0, 0, 1, 0, 0, 0]),
        .init(
            "r0 = 0x700000000; r2 = 5; r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)", 0x8000_000f, memory: number,
            after: number),
    ]

    /// Each condition with operands for which it holds, as text, 64 and 32 bits alike.
    private static let conditions: [(sign: String, left: Int32, right: Int32, holds: Bool)] = [
        ("==", 3, 3, true), ("==", 3, 4, false), ("!=", 3, 4, true), ("!=", 3, 3, false),
        (">", -1, 3, true), (">", 3, -1, false), (">", 3, 3, false), (">=", 3, 3, true), (">=", 2, 3, false),
        ("<", 3, -1, true), ("<", 3, 3, false), ("<=", 3, 3, true), ("<=", -1, 3, false),
        ("s>", 3, -1, true), ("s>", -1, 3, false), ("s>", 3, 3, false), ("s>=", 3, 3, true), ("s>=", -1, 0, false),
        ("s<", -1, 3, true), ("s<", 3, 3, false), ("s<=", -1, -1, true), ("s<=", 1, 0, false),
        ("&", 6, 2, true), ("&", 4, 3, false), ("&", -1, -2_147_483_648, true), ("&", 1, 0, false),
        ("&", 0x300, 0x100, true), (">", 1, 0, true), (">=", 0, 0, true), ("<", 0, 0, false), ("s<", -1, 0, true),
    ]

    static let jumps: [InstructionCase] =
        conditions.flatMap { condition in
            let (sign, left, right, holds) = condition
            let ending = "goto +2; r0 = 0; exit; r0 = 1"
            let result: UInt64 = holds ? 1 : 0
            // In the 32-bit forms the upper halves differ and must not matter.
            let low = String(UInt64(UInt32(bitPattern: left)) | 0x5_0000_0000, radix: 16)
            let other = String(UInt64(UInt32(bitPattern: right)) | 0x9_0000_0000, radix: 16)
            return [
                InstructionCase("r1 = \(left); if r1 \(sign) \(right) \(ending)", result),
                InstructionCase("r1 = \(left); r2 = \(right); if r1 \(sign) r2 \(ending)", result),
                InstructionCase("r1 = 0x\(low); if w1 \(sign) \(right) \(ending)", result),
                InstructionCase("r1 = 0x\(low); r2 = 0x\(other); if w1 \(sign) w2 \(ending)", result),
            ]
        } + [
            .init("r1 = 0x100000003; if r1 == 3 goto +2; r0 = 7; exit; r0 = 1", 7),
            .init("r0 = 1; goto +1; r0 = 2", 1),
            .init("r0 = 1; gotol +1; r0 = 2", 1),
            .init("r0 = 0; r0 += 3; if r0 < 10 goto -2", 12),
            .init("goto +0; r0 = 4; if r0 == 4 goto +0", 4),
        ]

    static let calls: [InstructionCase] = [
        .init("r1 = 3; r2 = 4; call +1; exit; r0 = r1; r0 *= r2; exit", 12),
        // r6…r9 and the stack of the caller survive; each call has its own stack.
        .init(
            "r6 = 1; r7 = 2; r8 = 3; r9 = 4; *(u64 *)(r10 -8) = 5; call +7; r0 += r6; r0 += r7; r0 += r8; r0 += r9; "
                + "r1 = *(u64 *)(r10 -8); r0 += r1; exit; "
                + "r6 = 0; r7 = 0; r8 = 0; r9 = 0; *(u64 *)(r10 -8) = 0; r0 = 100; exit", 115),
        .init("r1 = 5; call +1; exit; r0 = 1; if r1 == 0 goto +4; r6 = r1; r1 += -1; call -5; r0 *= r6; exit", 120),
    ]
}
