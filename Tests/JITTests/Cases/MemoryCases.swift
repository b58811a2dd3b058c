private let bytes: [UInt8] = [0x11, 0x22, 0x33, 0x44, 0x85, 0x96, 0xa7, 0xb8, 0xc9, 0xda, 0xeb, 0xfc, 0x0d, 0x1e, 0x2f, 0x30]

extension ConformanceCase {
    static let memoryAccess =
        [
            ("u8", 4, 0x85), ("u16", 4, 0x9685), ("u32", 4, 0xb8a7_9685), ("u64", 4, 0xfceb_dac9_b8a7_9685),
            ("s8", 4, 0xffff_ffff_ffff_ff85), ("s16", 4, 0xffff_ffff_ffff_9685), ("s32", 4, 0xffff_ffff_b8a7_9685),
            ("s8", 0, 0x11), ("s16", 0, 0x2211), ("s32", 0, 0x4433_2211),
            ("u8", 15, 0x30), ("u16", 14, 0x302f), ("u32", 12, 0x302f_1e0d), ("u64", 8, 0x302f_1e0d_fceb_dac9),
            ("u16", 1, 0x3322), ("u32", 3, 0xa796_8544), ("u64", 1, 0xc9b8_a796_8544_3322),
        ].flatMap { (type: String, offset: Int, result: UInt64) in
            [
                ConformanceCase("load \(type) at \(offset)", "r0 = *(\(type) *)(r1 +\(offset))\nexit", memory: bytes, result),
                ConformanceCase(
                    "load \(type) at \(offset) with a negative offset",
                    "r7 = r1\nr7 += 100\nr7 = *(\(type) *)(r7 \(offset - 100))\nr0 = r7\nexit", memory: bytes, result),
                ConformanceCase(
                    "load \(type) at \(offset) from r8 into r9",
                    "r8 = r1\nr9 = *(\(type) *)(r8 +\(offset))\nr0 = r9\nexit", memory: bytes, result),
            ]
        }
        + ["u8", "u16", "u32", "u64"].enumerated().flatMap { index, type in
            // What a store of a size leaves of eight bytes of ones.
            let stored: UInt64 = [0xffff_ffff_ffff_ff88, 0xffff_ffff_ffff_7788, 0xffff_ffff_5566_7788, 0x1122_3344_5566_7788][index]
            let negative: UInt64 = [0x00fe, 0xfffe, 0xffff_fffe, 0xffff_ffff_ffff_fffe][index]
            let registers = [0, 3, 4, 5, 6, 7, 8, 9]
            return registers.map { register in
                ConformanceCase(
                    "store \(type) of r\(register)",
                    """
                    r2 = -1
                    *(u64 *)(r1 +0) = r2
                    r\(register) = 0x1122334455667788
                    *(\(type) *)(r1 +0) = r\(register)
                    r0 = *(u64 *)(r1 +0)
                    exit
                    """, memory: bytes, stored)
            } + [
                ConformanceCase(
                    "store \(type) of a negative immediate",
                    "*(u64 *)(r10 -8) = 0\n*(\(type) *)(r10 -8) = -2\nr0 = *(u64 *)(r10 -8)\nexit", negative),
                ConformanceCase(
                    "store \(type) at a distance",
                    "r6 = r1\nr6 += -30000\n*(\(type) *)(r6 +30000) = 0x55\nr0 = *(\(type) *)(r1 +0)\nexit",
                    memory: bytes, 0x55),
            ]
        } + [
            ConformanceCase("u64 store of an immediate extends its sign", "*(u64 *)(r1 +0) = -1\nr0 = *(u64 *)(r1 +0)\nexit", memory: bytes, .max),
            ConformanceCase("r2 is the length of the memory", "r0 = r2\nexit", memory: bytes, 16),
            ConformanceCase(
                "the whole stack is there",
                """
                r6 = 7
                *(u64 *)(r10 -512) = r6
                *(u8 *)(r10 -1) = 9
                r0 = *(u64 *)(r10 -512)
                r1 = *(u8 *)(r10 -1)
                r0 += r1
                exit
                """, 16),
            ConformanceCase(
                "the stack through another register",
                """
                r2 = r10
                r2 += -16
                *(u64 *)(r2 +0) = 5
                *(u64 *)(r2 +8) = 6
                r0 = *(u64 *)(r10 -16)
                r3 = *(u64 *)(r10 -8)
                r0 *= r3
                exit
                """, 30),
            ConformanceCase(
                "a load over its own base", "r1 = *(u8 *)(r1 +2)\nr0 = r1\nexit", memory: bytes, 0x33),
            ConformanceCase(
                "a pointer kept on the stack",
                "*(u64 *)(r10 -8) = r1\nr3 = *(u64 *)(r10 -8)\nr0 = *(u8 *)(r3 +1)\nexit", memory: bytes, 0x22),
        ]

    /// The word holds 0xf0f0_f0f0_1234_5678; the operand is 0x1_0000_0009 in r3.
    static let atomics =
        [
            // (operation, memory after with 64 bits, memory after with 32 bits)
            ("+=", "add", 0xf0f0_f0f1_1234_5681, 0xf0f0_f0f0_1234_5681),
            ("|=", "or", 0xf0f0_f0f1_1234_5679, 0xf0f0_f0f0_1234_5679),
            ("&=", "and", 0x0000_0000_0000_0008, 0xf0f0_f0f0_0000_0008),
            ("^=", "xor", 0xf0f0_f0f1_1234_5671, 0xf0f0_f0f0_1234_5671),
        ].flatMap { (sign: String, word: String, wide: UInt64, narrow: UInt64) in
            let start = "r6 = r1\nr3 = 0x100000009\n"
            return [
                ConformanceCase(
                    "atomic \(word), 64 bits", start + "lock *(u64 *)(r6 +8) \(sign) r3\nr0 = *(u64 *)(r6 +8)\nexit",
                    memory: atomicMemory, wide),
                ConformanceCase(
                    "atomic \(word), 32 bits, leaves the neighbours",
                    start + "lock *(u32 *)(r6 +8) \(sign) r3\nr0 = *(u64 *)(r6 +8)\nexit", memory: atomicMemory, narrow),
                ConformanceCase(
                    "atomic \(word) leaves its operand", start + "lock *(u64 *)(r6 +8) \(sign) r3\nr0 = r3\nexit",
                    memory: atomicMemory, 0x1_0000_0009),
                ConformanceCase(
                    "atomic fetch \(word), 64 bits: memory",
                    start + "r3 = atomic64_fetch_\(word)((u64 *)(r6 +8), r3)\nr0 = *(u64 *)(r6 +8)\nexit",
                    memory: atomicMemory, wide),
                ConformanceCase(
                    "atomic fetch \(word), 64 bits: old value",
                    start + "r3 = atomic64_fetch_\(word)((u64 *)(r6 +8), r3)\nr0 = r3\nexit",
                    memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
                ConformanceCase(
                    "atomic fetch \(word), 32 bits: memory",
                    start + "r3 = atomic_fetch_\(word)((u32 *)(r6 +8), r3)\nr0 = *(u64 *)(r6 +8)\nexit",
                    memory: atomicMemory, narrow),
                ConformanceCase(
                    "atomic fetch \(word), 32 bits: old value without the high half",
                    start + "r3 = atomic_fetch_\(word)((u32 *)(r6 +8), r3)\nr0 = r3\nexit",
                    memory: atomicMemory, 0x1234_5678),
                ConformanceCase(
                    "atomic fetch \(word) into r0",
                    start + "r0 = r3\nr0 = atomic64_fetch_\(word)((u64 *)(r6 +8), r0)\nr1 = *(u64 *)(r6 +8)\nr0 ^= r1\nexit",
                    memory: atomicMemory, 0xf0f0_f0f0_1234_5678 ^ wide),
                ConformanceCase(
                    "atomic fetch \(word) through r0",
                    "r0 = r1\nr4 = 0x100000009\nr4 = atomic64_fetch_\(word)((u64 *)(r0 +8), r4)\nr0 = *(u64 *)(r0 +8)\nexit",
                    memory: atomicMemory, wide),
                ConformanceCase(
                    "atomic fetch \(word) keeps r1, r2, r4, r5 and r7",
                    start + """
                        r2 = 2
                        r4 = 4
                        r5 = 5
                        r7 = 7
                        r1 = 1
                        r3 = atomic64_fetch_\(word)((u64 *)(r6 +8), r3)
                        r0 = r1
                        r0 += r2
                        r0 += r4
                        r0 += r5
                        r0 += r7
                        exit
                        """, memory: atomicMemory, 19),
            ]
        } + [
            ConformanceCase(
                "exchange, 64 bits: memory",
                "r3 = 0x123456789\nr3 = atomic64_xchg((u64 *)(r1 +8), r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0x1_2345_6789),
            ConformanceCase(
                "exchange, 64 bits: old value",
                "r3 = 0x123456789\nr3 = atomic64_xchg((u64 *)(r1 +8), r3)\nr0 = r3\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
            ConformanceCase(
                "exchange, 32 bits: memory",
                "r3 = 0x123456789\nr3 = atomic_xchg((u32 *)(r1 +8), r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_2345_6789),
            ConformanceCase(
                "exchange, 32 bits: old value",
                "r3 = 0x123456789\nr3 = atomic_xchg((u32 *)(r1 +8), r3)\nr0 = r3\nexit",
                memory: atomicMemory, 0x1234_5678),
            ConformanceCase(
                "exchange on the stack",
                "*(u64 *)(r10 -8) = 3\nr7 = 4\nr7 = atomic64_xchg((u64 *)(r10 -8), r7)\nr0 = *(u64 *)(r10 -8)\nr0 *= 10\nr0 += r7\nexit",
                43),
            ConformanceCase(
                "compare-exchange, 64 bits, equal: memory",
                "r0 = 0xf0f0f0f012345678\nr3 = 0x123456789\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0x1_2345_6789),
            ConformanceCase(
                "compare-exchange, 64 bits, equal: old value",
                "r0 = 0xf0f0f0f012345678\nr3 = 1\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r3)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
            ConformanceCase(
                "compare-exchange, 64 bits, not equal: memory",
                "r0 = 0x12345678\nr3 = 0x123456789\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
            ConformanceCase(
                "compare-exchange, 64 bits, not equal: r0 gets the old value",
                "r0 = 0x12345678\nr3 = 1\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r3)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
            ConformanceCase(
                "compare-exchange leaves its source",
                "r0 = 0x12345678\nr3 = 77\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r3)\nr0 = r3\nexit",
                memory: atomicMemory, 77),
            ConformanceCase(
                "compare-exchange, 32 bits, compares the low half only",
                "r0 = 0x9912345678\nr3 = 0x123456789\nr0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_2345_6789),
            ConformanceCase(
                "compare-exchange, 32 bits, equal: r0 without its high half",
                "r0 = 0x9912345678\nr3 = 1\nr0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r3)\nexit",
                memory: atomicMemory, 0x1234_5678),
            ConformanceCase(
                "compare-exchange, 32 bits, not equal: memory",
                "r0 = 5\nr3 = 1\nr0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r3)\nr0 = *(u64 *)(r1 +8)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
            ConformanceCase(
                "compare-exchange, 32 bits, not equal: r0",
                "r0 = 0x9900000005\nr3 = 1\nr0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r3)\nexit",
                memory: atomicMemory, 0x1234_5678),
            ConformanceCase(
                "compare-exchange of r0 with itself",
                "r0 = 0xf0f0f0f012345678\nr0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r0)\nexit",
                memory: atomicMemory, 0xf0f0_f0f0_1234_5678),
        ]

    private static let atomicMemory: [UInt8] = [
        0, 0, 0, 0, 0, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 0xf0, 0xf0, 0xf0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]
}
