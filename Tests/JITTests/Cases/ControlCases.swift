import BPF

private struct Decision {
    let sign: String
    let left: UInt64
    let right: UInt64
    let wide: Bool
    let narrow: Bool

    init(_ sign: String, _ left: UInt64, _ right: UInt64, _ wide: Bool, _ narrow: Bool) {
        self.sign = sign
        self.left = left
        self.right = right
        self.wide = wide
        self.narrow = narrow
    }

    var cases: [ConformanceCase] {
        let name = "if \(hex(left)) \(sign) \(hex(right))"
        func program(_ comparison: String) -> String {
            "r0 = 0\nr3 = \(hex(left))\nr4 = \(hex(right))\nif \(comparison) goto pc+1\nexit\nr0 = 1\nexit"
        }
        var cases = [
            ConformanceCase("\(name), 64 bits, register", program("r3 \(sign) r4"), wide ? 1 : 0),
            ConformanceCase("\(name), 32 bits, register", program("w3 \(sign) w4"), narrow ? 1 : 0),
        ]
        if let immediate = Int32(exactly: Int64(bitPattern: right)) {
            cases += [
                ConformanceCase("\(name), 64 bits, immediate", program("r3 \(sign) \(immediate)"), wide ? 1 : 0),
                ConformanceCase("\(name), 32 bits, immediate", program("w3 \(sign) \(immediate)"), narrow ? 1 : 0),
            ]
        }
        return cases
    }
}

private let minus1: UInt64 = 0xffff_ffff_ffff_ffff
private let high: UInt64 = 0x1_0000_0000

private let decisions: [Decision] = [
    Decision("==", 5, 5, true, true),
    Decision("==", 5, 6, false, false),
    Decision("==", high | 5, 5, false, true),
    Decision("==", minus1, minus1, true, true),
    Decision("==", 0xffff_ffff, minus1, false, true),
    Decision("!=", 5, 5, false, false),
    Decision("!=", high | 5, 5, true, false),
    Decision("!=", 0xffff_ffff, minus1, true, false),
    Decision(">", 6, 5, true, true),
    Decision(">", 5, 5, false, false),
    Decision(">", minus1, 5, true, true),
    Decision(">", high, 5, true, false),
    Decision(">=", 5, 5, true, true),
    Decision(">=", 4, 5, false, false),
    Decision(">=", high, minus1, false, false),
    Decision(">=", minus1, minus1, true, true),
    Decision("<", 5, 6, true, true),
    Decision("<", 5, 5, false, false),
    Decision("<", 5, minus1, true, true),
    Decision("<", high, 1, false, true),
    Decision("<=", 5, 5, true, true),
    Decision("<=", 6, 5, false, false),
    Decision("<=", high | 1, 2, false, true),
    Decision("s>", 1, minus1, true, true),
    Decision("s>", minus1, 1, false, false),
    Decision("s>", 5, 5, false, false),
    Decision("s>", 0x8000_0000, 0, true, false),
    Decision("s>", 0x8000_0000_0000_0001, 0, false, true),
    Decision("s>=", 5, 5, true, true),
    Decision("s>=", minus1, 0, false, false),
    Decision("s>=", 0xffff_ffff, 0, true, false),
    Decision("s<", minus1, 0, true, true),
    Decision("s<", 0, minus1, false, false),
    Decision("s<", 5, 5, false, false),
    Decision("s<", 0xffff_ffff, 0, false, true),
    Decision("s<=", 5, 5, true, true),
    Decision("s<=", 1, minus1, false, false),
    Decision("s<=", 0xffff_ffff, minus1, false, true),
    Decision("&", 6, 2, true, true),
    Decision("&", 6, 1, false, false),
    Decision("&", high, minus1, true, false),
    Decision("&", high, 0xffff_ffff_8000_0000, true, false),
    Decision("&", 0x8000_0000, 0xffff_ffff_8000_0000, true, true),
    Decision("&", 0, minus1, false, false),
]

extension ConformanceCase {
    static let branches = decisions.flatMap(\.cases)

    static let control = [
        ConformanceCase("exit ends the program", "r0 = 1\nexit\nr0 = 2\nexit", 1),
        ConformanceCase("goto forward", "r0 = 1\ngoto pc+1\nr0 = 2\nexit", 1),
        ConformanceCase("gotol forward", "r0 = 1\ngotol pc+1\nr0 = 2\nexit", 1),
        ConformanceCase("goto backward", "goto start\nend: exit\nstart: r0 = 3\ngoto end", 3),
        ConformanceCase("gotol backward", "goto start\nend: exit\nstart: r0 = 3\ngotol end", 3),
        ConformanceCase("goto of no distance", "r0 = 4\ngoto pc+0\nexit", 4),
        ConformanceCase("a jump over a wide load", "r0 = 1\ngoto pc+2\nr0 = 0x7\nexit", 1),
        ConformanceCase(
            "a loop", "r0 = 0\nr3 = 100\nloop: r0 += r3\nr3 -= 1\nif r3 != 0 goto loop\nexit", 5050),
        ConformanceCase(
            "a jump over more than a machine's short branch reaches",
            "r0 = 1\ngoto end\n" + String(repeating: "r0 += 1000000\n", count: 200) + "end: exit", 1),
        ConformanceCase(
            "a conditional jump over as much, not taken",
            "r0 = 1\nif r0 == 2 goto end\n" + String(repeating: "r0 += 1000000\n", count: 200) + "end: exit", 200_000_001),
        ConformanceCase(
            "a conditional jump back over as much",
            "r0 = 0\nr3 = 0\ntop:\n" + String(repeating: "r0 += 3\n", count: 200) + "r3 += 1\nif r3 < 2 goto top\nexit", 1200),
        ConformanceCase("may_goto passes", "r0 = 1\nmay_goto end\nr0 = 2\nend: exit", 2),
        ConformanceCase(
            "may_goto jumps when its rounds are over",
            "r0 = 0\nloop: may_goto end\nr0 += 1\ngoto loop\nend: exit", UInt64(ProgramStructure.mayGotoLimit)),
        ConformanceCase(
            "the rounds of a frame are counted together, and stay used up",
            "r0 = 0\nloop: may_goto end\nr0 += 1\nmay_goto end\ngoto loop\nend: may_goto last\nr0 = 0\nlast: exit",
            UInt64(ProgramStructure.mayGotoLimit / 2)),
        ConformanceCase(
            "each frame has rounds of its own",
            """
            r6 = 0
            loop:
            may_goto end
            r6 += 1
            goto loop
            end:
            *(u64 *)(r10 -8) = r6
            call f
            r1 = *(u64 *)(r10 -8)
            r0 += r1
            exit
            f:
            r0 = 0
            may_goto out
            r0 = 1
            out:
            exit
            """, UInt64(ProgramStructure.mayGotoLimit + 1)),
        ConformanceCase("a call returns r0", "call f\nr0 += 1\nexit\nf: r0 = 41\nexit", 42),
        ConformanceCase(
            "a call passes r1 to r5",
            """
            r1 = 1
            r2 = 2
            r3 = 4
            r4 = 8
            r5 = 16
            call f
            exit
            f:
            r0 = r1
            r0 += r2
            r0 += r3
            r0 += r4
            r0 += r5
            exit
            """, 31),
        ConformanceCase(
            "a call keeps r6 to r9",
            """
            r6 = 1
            r7 = 2
            r8 = 4
            r9 = 8
            call f
            r0 = r6
            r0 += r7
            r0 += r8
            r0 += r9
            exit
            f:
            r6 = 100
            r7 = 100
            r8 = 100
            r9 = 100
            r0 = 0
            exit
            """, 15),
        ConformanceCase(
            "each call has a stack of its own",
            """
            *(u64 *)(r10 -8) = 5
            call f
            r0 = *(u64 *)(r10 -8)
            exit
            f:
            *(u64 *)(r10 -8) = 9
            r0 = 0
            exit
            """, 5),
        ConformanceCase(
            "a callee writes to its caller's stack",
            """
            r1 = r10
            r1 += -8
            call f
            r0 = *(u64 *)(r10 -8)
            exit
            f:
            *(u64 *)(r1 +0) = 9
            *(u64 *)(r10 -8) = 1
            r0 = 0
            exit
            """, 9),
        ConformanceCase(
            "recursion to the eighth frame",
            """
            r1 = 7
            call f
            exit
            f:
            r6 = r1
            r0 = 0
            if r1 == 1 goto end
            r1 -= 1
            call f
            end:
            r0 += r6
            exit
            """, 28),
        ConformanceCase(
            "a call inside a loop",
            """
            r6 = 0
            r7 = 0
            loop:
            r1 = r6
            call square
            r7 += r0
            r6 += 1
            if r6 < 10 goto loop
            r0 = r7
            exit
            square:
            r0 = r1
            r0 *= r1
            exit
            """, 285),
        ConformanceCase(
            "the frame of r10 after a call is the caller's",
            """
            r6 = r10
            call f
            r0 = 1
            if r6 == r10 goto pc+1
            r0 = 0
            exit
            f:
            *(u64 *)(r10 -256) = 1
            r0 = 0
            exit
            """, 1),
        ConformanceCase(
            "a prime by trial division",
            """
            r6 = 67280421
            r0 = 1
            r3 = 2
            loop:
            r4 = r3
            r4 *= r3
            if r4 > r6 goto end
            r4 = r6
            r4 %= r3
            r3 += 1
            if r4 != 0 goto loop
            r0 = 0
            end: exit
            """, 0),
        ConformanceCase(
            "a checksum over memory",
            """
            r0 = 0
            r2 += r1
            loop:
            if r1 >= r2 goto end
            r3 = *(u8 *)(r1 +0)
            r0 *= 31
            r0 += r3
            r1 += 1
            goto loop
            end: exit
            """, memory: [1, 2, 3, 4], ((1 * 31 + 2) * 31 + 3) * 31 + 4),
    ]
}
