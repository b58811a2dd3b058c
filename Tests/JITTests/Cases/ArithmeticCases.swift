/// `left op right` with the results of 64 and of 32 bits, written down from RFC 9669 (section 4.1).
private struct Row {
    let sign: String
    let left: UInt64
    /// Also used as an immediate where it fits 32 bits sign-extended.
    let right: UInt64
    let wide: UInt64
    let narrow: UInt64

    init(_ sign: String, _ left: UInt64, _ right: UInt64, _ wide: UInt64, _ narrow: UInt64) {
        self.sign = sign
        self.left = left
        self.right = right
        self.wide = wide
        self.narrow = narrow
    }

    var cases: [ConformanceCase] {
        let name = "\(hex(left)) \(sign) \(hex(right))"
        var cases = [
            ConformanceCase(
                "\(name), 64 bits, register", "r0 = \(hex(left))\nr3 = \(hex(right))\nr0 \(sign) r3\nexit", wide),
            ConformanceCase(
                "\(name), 32 bits, register", "r0 = \(hex(left))\nr3 = \(hex(right))\nw0 \(sign) w3\nexit", narrow),
        ]
        if let immediate = Int32(exactly: Int64(bitPattern: right)) {
            cases += [
                ConformanceCase(
                    "\(name), 64 bits, immediate", "r0 = \(hex(left))\nr0 \(sign) \(immediate)\nexit", wide),
                ConformanceCase(
                    "\(name), 32 bits, immediate", "r0 = \(hex(left))\nw0 \(sign) \(immediate)\nexit", narrow),
            ]
        }
        return cases
    }
}

func hex(_ value: UInt64) -> String { "0x\(String(value, radix: 16))" }

private let minus1: UInt64 = 0xffff_ffff_ffff_ffff
private let minus2: UInt64 = 0xffff_ffff_ffff_fffe
private let minus3: UInt64 = 0xffff_ffff_ffff_fffd
private let minus7: UInt64 = 0xffff_ffff_ffff_fff9
private let smallest64: UInt64 = 0x8000_0000_0000_0000
private let smallest32: UInt64 = 0xffff_ffff_8000_0000

private let rows: [Row] = [
    Row("+=", 1, 2, 3, 3),
    Row("+=", minus1, 1, 0, 0),
    Row("+=", 0xffff_ffff, 1, 0x1_0000_0000, 0),
    Row("+=", 0x1_0000_0005, minus2, 0x1_0000_0003, 3),
    Row("+=", 0x7fff_ffff_ffff_ffff, 1, smallest64, 0),
    Row("-=", 1, 2, minus1, 0xffff_ffff),
    Row("-=", 0, minus1, 1, 1),
    Row("-=", smallest64, 1, 0x7fff_ffff_ffff_ffff, 0xffff_ffff),
    Row("*=", 7, 6, 42, 42),
    Row("*=", minus3, 7, 0xffff_ffff_ffff_ffeb, 0xffff_ffeb),
    Row("*=", 0x1_0000_0001, 0x1_0000_0001, 0x0000_0002_0000_0001, 1),
    Row("*=", smallest64, minus1, smallest64, 0),
    Row("*=", smallest32, minus1, 0x8000_0000, 0x8000_0000),
    Row("/=", 42, 5, 8, 8),
    Row("/=", minus1, 2, 0x7fff_ffff_ffff_ffff, 0x7fff_ffff),
    Row("/=", minus7, minus1, 0, 0),
    Row("/=", 0x1_0000_0008, 4, 0x4000_0002, 2),
    Row("/=", smallest64, minus1, 0, 0),
    Row("/=", 42, 0, 0, 0),
    Row("/=", 0x1_0000_0007, 0x1_0000_0000, 1, 0),
    Row("%=", 42, 5, 2, 2),
    Row("%=", minus1, 16, 15, 15),
    Row("%=", 0x1_0000_0007, 5, 3, 2),
    Row("%=", smallest64, minus1, smallest64, 0),
    // Modulo by zero leaves the destination; with 32 bits its high half becomes zero all the same.
    Row("%=", 0x1_0000_002a, 0, 0x1_0000_002a, 0x2a),
    Row("%=", 0x5_0000_0007, 0x1_0000_0000, 7, 7),
    Row("s/=", 7, 2, 3, 3),
    Row("s/=", minus7, 2, minus3, 0xffff_fffd),
    Row("s/=", 7, minus2, minus3, 0xffff_fffd),
    Row("s/=", minus7, minus2, 3, 3),
    Row("s/=", minus7, 0, 0, 0),
    Row("s/=", smallest64, minus1, smallest64, 0),
    Row("s/=", smallest32, minus1, 0x8000_0000, 0x8000_0000),
    Row("s%=", 7, 3, 1, 1),
    Row("s%=", minus7, 3, minus1, 0xffff_ffff),
    Row("s%=", 7, minus3, 1, 1),
    Row("s%=", minus7, minus3, minus1, 0xffff_ffff),
    Row("s%=", minus7, 0, minus7, 0xffff_fff9),
    Row("s%=", smallest64, minus1, 0, 0),
    Row("s%=", smallest32, minus1, 0, 0),
    Row("|=", 0x1_0000_00f0, 0x0f, 0x1_0000_00ff, 0xff),
    Row("|=", 0x1_0000_0000, smallest32, 0xffff_ffff_8000_0000, 0x8000_0000),
    Row("&=", 0xff_ffff_00ff, 0x0ff0, 0xf0, 0xf0),
    Row("&=", 0x12_3456_789a, minus1, 0x12_3456_789a, 0x3456_789a),
    Row("&=", minus1, smallest32, smallest32, 0x8000_0000),
    Row("^=", 0x1_0000_00ff, 0x0f, 0x1_0000_00f0, 0xf0),
    Row("^=", 0x12_3456_789a, minus1, 0xffff_ffed_cba9_8765, 0xcba9_8765),
    Row("<<=", 1, 4, 16, 16),
    Row("<<=", 1, 31, 0x8000_0000, 0x8000_0000),
    Row("<<=", 1, 0, 1, 1),
    Row("<<=", 0x1_0000_0001, 63, smallest64, 0x8000_0000),
    Row("<<=", 1, 32, 0x1_0000_0000, 1),
    Row("<<=", 1, 33, 0x2_0000_0000, 2),
    Row("<<=", 1, 64, 1, 1),
    Row("<<=", 3, minus1, smallest64, 0x8000_0000),
    Row(">>=", 0x8000_0000_8000_0000, 4, 0x0800_0000_0800_0000, 0x0800_0000),
    Row(">>=", minus1, 63, 1, 1),
    Row(">>=", minus1, 32, 0xffff_ffff, 0xffff_ffff),
    Row(">>=", 0x8000_0000_0000_0010, 68, 0x0800_0000_0000_0001, 1),
    Row(">>=", 0xf000_0000_f000_0000, minus1, 1, 1),
    Row("s>>=", smallest64, 63, minus1, 0),
    Row("s>>=", smallest32, 4, 0xffff_ffff_f800_0000, 0xf800_0000),
    Row("s>>=", 0x8000_0000, 4, 0x0800_0000, 0xf800_0000),
    Row("s>>=", minus7, 1, 0xffff_ffff_ffff_fffc, 0xffff_fffc),
    Row("s>>=", 0x7000_0000_0000_0000, 60, 7, 0),
    Row("s>>=", smallest64, 64, smallest64, 0),
    Row("s>>=", 0x8000_0000_8000_0000, 32, 0xffff_ffff_8000_0000, 0x8000_0000),
    Row("s>>=", 0x8000_0000_8000_0000, minus1, minus1, 0xffff_ffff),
]

extension ConformanceCase {
    static let arithmetic: [ConformanceCase] = rows.flatMap(\.cases) + more

    private static let more: [ConformanceCase] = [
        ConformanceCase("negation, 64 bits", "r0 = 5\nr0 = -r0\nexit", 0xffff_ffff_ffff_fffb),
        ConformanceCase("negation, 32 bits, clears the high half", "r0 = 5\nw0 = -w0\nexit", 0xffff_fffb),
        ConformanceCase("negation of zero", "r0 = 0\nr0 = -r0\nexit", 0),
        ConformanceCase("negation of the smallest", "r0 = 0x8000000000000000\nr0 = -r0\nexit", smallest64),
        ConformanceCase("32-bit negation of the smallest", "r0 = 0xff80000000\nw0 = -w0\nexit", 0x8000_0000),
        ConformanceCase("register with itself: add", "r6 = 21\nr6 += r6\nr0 = r6\nexit", 42),
        ConformanceCase("register with itself: subtract", "r6 = 21\nr6 -= r6\nr0 = r6\nexit", 0),
        ConformanceCase("register with itself: divide", "r4 = 21\nr4 /= r4\nr0 = r4\nexit", 1),
        ConformanceCase("register with itself: zero divided by itself", "r4 = 0\nr4 /= r4\nr0 = r4\nexit", 0),
        ConformanceCase("register with itself: zero modulo itself", "r4 = 0\nr4 %= r4\nr0 = r4\nexit", 0),
        ConformanceCase("register with itself: shift", "r4 = 3\nr4 <<= r4\nr0 = r4\nexit", 24),
        // The registers that a machine's divide and shift instructions need for themselves keep their values.
        ConformanceCase(
            "division leaves all other registers alone",
            division("r6 /= r7", destination: 6), 1 + 2 + 3 + 4 + 5 + 8 + 9 + 100 / 7),
        ConformanceCase(
            "division in r3 by r0 leaves the others alone",
            """
            r0 = 7
            r1 = 1
            r2 = 2
            r3 = 100
            r4 = 4
            r5 = 5
            r3 /= r0
            r0 = 0
            r0 += r1
            r0 += r2
            r0 += r3
            r0 += r4
            r0 += r5
            exit
            """, 1 + 2 + 14 + 4 + 5),
        ConformanceCase(
            "remainder in r0 by r3", "r0 = 100\nr3 = 7\nr0 %= r3\nr3 *= 100\nr0 += r3\nexit", 702),
        ConformanceCase(
            "remainder in r4 by r0 leaves r0", "r4 = 100\nr0 = 7\nr4 s%= r0\nr0 *= 100\nr0 += r4\nexit", 702),
        ConformanceCase(
            "shift in r4 by r3 leaves r3", "r4 = 1\nr3 = 5\nr4 <<= r3\nr0 = r4\nr0 += r3\nexit", 37),
        ConformanceCase(
            "shift in r3 by r4 leaves r4", "r3 = 1\nr4 = 5\nr3 <<= r4\nr0 = r3\nr0 += r4\nexit", 37),
        ConformanceCase("shift in r4 by itself, 32 bits", "r4 = 4\nw4 s>>= w4\nr0 = r4\nexit", 0),
    ]

    private static func division(_ instruction: String, destination: Int) -> String {
        let others = [1, 2, 3, 4, 5, 8, 9]
        return others.map { "r\($0) = \($0)\n" }.joined() + "r6 = 100\nr7 = 7\n\(instruction)\nr0 = r6\n"
            + others.map { "r0 += r\($0)\n" }.joined() + "exit"
    }

    static let moves = [
        ConformanceCase("move of an immediate", "r0 = 5\nexit", 5),
        ConformanceCase("move of a negative immediate extends its sign", "r0 = -5\nexit", 0xffff_ffff_ffff_fffb),
        ConformanceCase("32-bit move of a negative immediate does not", "w0 = -5\nexit", 0xffff_fffb),
        ConformanceCase("move of a register", "r6 = 0x123456789\nr0 = r6\nexit", 0x1_2345_6789),
        ConformanceCase("32-bit move of a register drops the high half", "r6 = 0x123456789\nw0 = w6\nexit", 0x2345_6789),
        ConformanceCase("32-bit move to itself drops the high half", "r0 = 0x123456789\nw0 = w0\nexit", 0x2345_6789),
        ConformanceCase("wide load", "r0 = 0xfedcba9876543210\nexit", 0xfedc_ba98_7654_3210),
        ConformanceCase("wide load of 32 bits does not extend the sign", "r0 = 0x80000000\nexit", 0x8000_0000),
        ConformanceCase("wide load, only high half", "r0 = 0x100000000\nexit", 0x1_0000_0000),
        ConformanceCase("wide load of minus one", "r0 = 0xffffffffffffffff\nexit", minus1),
        ConformanceCase("move from r10 and back: equal", "r1 = r10\nr0 = 0\nif r1 != r10 goto pc+1\nr0 = 1\nexit", 1),
        ConformanceCase("movsx 8 to 64, negative", "r1 = 0x1280\nr0 = (s8)r1\nexit", 0xffff_ffff_ffff_ff80),
        ConformanceCase("movsx 8 to 64, positive", "r1 = 0xff7f\nr0 = (s8)r1\nexit", 0x7f),
        ConformanceCase("movsx 16 to 64, negative", "r1 = 0x18000\nr0 = (s16)r1\nexit", 0xffff_ffff_ffff_8000),
        ConformanceCase("movsx 16 to 64, positive", "r1 = 0xf7fff\nr0 = (s16)r1\nexit", 0x7fff),
        ConformanceCase("movsx 32 to 64, negative", "r1 = 0x180000000\nr0 = (s32)r1\nexit", smallest32),
        ConformanceCase("movsx 32 to 64, positive", "r1 = 0xf7fffffff\nr0 = (s32)r1\nexit", 0x7fff_ffff),
        ConformanceCase("movsx 8 to 32, negative", "r1 = 0x80\nw0 = (s8)w1\nexit", 0xffff_ff80),
        ConformanceCase("movsx 8 to 32, positive", "r1 = 0x17f\nw0 = (s8)w1\nexit", 0x7f),
        ConformanceCase("movsx 16 to 32, negative", "r1 = 0x8000\nw0 = (s16)w1\nexit", 0xffff_8000),
        ConformanceCase("movsx 16 to 32, positive", "r1 = 0x37fff\nw0 = (s16)w1\nexit", 0x7fff),
        ConformanceCase("movsx to itself", "r7 = 0xff\nr7 = (s8)r7\nr0 = r7\nexit", minus1),
        ConformanceCase("movsx of r4 (a byte register that needs a prefix)", "r1 = 0\nr4 = 0x81\nr0 = (s8)r4\nexit", 0xffff_ffff_ffff_ff81),
        ConformanceCase("movsx of r1", "r1 = 0x81\nr0 = (s8)r1\nexit", 0xffff_ffff_ffff_ff81),
        ConformanceCase("movsx of r2", "r2 = 0x81\nr0 = (s8)r2\nexit", 0xffff_ffff_ffff_ff81),
    ]

    static let byteOrder = [
        ("be16", 0x0000_0000_0000_efcd), ("be32", 0x0000_0000_efcd_ab89), ("be64", 0xefcd_ab89_6745_2301),
        ("le16", 0x0000_0000_0000_cdef), ("le32", 0x0000_0000_89ab_cdef), ("le64", 0x0123_4567_89ab_cdef),
        ("bswap16", 0x0000_0000_0000_efcd), ("bswap32", 0x0000_0000_efcd_ab89), ("bswap64", 0xefcd_ab89_6745_2301),
    ].flatMap { (word: String, result: UInt64) in
        [0, 1, 3, 6, 9].map { register in
            ConformanceCase(
                "\(word) in r\(register)",
                "r\(register) = 0x123456789abcdef\nr\(register) = \(word) r\(register)\nr0 = r\(register)\nexit", result)
        }
    }
}
